"""Dispatch: ten plugins told of a batch, with nothing to do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pluggy
from typing_extensions import override

from bench.history import History
from bench.sample import compare, timed
from bench.sizes import Sizes
from bench.table import Line
from crmcore import Context, Crm, InteractionsRecorded, Plugin, hookimpl
from crmcore.hooks import SPECS, IdRange
from crmcore.services.dispatcher import Call, Dispatcher
from crmcore.services.recording.ledger import COLUMNS, Batch
from crmcore.services.recording.recorder import Recorder
from crmcore.services.unit import Unit

PLUGINS = 10


def _idle(number: int) -> Plugin:
    """Return a plugin that looks at every batch and does nothing."""

    class Idle(Plugin):
        name = f"idle_{number}"

        @hookimpl
        @override
        def on_interactions_recorded(self, ctx: Context, event: InteractionsRecorded) -> None:
            return None

    return Idle()


def measure(sizes: Sizes) -> Iterator[Line]:
    """Yield what the dispatcher and a whole round cost beside a plain loop and pluggy's call."""
    plugins = [_idle(number) for number in range(PLUGINS)]
    manager = pluggy.PluginManager("crmcore")
    for spec in SPECS:
        manager.add_hookspecs(spec)
    for plugin in plugins:
        manager.register(plugin, plugin.name)
    (draft,) = History(customers=1, interactions=1).drafts()
    with Crm("sqlite://", plugins=plugins) as crm:
        recorded = crm.record(draft)
        dispatcher = Dispatcher(crm.runtime)
        recorder = Recorder(crm.runtime, dispatcher, ())
        with crm.runtime.database.begin() as connection:
            unit = Unit(crm.runtime, connection)
            rows = connection.sqlalchemy.exec_driver_sql(
                f"SELECT {', '.join(COLUMNS)} FROM crm_interaction"
            ).fetchall()
            chosen = IdRange(recorded.id, recorded.id)
            batch = Batch(ids=[recorded.id], new=[tuple(rows[0])], selection=chosen)
            hook = crm.assembly.of(Plugin.on_interactions_recorded)
            event = recorder.event(unit, batch.new, batch.selection)
            contexts = [unit.context(plugin) for plugin in plugins]
            bound = [run for _, run in hook]
            calls = [
                Call(
                    plugin=plugin,
                    hook=hook.name,
                    run=run,
                    event=event,
                    customers={recorded.customer_id},
                    first=recorded.id,
                )
                for plugin, run in hook
            ]

            def loop() -> None:
                for run, context in zip(bound, contexts, strict=True):
                    run(context, event)

            def through_pluggy() -> None:
                manager.hook.on_interactions_recorded(ctx=contexts[0], event=event)

            def dispatched() -> None:
                dispatcher.on(unit, calls)

            def a_round() -> None:
                recorder.spread(unit, batch)

            def each(call: Any) -> Any:
                def work() -> None:
                    for _ in range(sizes.dispatches):
                        call()

                return lambda _: timed(work)

            for title, call in (("on_", dispatched), ("a whole round", a_round)):
                for beside, plain in (("a plain loop", loop), ("pluggy's call", through_pluggy)):
                    yield Line(
                        title=f"dispatch to {PLUGINS} idle plugins, {title}",
                        beside=beside,
                        items=sizes.dispatches,
                        comparison=compare(sizes.rounds, each(plain), each(call)),
                    )
