"""The scheduler: what falls due happens, in the order in which it falls due."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from crmcore.domain.timer import Timer
from crmcore.hooks import Plugin, StageChanged, TimersDue
from crmcore.persistence.connection import Connection
from crmcore.services.background import timers
from crmcore.services.background.debts import dict_of
from crmcore.services.background.halving import Failure, attempt, failing, note_failures
from crmcore.services.background.portion import CONSISTENT, Begin, Portion, retried
from crmcore.services.background.timers import Claimed, TimerBatch
from crmcore.services.recording.encoding import Encoded
from crmcore.services.recording.ledger import is_recorded_since
from crmcore.services.recording.lifecycle import LifecycleService
from crmcore.services.recording.recorder import Recorder
from crmcore.services.runtime import Runtime
from crmcore.services.staff.tasking import TaskService
from crmcore.services.unit import Unit

STAGES: Final = "stages"
TIMERS: Final = "timers"


class Scheduler:
    """Fires timers, moves customers on whom time alone moves, and escalates tasks."""

    def __init__(
        self,
        runtime: Runtime,
        recorder: Recorder,
        lifecycles: Sequence[LifecycleService],
        begin: Begin,
        tasks: TaskService,
    ) -> None:
        self._database = runtime.database
        self._clock = runtime.clock
        self._recorder = recorder
        self._lifecycles = lifecycles
        self._begin = begin
        self._tasks = tasks
        self._plugins = {plugin.name: plugin for plugin in runtime.assembly}
        self._hook = runtime.assembly.of(Plugin.on_timers_due)
        self._run = dict_of(self._hook)

    def next_due(self, connection: Connection) -> int | None:
        """Return the next instant at which something falls due, or None."""
        dues = [lifecycle.next_due(connection) for lifecycle in self._lifecycles]
        dues += [timers.next_run(connection, self._run), self._tasks.next_due(connection)]
        return min((due for due in dues if due is not None), default=None)

    def work(self) -> Iterator[Portion]:
        """Do all that has fallen due by now, in order, and yield after each portion."""
        before: int | None = None
        while True:
            with self._database.begin(read_only=True) as connection:
                due = self.next_due(connection)
            if due is None or due > self._clock.now():
                return
            is_idle = True
            for portion in self.run():
                is_idle = False
                yield portion
            if is_idle and due == before:
                return  # other transactions have those who are left
            before = due

    def run(self) -> Iterator[Portion]:
        """
        Do what falls due next: stages up to the earliest timers' instant, then those timers.

        Tasks that go to somebody else then come before the timers of the same instant. Where no
        timer has fallen due, stages up to now. Yields after each transaction that did
        something. Whom other transactions have is left for the next time; timers never come
        before a stage that falls due with them or earlier.
        """
        waiting: list[TimerBatch] = []
        until: int | None = None
        escalates = False

        def advance() -> tuple[int, bool]:
            nonlocal until, waiting, escalates
            with self._begin() as unit:
                if until is None:
                    fires = timers.next_run(unit.connection, self._run)
                    moves = self._tasks.next_due(unit.connection)
                    at = min((due for due in (fires, moves) if due is not None), default=None)
                    if at is not None and at == fires and at <= unit.now:
                        waiting = timers.batches(unit.connection, self._run, at)
                    until = unit.now if at is None else min(at, unit.now)
                    escalates = moves is not None and moves <= until
                return self._advance(unit, until)

        left = True
        while left:
            moved = retried(self._database, advance)
            if moved is None:
                return
            count, left = moved
            if count:
                yield Portion(work=STAGES, done=count, due=until)
            elif left:
                return
        if escalates and until is not None:
            yield from self._tasks.work(until)
        for batch in waiting:
            yield from self._fire_all(batch)

    def _next_fixed(self, connection: Connection) -> int | None:
        """Return the instant of the next timers, or of a task that goes to somebody else."""
        dues = timers.next_run(connection, self._run), self._tasks.next_due(connection)
        return min((due for due in dues if due is not None), default=None)

    def _advance(self, unit: Unit, until: int) -> tuple[int, bool]:
        """Move on a portion; returns how many customers it was, and whether any are left."""
        changed: list[StageChanged] = []
        refused: list[Encoded] = []
        count, left = 0, False
        for lifecycle in self._lifecycles:
            moved = lifecycle.advance(unit, until)
            changed += moved.changed
            refused += moved.refused
            count += moved.customers
            left = left or moved.left
        if left:
            # Here it has run, but not yet for everybody: a rebuild must not take it for granted.
            unit.opening.time_run = max(until, unit.opening.time_run)
        else:
            unit.let_time_run(until)
        self._recorder.record_decisions(unit, changed, refused)
        return count, left

    def _fire_all(self, batch: TimerBatch) -> Iterator[Portion]:
        while True:
            portion = retried(self._database, lambda: self._fire(batch))
            if portion is None:
                return
            claimed = portion.done + portion.failed
            if claimed:
                yield portion
            if claimed < timers.AT_ONCE:
                return

    def _fire(self, batch: TimerBatch) -> Portion:
        """
        Fire a portion of a batch, in a transaction of its own.

        The whole shop's sees one state of all customers. That of customers locks them and then
        looks: a state from before the lock could miss what was committed while it was waited for.
        """
        plugin = self._plugins[batch.plugin]
        with self._begin(isolation=None if batch.of_customers else CONSISTENT) as unit:
            claimed = timers.claim(unit.connection, batch)
            if batch.of_customers:
                unit.settled.update(each.timer.customer_id or 0 for each in claimed)
            late = bool(claimed) and is_recorded_since(unit.connection, batch.due)
            failures = failing(
                claimed, lambda some: self._call(unit, plugin, batch, some, late=late)
            )
            failed = [each.timer for each, _ in failures]
            timers.fail(unit.connection, plugin.name, failed, unit.now)
            note_failures(
                unit, plugin, [(_about(each.timer), failure) for each, failure in failures]
            )
            self._recorder.record_decisions(unit)
        return Portion(
            work=TIMERS,
            plugin=plugin.name,
            done=len(claimed) - len(failures),
            failed=len(failures),
            due=batch.at,
        )

    def _call(
        self, unit: Unit, plugin: Plugin, batch: TimerBatch, some: Sequence[Claimed], *, late: bool
    ) -> Failure | None:
        context = unit.context(plugin)
        until = batch.due if batch.policy == "late" else max(batch.due, unit.now)
        acted: list[Timer] = []
        skipped: list[Timer] = []
        for each in some:
            is_late = each.skip_after is not None and unit.now > each.skip_after
            (skipped if is_late else acted).append(each.timer)
        event = TimersDue(
            timers=tuple(acted), due=batch.due, until=until, late=late, skipped=tuple(skipped)
        )

        def fire() -> None:
            timers.take(unit.connection, plugin.name, (each.timer for each in some))
            self._run[plugin.name](context, event)

        context.firing = until
        try:
            return attempt(unit, plugin, self._hook.name, fire)
        finally:
            context.firing = None


def _about(timer: Timer) -> str:
    whose = "the whole shop" if timer.customer_id is None else f"customer {timer.customer_id}"
    return f"timer {timer.key!r} of {whose}"
