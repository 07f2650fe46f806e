"""Figures: what a replay is counted by, each by one statement over the whole database."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any, Final

from attrs import asdict, frozen
from sqlalchemy import bindparam, func, select

from crmcore.app import Crm
from crmcore.domain.clock import Calendar
from crmcore.domain.lifecycle import Lifecycle
from crmcore.domain.relationship import RELATIONSHIP
from crmcore.errors import HistoryError
from crmcore.persistence.connection import Connection
from crmcore.persistence.customers import customer
from crmcore.persistence.ledger import interaction
from crmcore.persistence.messages import message
from crmcore.persistence.stages import change, stage
from crmcore.replay.history import History
from crmcore.replay.replayer import Replayed
from crmcore.services import faults

# Every zone's days begin at a multiple of it since 1972, so what is counted by it can be
# gathered into days of any zone.
QUARTER: Final = 15 * 60 * 1_000_000

DECISIONS_OF_EXAMPLE: Final = 4
"""An example with as many decisions shows that they are made again and again, on one screen."""

_customers = select(func.count()).select_from(customer)
_changes = select(func.count()).where(change.c.lifecycle == RELATIONSHIP)
_present = (
    select(stage.c.stage, func.count())
    .where(stage.c.lifecycle == RELATIONSHIP)
    .group_by(stage.c.stage)
)
_first = (
    select(func.min(interaction.c.occurred_at).label("at"))
    .group_by(interaction.c.customer_id)
    .subquery("first")
)
_arrivals = select((_first.c.at // QUARTER).label("quarter"), func.count()).group_by("quarter")
_moves = (
    select(
        (change.c.effective_at // QUARTER).label("quarter"),
        change.c.from_stage,
        change.c.to_stage,
        func.count(),
    )
    .where(change.c.lifecycle == RELATIONSHIP)
    .group_by("quarter", change.c.from_stage, change.c.to_stage)
)
_messages = (
    select(message.c.state, message.c.gate, func.count())
    .group_by(message.c.state, message.c.gate)
    .order_by(message.c.state, message.c.gate)
)
_count = func.count().label("decisions")
_distance = func.abs(_count - bindparam("wanted"))
_decided_about = (
    select(interaction.c.customer_id)
    .where(interaction.c.origin == "decided", interaction.c.source != "crmcore")
    .group_by(interaction.c.customer_id)
    .order_by(_distance, interaction.c.customer_id)
    .limit(1)
)


@frozen(kw_only=True)
class HistoryFigures:
    """What was replayed."""

    name: str
    rows_read: int
    rows_left_out: int
    rows_repeated: int
    problems: tuple[HistoryError, ...]
    interactions: int
    repeated: int
    customers: int
    first_at: datetime | None
    last_at: datetime | None

    @classmethod
    def of(cls, history: History, replayed: Replayed, *, customers: int) -> HistoryFigures:
        return cls(
            name=history.name,
            rows_read=history.rows_read,
            rows_left_out=history.rows_left_out,
            rows_repeated=history.rows_repeated,
            problems=history.problems,
            interactions=replayed.recorded,
            repeated=replayed.repeated,
            customers=customers,
            first_at=history.first_at,
            last_at=history.last_at,
        )

    def to_json(self) -> dict[str, Any]:
        """Return a dict that JSON can hold."""
        return asdict(self) | {
            "problems": [{"line": each.line, "problem": each.problem} for each in self.problems],
            "first_at": self.first_at.isoformat() if self.first_at else None,
            "last_at": self.last_at.isoformat() if self.last_at else None,
        }


@frozen(kw_only=True)
class StagesByWeek:
    """
    How many customers stood in each stage when each week ended.

    Attributes:
        first_days: The first day of each week, in the shop's zone. The last week may be short.
        stages: For each stage that somebody ever stood in, the number for each week.
    """

    first_days: Sequence[date]
    stages: Mapping[str, Sequence[int]]

    def to_json(self) -> dict[str, Any]:
        """Return a dict that JSON can hold."""
        return {
            "first_days": [str(day) for day in self.first_days],
            "stages": {name: list(counts) for name, counts in self.stages.items()},
        }


@frozen(kw_only=True)
class RelationshipFigures:
    """Where the customers stand in the lifecycle `relationship`, and how they came there."""

    customers: int
    phases: Mapping[str, int]
    stages: Mapping[str, int]
    stage_changes: int
    weeks: StagesByWeek

    def to_json(self) -> dict[str, Any]:
        """Return a dict that JSON can hold."""
        return asdict(self, recurse=False) | {"weeks": self.weeks.to_json()}


@frozen(kw_only=True)
class FaultFigures:
    """How often a plugin raised, and what it raised last."""

    count: int
    latest: str


@frozen(kw_only=True)
class MessageFigures:
    """
    What would have been said; nobody received any of it.

    Attributes:
        planned: How many messages.
        states: How many of them ended in which state; `accepted` are those that would have gone.
        withheld: How many were withheld, by the gate that did.
    """

    planned: int
    states: Mapping[str, int]
    withheld: Mapping[str, int]

    def to_json(self) -> dict[str, Any]:
        """Return a dict that JSON can hold."""
        return asdict(self)


def message_figures(crm: Crm) -> MessageFigures:
    """Return what would have been said, and what the gate withheld."""
    states: dict[str, int] = {}
    withheld: dict[str, int] = {}
    with crm.begin() as tx:
        for state, gate, count in tx.connection.execute(_messages):
            states[state] = states.get(state, 0) + count
            if state == "withheld":
                withheld[gate or "nobody"] = withheld.get(gate or "nobody", 0) + count
    return MessageFigures(planned=sum(states.values()), states=states, withheld=withheld)


@frozen(kw_only=True)
class RunFigures:
    """
    What the replay took, and what went wrong in it.

    Attributes:
        instants: At how many something fell due.
        debts: For how many customers each plugin still owes work.
        parked_timers: How many of each plugin failed too often.
    """

    batches: int
    instants: int
    faults: Mapping[str, FaultFigures]
    debts: Mapping[str, int]
    parked_timers: Mapping[str, int]
    cpu_seconds: float

    def to_json(self) -> dict[str, Any]:
        """Return a dict that JSON can hold."""
        return asdict(self)


def run_figures(crm: Crm, replayed: Replayed, *, cpu_seconds: float) -> RunFigures:
    """Return what the replay took, and what went wrong in it."""
    with crm.begin() as tx:
        left = faults.count_faults(tx.connection)
    return RunFigures(
        batches=replayed.batches,
        instants=replayed.instants,
        faults={plugin: _faults_of(crm, plugin, count) for plugin, count in left.items()},
        debts=crm.debts(),
        parked_timers=crm.parked_timers(),
        cpu_seconds=cpu_seconds,
    )


def _faults_of(crm: Crm, plugin: str, count: int) -> FaultFigures:
    (last,) = crm.faults(plugin, most=1)
    return FaultFigures(count=count, latest=f"{last.error} in {last.hook}: {last.message}")


def relationship_figures(crm: Crm, start: int) -> RelationshipFigures:
    """Return where everybody stands, and the way there from the instant *start* on."""
    lifecycle = crm.assembly.lifecycles[RELATIONSHIP]
    end, calendar = crm.runtime.clock.now(), crm.runtime.calendar
    with crm.begin() as tx:
        ((customers,),) = tx.connection.execute(_customers)
        ((changes,),) = tx.connection.execute(_changes)
        present: dict[str, int] = dict(map(tuple, tx.connection.execute(_present)))
        weeks = _by_week(tx.connection, lifecycle, _weeks(calendar, start, end), calendar)
    # Whom no fact of the lifecycle concerns has no row, and stands where everyone starts.
    seated = sum(present.values())
    present[lifecycle.initial] = present.get(lifecycle.initial, 0) + customers - seated
    stages = {each.name: present.get(each.name, 0) for each in lifecycle.stages}
    phases: dict[str, int] = {each.phase: 0 for each in lifecycle.stages}
    for name, count in stages.items():
        phases[lifecycle.phase_of(name)] += count
    return RelationshipFigures(
        customers=customers, phases=phases, stages=stages, stage_changes=changes, weeks=weeks
    )


def find_example(crm: Crm) -> int | None:
    """
    Return a customer about whom plugins decided something several times, but not very often.

    None if they decided nothing. Of equally good ones the first registered.
    """
    with crm.begin() as tx:
        rows = tx.connection.execute(_decided_about, wanted=DECISIONS_OF_EXAMPLE)
    return rows[0][0] if rows else None


def _weeks(calendar: Calendar, start: int, end: int) -> list[date]:
    """Return the first days of the weeks from *start* to *end*."""
    first, last = calendar.day_of(start), calendar.day_of(end)
    return [first + timedelta(days=days) for days in range(0, (last - first).days + 1, 7)]


def _by_week(
    connection: Connection, lifecycle: Lifecycle, days: Sequence[date], calendar: Calendar
) -> StagesByWeek:
    begins = [calendar.start_of(day) // QUARTER for day in days]
    added = {each.name: [0] * len(days) for each in lifecycle.stages}

    def week_of(quarter: int) -> int:
        return max(bisect_right(begins, quarter) - 1, 0)

    for quarter, count in connection.execute(_arrivals):
        added[lifecycle.initial][week_of(quarter)] += count
    for quarter, before, after, count in connection.execute(_moves):
        added[before][week_of(quarter)] -= count
        added[after][week_of(quarter)] += count
    stages = {}
    for name, additions in added.items():
        if any(additions):
            total = 0
            stages[name] = [total := total + addition for addition in additions]
    return StagesByWeek(first_days=days, stages=stages)
