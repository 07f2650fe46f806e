"""Tasks: written down once each, read back, and listed with what happened last."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from attrs import frozen
from sqlalchemy import ColumnElement, Select, bindparam, func, select, update

from crmcore.domain.interaction import Draft, Interaction
from crmcore.domain.shadow import is_shadow
from crmcore.domain.task import MERGED, TASK_KINDS, Task, TaskDraft, check_task, instant_of
from crmcore.persistence.connection import Connection
from crmcore.persistence.ids import next_ids
from crmcore.persistence.ledger import in_shadow, interaction
from crmcore.persistence.portable import Portable, json_list
from crmcore.persistence.tasks import task, task_ids
from crmcore.services.identities.registration import Owner
from crmcore.services.recording.encoding import Encoded
from crmcore.services.recording.folds import own_source
from crmcore.services.recording.ledger import COLUMNS
from crmcore.services.runtime import Runtime

CORE: Final = "crmcore"
AT_MOST: Final = 2**62
"""More than there are: all of them."""
_NAMES: Final = tuple(kind.name for kind in TASK_KINDS)

_one = select(*task.columns).where(task.c.task_id == bindparam("wanted"))
_is_open: Final = task.c.done_at.is_(None)
_next = select(func.min(task.c.escalate_at)).where(_is_open, task.c.escalate_at.is_not(None))
_change = (
    update(task)
    .where(task.c.task_id == bindparam("wanted"), task.c.customer_id == bindparam("whose"))
    .values(
        {
            c: bindparam(f"new_{c}", type_=task.c[c].type)
            for c in (
                "owner",
                "escalate_at",
                "escalated_at",
                "done_at",
                "done_by",
                "outcome",
                "reason",
                "step",
            )
        }
    )
)


@frozen(kw_only=True)
class TaskFilter:
    """
    Which tasks are wanted; what is None is not asked.

    Attributes:
        owners: Any of these, members of staff or teams.
        due_before: An instant in microseconds.
        is_open: True: those to be done; False: those finished or dropped.
    """

    owners: tuple[str, ...] | None = None
    customer_id: int | None = None
    due_before: int | None = None
    is_open: bool | None = True

    def key(self) -> str:
        """Return what is equal for all that are asked by the same statement."""
        owners = None if self.owners is None else len(self.owners)
        return f"{owners} {self.customer_id is None} {self.due_before is None} {self.is_open}"

    def conditions(self) -> list[ColumnElement[bool]]:
        found: list[ColumnElement[bool]] = []
        if self.owners is not None:
            names: list[ColumnElement[str]] = [
                bindparam(f"owner_{n}") for n, _ in enumerate(self.owners)
            ]
            found.append(task.c.owner.in_(names))
        if self.customer_id is not None:
            found.append(task.c.customer_id == bindparam("customer"))
        if self.due_before is not None:
            found.append(task.c.due_at < bindparam("before"))
        if self.is_open is not None:
            found.append(_is_open if self.is_open else task.c.done_at.is_not(None))
        return found

    def values(self) -> dict[str, Any]:
        named: dict[str, Any] = {f"owner_{n}": each for n, each in enumerate(self.owners or ())}
        return {**named, "customer": self.customer_id, "before": self.due_before}


def as_task(row: Sequence[Any]) -> Task:
    """Return a row of the table as a value."""
    return Task(
        id=row[0],
        customer_id=row[1],
        recorded_for=row[2],
        plugin=row[3],
        key=row[4],
        title=row[5],
        note=row[6],
        owner=row[7],
        recorded_instant=row[8],
        due_instant=row[9],
        escalate_instant=row[10],
        escalate_to=row[11],
        escalated_instant=row[12],
        done_instant=row[13],
        done_by=row[14],
        outcome=row[15],
        reason=row[16],
        caused_by=row[17],
        step=row[18],
    )


def add_tasks(
    runtime: Runtime,
    connection: Connection,
    drafts: Sequence[tuple[TaskDraft, Owner]],
    *,
    plugin: str,
    actor: str | None,
    now: int,
) -> tuple[list[Task], list[Encoded]]:
    """
    Write those of *drafts* that their customers, who are locked, do not have.

    Returns the task of each draft, and the facts about the new ones, which are to be recorded.
    Those of a plugin in shadow are only told of: there is nothing to do.
    """
    without_addresses = runtime.identity.without_addresses
    keys = [without_addresses(draft.key) or "" for draft, _ in drafts]
    if is_shadow(plugin):
        rows = [_row(0, plugin, key, *each, now) for key, each in zip(keys, drafts, strict=True)]
        told = [_opened(as_task(row)) for row in rows]
        return [], encode(runtime, connection, told, source=_source(plugin), actor=actor)
    present = _present(connection, plugin, {owner.customer_id for _, owner in drafts})
    wanted = [(key, owner.customer_id) for key, (_, owner) in zip(keys, drafts, strict=True)]
    fresh = {}
    for place, each in zip(wanted, drafts, strict=True):
        if place not in present and place not in fresh:
            fresh[place] = each
    if fresh:
        ids = next_ids(connection, task_ids, task.c.task_id, len(fresh))
        rows = [
            _row(task_id, plugin, key, draft, owner, now)
            for task_id, ((key, _), (draft, owner)) in zip(ids, fresh.items(), strict=True)
        ]
        # Who sees an older state of the database than is so is told to do it again, not refused.
        put = connection.database.once(
            "add tasks", lambda: connection.database.portable.insert(task).on_conflict_do_nothing()
        )
        connection.insert_rows(put, rows)
        added = [as_task(row) for row in rows]
        present |= {(each.key, each.customer_id): each for each in added}
        facts = [_opened(each) for each in added]
        return (
            [present[place] for place in wanted],
            encode(runtime, connection, facts, source=_source(plugin), actor=actor),
        )
    return [present[place] for place in wanted], []


def _present(
    connection: Connection, plugin: str, customers: Iterable[int]
) -> dict[tuple[str, int], Task]:
    """Return the tasks of these customers by key; of two of a key, the one not put aside."""
    database = connection.database
    of_plugin = database.once(
        "tasks of a plugin",
        lambda: (
            select(*task.columns)
            .where(
                database.portable.is_in(task.c.customer_id, "customers"),
                task.c.plugin == bindparam("whose"),
            )
            .order_by(task.c.task_id)
        ),
    )
    found: dict[tuple[str, int], Task] = {}
    for row in connection.execute(of_plugin, customers=json_list(customers), whose=plugin):
        each = as_task(row)
        if each.outcome != MERGED:
            found.setdefault((each.key, each.customer_id), each)
    return found


def _row(
    task_id: int, plugin: str, key: str, draft: TaskDraft, owner: Owner, now: int
) -> tuple[Any, ...]:
    return (
        task_id,
        owner.customer_id,
        owner.recorded_for,
        plugin,
        key,
        draft.title,
        draft.note,
        draft.owner,
        now,
        instant_of("due_at", draft.due_at),
        instant_of("escalate_at", draft.escalate_at),
        draft.escalate_to,
        None,
        None,
        None,
        None,
        None,
        draft.caused_by,
        1,
    )


def checked(drafts: Iterable[TaskDraft]) -> list[TaskDraft]:
    """Return *drafts*, each of which can be stored; an `InputError` says what is wrong."""
    found = list(drafts)
    for draft in found:
        check_task(draft)
    return found


# -- facts -----------------------------------------------------------------------------------


@frozen(kw_only=True)
class TaskFact:
    """What is to be told to the ledger of a task, as its *step*-th fact."""

    kind: str
    task: Task
    step: int
    payload: Mapping[str, Any]
    caused_by: int | None = None


def encode(
    runtime: Runtime,
    connection: Connection,
    facts: Sequence[TaskFact],
    *,
    source: str = CORE,
    actor: str | None = None,
) -> list[Encoded]:
    """Return facts as they are recorded; they are decided, and deciding twice is one row."""
    references = runtime.identity.references(connection, {fact.task.recorded_for for fact in facts})
    return [
        runtime.ledger.encode(
            Draft(
                fact.kind,
                customer=fact.task.customer_id,
                source=source,
                source_key=(
                    f"task:{fact.task.plugin}/{fact.task.key}/{fact.step}"
                    f"/{references[fact.task.recorded_for]}"
                ),
                actor=actor or source,
                subject=f"task:{fact.task.key}",
                caused_by=fact.caused_by,
                payload=fact.payload,
            ),
            decided=True,
        )
        for fact in facts
    ]


def _opened(each: Task) -> TaskFact:
    return TaskFact(
        kind="task.opened",
        task=each,
        step=1,
        caused_by=each.caused_by,
        payload={
            "task": each.key,
            "owner": each.owner,
            "due_at": None if each.due_at is None else each.due_at.isoformat(),
            "title": each.title,
            "note": each.note,
        },
    )


def _source(plugin: str) -> str:
    return own_source(plugin) if plugin else CORE


# -- reading and changing ---------------------------------------------------------------------


def find_task(connection: Connection, task_id: int) -> Task | None:
    """Return a task, or None."""
    rows = connection.execute(_one, wanted=task_id)
    return as_task(rows[0]) if rows else None


def write_changes(connection: Connection, tasks: Iterable[Task]) -> None:
    """Write what may change of tasks, whose customers are locked."""
    connection.change_many(
        _change,
        [
            {
                "wanted": each.id,
                "whose": each.customer_id,
                "new_owner": each.owner,
                "new_escalate_at": each.escalate_instant,
                "new_escalated_at": each.escalated_instant,
                "new_done_at": each.done_instant,
                "new_done_by": each.done_by,
                "new_outcome": each.outcome,
                "new_reason": each.reason,
                "new_step": each.step,
            }
            for each in tasks
        ],
    )


def next_escalation(connection: Connection) -> int | None:
    """Return when the next open task goes to somebody else; None, if none does."""
    found: int | None = connection.execute(_next)[0][0]
    return found


@frozen
class Rule:
    """
    A further condition on tasks.

    Attributes:
        name: Equal only for equal conditions: each is compiled once.
        condition: With the present instant bound as `now`.
    """

    name: str
    condition: ColumnElement[bool]


def list_tasks(
    connection: Connection, wanted: TaskFilter, *, most: int, now: int, rule: Rule | None = None
) -> list[Task]:
    """Return the *most* tasks that are due first; those without a date come last."""

    def build() -> Select[Any]:
        conditions = wanted.conditions() + ([] if rule is None else [rule.condition])
        return (
            select(*task.columns)
            .where(*conditions)
            .order_by(task.c.due_at.asc().nulls_last(), task.c.task_id)
            .limit(bindparam("most"))
        )

    key = f"tasks {wanted.key()} {None if rule is None else rule.name}"
    statement = connection.database.once(key, build)
    rows = connection.execute(statement, **wanted.values(), most=most, now=now)
    return [as_task(row) for row in rows]


def latest_of(
    runtime: Runtime, connection: Connection, customers: Iterable[int], each: int
) -> dict[int, list[Interaction]]:
    """Return the *each* latest interactions of customers but those about tasks, newest first."""
    wanted = set(customers)
    if not wanted or not each:
        return {}
    database = connection.database
    statement = database.once("latest beside tasks", lambda: _latest(database.portable))
    found: dict[int, list[Interaction]] = {}
    for row in connection.execute(statement, customers=json_list(sorted(wanted)), each=each):
        fact = runtime.ledger.as_interaction(row)
        found.setdefault(fact.customer_id, []).append(fact)
    return found


def _latest(portable: Portable) -> Select[Any]:
    place = (
        func.row_number()
        .over(
            partition_by=interaction.c.customer_id,
            order_by=(interaction.c.occurred_at.desc(), interaction.c.interaction_id.desc()),
        )
        .label("place")
    )
    ranked = (
        select(*interaction.columns, place)
        .where(
            portable.is_in(interaction.c.customer_id, "customers"),
            interaction.c.kind.not_in(_NAMES),
            ~in_shadow,
        )
        .subquery()
    )
    return (
        select(*(ranked.c[name] for name in COLUMNS))
        .where(ranked.c.place <= bindparam("each"))
        .order_by(ranked.c.customer_id, ranked.c.place)
    )
