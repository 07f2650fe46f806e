"""The scheduler: what falls due happens, in the order in which it falls due."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from crmcore.hooks import Plugin, StageChanged, TimersDue
from crmcore.persistence.connection import Connection
from crmcore.services import timers
from crmcore.services.debts import dict_of
from crmcore.services.dispatcher import Dispatcher
from crmcore.services.encoding import Encoded
from crmcore.services.ledger import is_recorded_since
from crmcore.services.lifecycle import LifecycleService
from crmcore.services.recorder import Recorder
from crmcore.services.runtime import Runtime
from crmcore.services.unit import Unit

Begin = Callable[[], AbstractContextManager[Unit]]


class Scheduler:
    """Fires timers and moves customers on whom time alone moves."""

    def __init__(
        self,
        runtime: Runtime,
        dispatcher: Dispatcher,
        recorder: Recorder,
        lifecycles: Sequence[LifecycleService],
        begin: Begin,
    ) -> None:
        self._dispatcher = dispatcher
        self._recorder = recorder
        self._lifecycles = lifecycles
        self._begin = begin
        self._plugins = {plugin.name: plugin for plugin in runtime.assembly}
        self._hook = runtime.assembly.of(Plugin.on_timers_due)
        self._run = dict_of(self._hook)

    def next_due(self, connection: Connection) -> int | None:
        """Return the next instant at which something falls due, or None."""
        dues = [lifecycle.next_due(connection) for lifecycle in self._lifecycles]
        dues.append(timers.next_run(connection, self._run))
        return min((due for due in dues if due is not None), default=None)

    def run(self) -> None:
        """
        Do what falls due next: stages up to the earliest timers' instant, then those timers.

        Where no timer has fallen due, stages up to now.
        """
        with self._begin() as unit:
            waiting = timers.due_batches(unit.connection, self._run, unit.now)
            until = min((due for due, _ in waiting), default=unit.now)
            changed: list[StageChanged] = []
            refused: list[Encoded] = []
            for lifecycle in self._lifecycles:
                moved = lifecycle.advance(unit, until)
                changed += moved.changed
                refused += moved.refused
            unit.let_time_run(until)
            self._recorder.record_decisions(unit, changed, refused)
        for name, plugin in self._plugins.items():
            if (until, name) in waiting:
                self._fire(plugin, until)

    def _fire(self, plugin: Plugin, due: int) -> None:
        with self._begin() as unit:

            def fire() -> None:
                claimed = timers.claim(unit.connection, plugin.name, due, unit.now)
                if claimed:
                    late = is_recorded_since(unit.connection, due)
                    event = TimersDue(timers=tuple(claimed), due=due, late=late)
                    context = unit.context(plugin)
                    context.firing = due
                    self._run[plugin.name](context, event)

            _, error = self._dispatcher.isolated(unit, plugin, self._hook.name, fire)
            if error is not None:
                timers.fail(unit.connection, plugin.name, due, unit.now)
            self._recorder.record_decisions(unit)
