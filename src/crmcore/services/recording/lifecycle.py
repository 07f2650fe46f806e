"""Lifecycles at work: facts and time move customers from stage to stage."""

from __future__ import annotations

import copy
import json
from collections.abc import Collection, Iterable, Sequence
from operator import attrgetter
from typing import Any

from attrs import evolve, field, frozen
from sqlalchemy import func, select

from crmcore.domain.clock import to_datetime
from crmcore.domain.interaction import Draft
from crmcore.domain.kinds import RANKS, STAGE_REFUSED
from crmcore.domain.lifecycle import Change, Lifecycle, Machine, Position, Step
from crmcore.domain.shadow import shadow_of
from crmcore.hooks import Plugin, StageChanged, StageChangeProposed
from crmcore.persistence.connection import Connection
from crmcore.persistence.customers import customer
from crmcore.persistence.ledger import in_shadow, interaction
from crmcore.persistence.portable import json_list
from crmcore.services.dispatcher import Dispatcher
from crmcore.services.recording.encoding import Encoded
from crmcore.services.recording.ledger import COLUMNS
from crmcore.services.recording.positions import Key, Positions, Standing
from crmcore.services.runtime import Runtime
from crmcore.services.unit import Unit

_FACT = [
    COLUMNS.index(name)
    for name in (
        "customer_id",
        "subject",
        "occurred_at",
        "kind",
        "source",
        "source_key",
        "interaction_id",
    )
]
CORE = "crmcore"
_AT_ONCE = 5000  # customers folded anew in one go on a rebuild
_MOVED_AT_ONCE = 2000  # customers moved on by time in one transaction: others want to write, too
_last_customer = select(func.max(customer.c.customer_id))


@frozen
class Moved:
    """
    What a fold of facts or of time brought about.

    Attributes:
        customers: How many customers time alone moved on.
        left: Whether somebody is left whom it has yet to move on: there were more than are
            moved at once, or another transaction has them.
    """

    changed: list[StageChanged] = field(factory=list)
    refused: list[Encoded] = field(factory=list)
    customers: int = 0
    left: bool = False


