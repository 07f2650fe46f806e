"""Tasking: what staff, plugins and time do with tasks, each with its fact in the ledger."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from attrs import evolve
from sqlalchemy import Select, bindparam, select

from crmcore.domain.arguments import check_whole
from crmcore.domain.task import (
    DROPPED,
    Task,
    TaskDraft,
    TaskView,
    instant_of,
    needed_text,
    owner_of,
)
from crmcore.errors import InputError, NotFoundError, RetryTransaction
from crmcore.persistence.connection import Connection
from crmcore.persistence.customers import customer
from crmcore.persistence.portable import Portable, json_list
from crmcore.persistence.tasks import task
from crmcore.services.background.portion import Begin, Portion, retried
from crmcore.services.identities.people import People
from crmcore.services.privacy.erased import refuse_erased
from crmcore.services.recording.recorder import Recorder
from crmcore.services.runtime import Runtime
from crmcore.services.staff import tasks
from crmcore.services.staff.tasks import TaskFact, TaskFilter
from crmcore.services.unit import Unit

AT_ONCE: Final = 1000
WORK: Final = "tasks"
_LOOKS: Final = 3
_LARGEST: Final = 2**63 - 1

_is_due: Final = (
    task.c.done_at.is_(None)
    & task.c.escalate_at.is_not(None)
    & (task.c.escalate_at <= bindparam("until"))
)


class TaskService:
    """Adds, assigns, finishes and lists tasks, and lets time give them to somebody else."""

    def __init__(self, runtime: Runtime, recorder: Recorder, people: People, begin: Begin) -> None:
        self._runtime = runtime
        self._recorder = recorder
        self._people = people
        self._begin = begin
        portable = runtime.database.portable
        self._lock = _lock(portable)
        self._due = select(*task.columns).where(_is_due).order_by(task.c.task_id).limit(AT_ONCE)
        self._due_of = self._due.where(portable.is_in(task.c.customer_id, "customers"))

    # -- what staff do -----------------------------------------------------------------------

    def add(self, unit: Unit, draft: TaskDraft) -> Task:
        """Add a task of the shop's own; one of its key that is there is returned as it is."""
        (draft,) = tasks.checked([draft])
        owner = self._people.owner_of(unit, draft.customer)
        refuse_erased(unit.connection, [owner.customer_id], "no task can be added")
        (added,), facts = tasks.add_tasks(
            self._runtime,
            unit.connection,
            [(draft, owner)],
            plugin="",
            actor=unit.actor,
            now=unit.now,
        )
        self._recorder.record_decisions(unit, refused=facts)
        return added

    def assign(self, unit: Unit, task_id: int, owner: str | None) -> Task:
        """Give a task to a member of staff or a team; None: to nobody in particular."""
        owner = owner_of("owner", owner)
        before = self._open(unit, task_id)
        if before.owner == owner:
            return before
        payload = {"task": before.key, "owner": owner, "before": before.owner}
        return self._change(unit, evolve(before, owner=owner), "task.assigned", payload)

    def finish(self, unit: Unit, task_id: int, outcome: str, reason: str | None) -> Task:
        """Note that a task is done, with what came of it, and why."""
        needed_text("outcome", outcome)
        if reason is not None:
            needed_text("reason", reason)
        before = self._open(unit, task_id)
        after = evolve(
            before, done_instant=unit.now, done_by=unit.actor, outcome=outcome, reason=reason
        )
        payload = {"task": before.key, "outcome": outcome, "by": unit.actor, "reason": reason}
        return self._change(unit, after, "task.done", payload)

    def drop(self, unit: Unit, task_id: int, reason: str) -> Task:
        """Note that a task is not to be done any more, and why."""
        return self.finish(unit, task_id, DROPPED, needed_text("reason", reason))

    def find(self, unit: Unit, task_id: int) -> Task:
        """Return a task; raises `NotFoundError`."""
        if type(task_id) is not int or abs(task_id) > _LARGEST:
            raise InputError(f"{task_id!r} is not the id of a task; a whole number is expected")
        found = tasks.find_task(unit.connection, task_id)
        if found is None:
            raise NotFoundError(f"no task has the id {task_id}")
        return found

    def listed(
        self,
        unit: Unit,
        wanted: TaskFilter,
        *,
        most: int,
        latest: int,
        rule: tasks.Rule | None = None,
    ) -> list[TaskView]:
        """Return tasks, those due first, each with the *latest* interactions of its customer."""
        check_whole("most", most, least=0)
        check_whole("latest", latest, least=0)
        found = tasks.list_tasks(
            unit.connection, wanted, rule=rule, most=min(most, _LARGEST), now=unit.now
        )
        customers = {each.customer_id for each in found}
        facts = tasks.latest_of(self._runtime, unit.connection, customers, min(latest, _LARGEST))
        return [TaskView(task=each, latest=facts.get(each.customer_id, ())) for each in found]

    def locked(self, unit: Unit, task_id: int) -> Task:
        """Return a task, its customer locked until the transaction ends."""
        found = self.find(unit, task_id)
        for _ in range(_LOOKS):
            self._runtime.identity.lock(unit.connection, [found.customer_id])
            seen, found = found, self.find(unit, task_id)
            if found.customer_id == seen.customer_id:
                return found
        raise RetryTransaction(f"the customer of task {task_id} was merged while it was locked")

    def _open(self, unit: Unit, task_id: int) -> Task:
        """Return a task that is to be done, its customer locked."""
        found = self.locked(unit, task_id)
        if not found.is_open:
            by = f" by {found.done_by}" if found.done_by else ""
            raise InputError(f"task {task_id} was finished before{by}; an open task is expected")
        return found

    def _change(self, unit: Unit, after: Task, kind: str, payload: dict[str, Any]) -> Task:
        after = evolve(after, step=after.step + 1)
        tasks.write_changes(unit.connection, [after])
        fact = TaskFact(kind=kind, task=after, step=after.step, payload=payload)
        facts = tasks.encode(self._runtime, unit.connection, [fact], actor=unit.actor)
        self._recorder.record_decisions(unit, refused=facts)
        return after

    # -- what time does ----------------------------------------------------------------------

    def next_due(self, connection: Connection) -> int | None:
        """Return when the next open task goes to somebody else; None, if none does."""
        return tasks.next_escalation(connection)

    def work(self, until: int) -> Iterator[Portion]:
        """Give what was to be finished by *until*, and is not, to whom it goes then."""
        while True:
            done = retried(self._runtime.database, lambda: self._portion(until))
            if not done:
                return
            yield Portion(work=WORK, done=done, due=until)
            if done < AT_ONCE:
                return

    def _portion(self, until: int) -> int:
        with self._begin() as unit:
            due = self._claim(unit.connection, until)
            if due:
                self._escalate(unit, due)
            return len(due)

    def _claim(self, connection: Connection, until: int) -> list[Task]:
        """Return tasks whose customers are locked; those another transaction has are left."""
        if connection.database.portable.is_sqlite:
            rows = connection.execute(self._due, until=until)
        else:
            locked = {row[0] for row in connection.execute(self._lock, until=until)}
            # Read again under the lock: another transaction may have ended some meanwhile.
            rows = connection.execute(self._due_of, until=until, customers=json_list(locked))
        return [tasks.as_task(row) for row in rows]

    def _escalate(self, unit: Unit, due: Sequence[Task]) -> None:
        after = [
            evolve(
                each,
                owner=each.escalate_to,
                escalate_instant=None,
                escalated_instant=unit.now,
                step=each.step + 1,
            )
            for each in due
        ]
        tasks.write_changes(unit.connection, after)
        facts = [
            TaskFact(
                kind="task.escalated",
                task=now,
                step=now.step,
                payload={"task": now.key, "owner": now.owner, "before": before.owner},
            )
            for before, now in zip(due, after, strict=True)
        ]
        encoded = tasks.encode(self._runtime, unit.connection, facts)
        self._recorder.record_decisions(unit, refused=encoded)


def filter_of(
    *, owner: str | None, customer_id: int | None, due_before: Any, is_open: bool | None
) -> TaskFilter:
    """Return which tasks are wanted, for values as a shop gives them."""
    if is_open is not None and not isinstance(is_open, bool):
        raise InputError(f"is_open is {is_open!r}; True, False or None is expected")
    owner = owner_of("owner", owner)
    return TaskFilter(
        owners=None if owner is None else (owner,),
        customer_id=customer_id,
        due_before=instant_of("due_before", due_before),
        is_open=is_open,
    )


def _lock(portable: Portable) -> Select[Any]:
    chosen = select(task.c.customer_id).join(customer, customer.c.customer_id == task.c.customer_id)
    chosen = chosen.where(_is_due).order_by(task.c.task_id).limit(AT_ONCE)
    return portable.locked(chosen, of=customer, skip_locked=True)
