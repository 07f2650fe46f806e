"""The recorder: what is recorded reaches everybody, round by round."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from operator import itemgetter
from typing import Any, Final

from sqlalchemy import select

from crmcore.domain.interaction import Draft, Origin
from crmcore.domain.shadow import is_shadow, plugin_of
from crmcore.errors import CrmError, RetryTransaction
from crmcore.hooks import (
    IdList,
    InteractionsRecorded,
    Plugin,
    Selection,
    StageChanged,
    StagesChanged,
)
from crmcore.persistence.faults import debt
from crmcore.persistence.portable import json_list
from crmcore.services import faults
from crmcore.services.dispatcher import Call, Dispatcher
from crmcore.services.messaging import bounces
from crmcore.services.messaging.consent import ConsentService, concerns
from crmcore.services.privacy.late_facts import LateFacts
from crmcore.services.recording.encoding import Encoded
from crmcore.services.recording.ledger import COLUMNS, Batch
from crmcore.services.recording.lifecycle import LifecycleService
from crmcore.services.recording.repeated import warn_of_difference
from crmcore.services.runtime import Runtime
from crmcore.services.unit import Unit

MOST_ROUNDS: Final = 8
_ID, _KIND, _CUSTOMER, _SOURCE = (
    COLUMNS.index(c) for c in ("interaction_id", "kind", "customer_id", "source")
)
_outline = itemgetter(*map(COLUMNS.index, ("kind", "customer_id", "occurred_at", "recorded_at")))


class RoundsError(CrmError):
    """Plugins answer each other without end."""


class Recorder:
    """Records drafts, and lets lifecycles and plugins follow, in the same transaction."""

    def __init__(
        self,
        runtime: Runtime,
        dispatcher: Dispatcher,
        lifecycles: Sequence[LifecycleService],
    ) -> None:
        self._runtime = runtime
        self._dispatcher = dispatcher
        self._lifecycles = lifecycles
        self.consents = ConsentService(runtime)
        self._late_facts = LateFacts(runtime)
        self._bounces = bounces.BounceService(runtime)
        of = runtime.assembly.of
        self._prepares = bool(of(Plugin.prepare_interaction))
        self._recorded = of(Plugin.on_interactions_recorded)
        self._changed = of(Plugin.on_stages_changed)
        self._debtors_among = select(debt.c.plugin, debt.c.customer_id).where(
            runtime.database.portable.is_in(debt.c.customer_id, "customers")
        )

    def record(self, unit: Unit, drafts: Sequence[Draft]) -> Batch:
        """Record what was observed, once each, and what follows from it."""
        if self._prepares:
            drafts = [self._dispatcher.prepare(unit, draft) for draft in drafts]
        encode = self._runtime.ledger.encode
        if len(drafts) == 1:
            batch = self._record_one(unit, encode(drafts[0]))
        else:
            # Kept by nobody: what is encoded is gone before lifecycles and plugins follow.
            batch = self._append(unit, [encode(draft) for draft in drafts])
        self.spread(unit, batch)
        if unit.forgotten:
            self._late_facts.tidy(unit)
        return batch

    def _record_one(self, unit: Unit, encoded: Encoded) -> Batch:
        batch = self._append(unit, [encoded])
        if not batch.new:
            warn_of_difference(self._runtime, unit.connection, encoded, batch.ids[0])
        return batch

    def spread(self, unit: Unit, batch: Batch | None, changed: Sequence[StageChanged] = ()) -> None:
        """Bring a batch, and changes of stage, to everybody, and what they decide in turn."""
        trail: list[str] = []
        for _ in range(MOST_ROUNDS):
            decided = self._dispatch(unit, batch, changed)
            changed = ()
            if not decided:
                return
            trail.append(_named(decided))
            batch = self._append_decided(unit, decided)
        left = self._dispatch(unit, batch, changed)
        if left:
            self._break_off(unit, left, trail)

    def take_decisions(self, unit: Unit) -> list[Encoded]:
        """Return what plugins asked to have recorded, in plugin order."""
        return [
            encoded
            for plugin in self._runtime.assembly
            for encoded in unit.context(plugin).take_decisions()
        ]

    def record_decisions(
        self,
        unit: Unit,
        changed: Sequence[StageChanged] = (),
        refused: Sequence[Encoded] = (),
    ) -> None:
        """Record what was decided outside of a batch, such as on a timer, and spread it."""
        decided = [*refused, *self.take_decisions(unit)]
        batch = self._append_decided(unit, decided) if decided else None
        if batch is not None or changed:
            self.spread(unit, batch, changed)
            if unit.forgotten:
                self._late_facts.tidy(unit)

    def _append_decided(self, unit: Unit, decided: Sequence[Encoded]) -> Batch:
        """
        Write what plugins decided, and return what others follow: nothing of those in shadow.

        What cannot be written harms nothing but itself: it is left out, with a fault of whoever
        decided it, such as a cancellation, without an amount, of an order that nobody knows.
        """
        kept = [each for each in decided if is_shadow(each.draft.source)]
        if not kept:
            return self._append_all(unit, decided)
        self._append_all(unit, kept)
        followed = [each for each in decided if not is_shadow(each.draft.source)]
        return self._append_all(unit, followed) if followed else Batch.of([])

    def _append_all(self, unit: Unit, decided: Sequence[Encoded]) -> Batch:
        try:
            with unit.connection.savepoint():
                return self._append(unit, decided, origin="decided")
        except RetryTransaction:
            raise
        except CrmError as error:
            if len(decided) > 1:
                return Batch.of([self._append_all(unit, [each]) for each in decided])
            name = plugin_of(decided[0].draft.source)
            if name in self._runtime.critical and not unit.spares_critical:
                raise
            faults.record_fault(
                unit.connection, plugin=name, hook="record", now=unit.now, error=error
            )
            return Batch.of([])

    def _append(
        self, unit: Unit, encoded: Sequence[Encoded], *, origin: Origin = "observed"
    ) -> Batch:
        def rate(currency: str, minor: int, at: int) -> int | None:
            return self._dispatcher.base_amount(unit, currency, minor, at)

        # All were decided in shadow, or none was: nothing follows from what is.
        is_followed = not (encoded and is_shadow(encoded[0].draft.source))
        says_consent = is_followed and concerns(encoded)
        if says_consent:
            encoded = self.consents.completed(unit, encoded)
        says_bounces = is_followed and bounces.concerns(encoded)
        if says_bounces:
            self._bounces.lock(unit, encoded)
        former = None
        if unit.opening.erasures and origin == "observed":
            former = self._late_facts.former(unit, encoded)
        batch = self._runtime.ledger.append(
            unit.connection,
            encoded,
            unit.take_ids,
            now=unit.now,
            origin=origin,
            rate=rate,
            former=former,
        )
        if unit.opening.erasures:
            batch = self._late_facts.settle(unit, batch)
        if says_consent:
            self.consents.follow(unit, batch.new)
        if says_bounces:
            self._bounces.follow(unit, batch.new)
        return batch

    def _dispatch(
        self, unit: Unit, batch: Batch | None, changed: Sequence[StageChanged]
    ) -> list[Encoded]:
        """Let everybody have the batch once, and return what they decided."""
        refused: list[Encoded] = []
        changes = list(changed)
        if batch is not None and batch.new:
            unit.settled.update([row[_CUSTOMER] for row in batch.new])
            for lifecycle in self._lifecycles:
                moved = lifecycle.follow(unit, batch.new)
                changes += moved.changed
                refused += moved.refused
            self._dispatcher.on(unit, self._recorded_calls(unit, batch))
        if changes and self._changed:
            self._dispatcher.on(unit, self._changed_calls(unit, changes))
        return refused + self.take_decisions(unit)

    def _recorded_calls(self, unit: Unit, batch: Batch) -> list[Call]:
        rows = batch.new
        debtors = self._debtors(unit, {row[_CUSTOMER] for row in rows})
        sources = {row[_SOURCE] for row in rows}
        whole = self.event(unit, rows, batch.selection)
        calls = []
        for plugin, run in self._recorded:
            owed, own = debtors.get(plugin.name, set()), f"plugin:{plugin.name}"
            mine, event = rows, whole
            if owed or own in sources:
                mine = [r for r in rows if r[_SOURCE] != own and r[_CUSTOMER] not in owed]
                if not mine:
                    continue
                event = self.event(unit, mine, IdList(tuple(r[_ID] for r in mine)))
            calls.append(
                Call(
                    plugin=plugin,
                    hook=self._recorded.name,
                    run=run,
                    event=event,
                    customers={row[_CUSTOMER] for row in mine},
                    first=mine[0][_ID],
                )
            )
        return calls

    def _changed_calls(self, unit: Unit, changes: Sequence[StageChanged]) -> list[Call]:
        debtors = self._debtors(unit, {change.customer_id for change in changes})
        calls = []
        for plugin, run in self._changed:
            owed = debtors.get(plugin.name, set())
            told = [change for change in changes if self._is_told(plugin, change)]
            mine = tuple(change for change in told if change.customer_id not in owed)
            missed = [change for change in told if change.customer_id in owed]
            faults.add_missed(unit.connection, plugin.name, missed)
            if mine:
                calls.append(self.changed_call(unit, plugin, run, mine))
        return calls

    def _is_told(self, plugin: Plugin, change: StageChanged) -> bool:
        return self._runtime.shadow_owner(change.lifecycle) in (None, plugin.name)

    def changed_call(
        self, unit: Unit, plugin: Plugin, run: Any, mine: tuple[StageChanged, ...]
    ) -> Call:
        """
        Return the call that announces *mine* to a plugin.

        If it fails, the plugin has had all that is recorded by now, and owes what comes next.
        """
        return Call(
            plugin=plugin,
            hook=self._changed.name,
            run=run,
            event=StagesChanged(mine),
            customers={change.customer_id for change in mine},
            first=unit.opening.next_id(unit.connection),
            missed=mine,
        )

    def event(
        self, unit: Unit, rows: Sequence[Sequence[Any]], selection: Selection
    ) -> InteractionsRecorded:
        """Return the event of a batch; its interactions are built if somebody iterates it."""
        as_interaction = self._runtime.ledger.as_interaction
        return InteractionsRecorded(
            kinds=frozenset([row[_KIND] for row in rows]),
            size=len(rows),
            selection=selection,
            load=lambda: [as_interaction(row) for row in rows],
            outline=lambda: map(_outline, rows),
        )

    def _debtors(self, unit: Unit, customers: Collection[int]) -> dict[str, set[int]]:
        if not unit.opening.owes:
            return {}
        found: dict[str, set[int]] = {}
        rows = unit.connection.execute(self._debtors_among, customers=json_list(customers))
        for plugin, customer in rows:
            found.setdefault(plugin, set()).add(customer)
        return found

    def _break_off(self, unit: Unit, left: Sequence[Encoded], trail: Sequence[str]) -> None:
        """Drop decisions of plugins that answer each other without end; the order stays."""
        cycle = " -> ".join([*trail[-3:], _named(left)])
        error = RoundsError(
            f"after {MOST_ROUNDS} rounds plugins still answer each other: {cycle}; "
            f"{len(left)} decisions were dropped"
        )
        for plugin in sorted({encoded.draft.source for encoded in left}):
            name = plugin_of(plugin)
            if name in self._runtime.critical and not unit.spares_critical:
                raise error
            faults.record_fault(
                unit.connection, plugin=name, hook="rounds", now=unit.now, error=error
            )


def _named(decided: Sequence[Encoded]) -> str:
    pairs = sorted({(plugin_of(e.draft.source), e.kind.name) for e in decided})
    return " and ".join(f"{plugin} records {kind}" for plugin, kind in pairs)