class LifecycleService:
    """Moves customers through one lifecycle."""

    def __init__(self, lifecycle: Lifecycle, runtime: Runtime, dispatcher: Dispatcher) -> None:
        self.lifecycle = lifecycle
        self._machine = Machine(lifecycle, RANKS, runtime.calendar)
        self._positions = Positions(
            self._machine, runtime.database.portable, per_subject=lifecycle.per_subject
        )
        self._runtime = runtime
        self._dispatcher = dispatcher
        self._listened_to = bool(runtime.assembly.of(Plugin.on_stages_changed))
        portable = runtime.database.portable
        self._refusals = select(interaction.c.customer_id, interaction.c.payload).where(
            portable.is_in(interaction.c.customer_id, "customers"),
            interaction.c.kind == STAGE_REFUSED,
            ~in_shadow,
        )

    def next_due(self, connection: Connection) -> int | None:
        """Return when time alone moves somebody on next."""
        return self._positions.next_due(connection)

    def follow(self, unit: Unit, rows: Sequence[Sequence[Any]]) -> Moved:
        """Fold new rows of the ledger, in any order, in time and late ones alike."""
        facts = self._positions.grouped(rows, _FACT)
        moved = Moved()
        if not facts:
            return moved
        customers = sorted({customer_id for customer_id, _ in facts})
        known = self._positions.load(unit.connection, customers)
        standings = []
        late = set()
        for key, new in facts.items():
            standing = known.get(key)
            if standing is None:
                standing = Standing(key, self._machine.start(), self.lifecycle.initial)
            elif standing.position.is_beyond(new[0]):
                late.add(key[0])
            standing.facts = new
            standings.append(standing)
        if late:
            standings = [standing for standing in standings if standing.key[0] not in late]
        self._fold(unit, standings, moved)
        if late:
            self._fold_anew(unit, late, moved, decide=True)
        return moved

    def advance(self, unit: Unit, due: int) -> Moved:
        """Move on customers whom time alone moves on by *due*, a portion of them at a time."""
        claimed = self._positions.claim_due(unit.connection, due, most=_MOVED_AT_ONCE)
        moved = Moved(customers=len(claimed))
        standings = self._positions.load_due(unit.connection, due, claimed)
        self._fold(unit, standings, moved, until=due)
        next_at = self._positions.next_due(unit.connection)
        return evolve(moved, left=next_at is not None and next_at <= due)

    def recompute(self, unit: Unit) -> None:
        """Make all positions and histories anew; nothing is decided or announced."""
        last = unit.connection.execute(_last_customer)[0][0] or 0
        for low in range(1, last + 1, _AT_ONCE):
            self._fold_anew(unit, range(low, min(low + _AT_ONCE, last + 1)), Moved(), decide=False)

    def refold(self, unit: Unit, customers: Collection[int]) -> None:
        """Make these customers' positions and histories anew; nothing is decided or announced."""
        self._fold_anew(unit, customers, Moved(), decide=False)

    def _fold(
        self,
        unit: Unit,
        standings: Sequence[Standing],
        moved: Moved,
        *,
        until: int | None = None,
        refused: dict[Key, set[Step]] | None = None,
        taken: dict[Key, set[Step]] | None = None,
        decide: bool = True,
    ) -> None:
        """Fold each standing's facts, and time as far as it has run; save what came of it."""
        recorded_at = unit.now
        now = unit.opening.time_run if until is None else until
        guarded = decide and self._dispatcher.guards_stages
        for standing in standings:
            known = refused.get(standing.key, ()) if refused else ()
            if guarded:
                allowed = (taken or {}).get(standing.key, set())
                changes = self._guarded(unit, standing, now, known, allowed, moved)
            else:
                changes = self._machine.fold(standing.position, standing.facts, now, known)
            standing.changes = changes
            if until is None:
                for step in changes:
                    if step.evidence.startswith("time/"):
                        unit.passed.add(step.effective_at)
            # Where time has yet to catch up, as with old facts just imported, a stage is passing.
            next_at = standing.position.next_at
            if decide and (next_at is None or next_at > recorded_at):
                self._announce(standing, moved)
        # In the order of their keys, in which neighbours share a page: a tenth cheaper on SQLite.
        in_order = sorted(standings, key=attrgetter("key"))
        # Positions first: written over, they tell a stricter transaction that it was overtaken.
        self._positions.save(unit.connection, in_order)
        self._positions.add_changes(unit.connection, in_order, recorded_at)

    def _fold_anew(
        self, unit: Unit, customers: Collection[int], moved: Moved, *, decide: bool
    ) -> None:
        connection = unit.connection
        before = self._positions.load(connection, list(customers))
        refused = self._refused(connection, customers)
        taken = self._positions.steps_of(connection, customers) if decide else {}
        self._positions.forget(connection, customers)
        standings = []
        for key, facts in self._positions.facts_of(connection, customers).items():
            # A rebuild tells nobody of a past that was not told when it happened.
            fresh = self.lifecycle.initial if decide else ""
            announced = before[key].announced if key in before else fresh
            standings.append(Standing(key, self._machine.start(), announced, facts))
        passed = set(unit.passed)
        self._fold(unit, standings, moved, refused=refused, taken=taken, decide=decide)
        unit.passed = passed
        untold = [standing for standing in standings if not standing.announced]
        for standing in untold:
            standing.announced = standing.position.stage
        self._positions.save(connection, untold)

    def _refused(self, connection: Connection, customers: Iterable[int]) -> dict[Key, set[Step]]:
        found: dict[Key, set[Step]] = {}
        for customer_id, payload in connection.execute(
            self._refusals, customers=json_list(customers)
        ):
            values = json.loads(payload)
            if values["lifecycle"] == self.lifecycle.name:
                step = (values["from_stage"], values["to_stage"], values["evidence"])
                found.setdefault((customer_id, values["subject"]), set()).add(step)
        return found

    def _guarded(
        self,
        unit: Unit,
        standing: Standing,
        now: int,
        refused: Collection[Step],
        allowed: set[Step],
        moved: Moved,
    ) -> list[Change]:
        """Fold, asking guards at each step; after a refusal, fold again without that step."""
        refused, allowed = set(refused), set(allowed)
        start = standing.position
        while True:
            trial: Position = copy.copy(start)
            trial.counts = list(start.counts)
            changes = self._machine.fold(trial, standing.facts, now, refused)
            for change in changes:
                if change.step in allowed:
                    continue
                found = self._dispatcher.refusals(unit, self._proposed(standing.key, change))
                moved.refused.extend(
                    self._refusal(unit, standing.key, change, [reason], source=shadow_of(name))
                    for name, reason in found.in_shadow
                )
                if found.reasons:
                    refused.add(change.step)
                    moved.refused.append(self._refusal(unit, standing.key, change, found.reasons))
                    break
                allowed.add(change.step)
            else:
                standing.position = trial
                return changes

    def _proposed(self, key: Key, change: Change) -> StageChangeProposed:
        return StageChangeProposed(
            customer_id=key[0],
            lifecycle=self.lifecycle.name,
            subject=key[1],
            from_stage=change.from_stage,
            to_stage=change.to_stage,
            reason=change.reason,
            effective_at=change.effective_at,
            caused_by=change.caused_by,
        )

    def _refusal(
        self, unit: Unit, key: Key, change: Change, reasons: list[str], *, source: str = CORE
    ) -> Encoded:
        identity = self._runtime.identity
        reference = identity.references(unit.connection, [key[0]])[key[0]]
        step = "/".join((self.lifecycle.name, *key[1:], *change.step))
        return self._runtime.ledger.encode(
            Draft(
                STAGE_REFUSED,
                customer=key[0],
                occurred_at=to_datetime(change.effective_at),
                source=source,
                source_key=f"refused:{identity.keyed_hash(step)}/{reference}",
                caused_by=change.caused_by,
                payload={
                    "lifecycle": self.lifecycle.name,
                    "subject": key[1],
                    "from_stage": change.from_stage,
                    "to_stage": change.to_stage,
                    "evidence": change.evidence,
                    "reasons": reasons,
                },
            ),
            decided=True,
        )

    def _announce(self, standing: Standing, moved: Moved) -> None:
        position = standing.position
        if not standing.announced or position.stage == standing.announced:
            return
        if self._listened_to:
            moved.changed.append(self._changed(standing))
        standing.announced = position.stage

    def _changed(self, standing: Standing) -> StageChanged:
        position = standing.position
        return StageChanged(
            customer_id=standing.key[0],
            lifecycle=self.lifecycle.name,
            subject=standing.key[1],
            from_stage=standing.announced,
            to_stage=position.stage,
            reason=position.reason or "",
            effective_at=position.entered_at or 0,
            caused_by=position.caused_by,
        )
