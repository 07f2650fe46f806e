"""Tasks: what staff are to do for a customer."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from attrs import frozen

from crmcore.domain.clock import FIRST, LAST, to_datetime, to_instant
from crmcore.domain.identity import Known
from crmcore.domain.interaction import Interaction
from crmcore.domain.kind import Kind, personal
from crmcore.domain.structuring import NUL, Erased, is_encodable
from crmcore.errors import InputError

DONE: Final = "done"
DROPPED: Final = "dropped"
MERGED: Final = "merged"
"""What becomes of a task whose customer was merged into one who has an open one of its key."""

_LONGEST_KEY: Final = 120
_LONGEST_OWNER: Final = 120


@frozen(kw_only=True)
class TaskOpened:
    """There is something to do for a customer."""

    task: str
    owner: str | None = None
    due_at: str | None = None
    title: str | Erased | None = personal(default=None)
    note: str | Erased | None = personal(default=None)


@frozen(kw_only=True)
class TaskAssigned:
    """A task went to a member of staff or a team; None: to nobody in particular."""

    task: str
    owner: str | None
    before: str | None


@frozen(kw_only=True)
class TaskDone:
    """A task was finished, or dropped, and by whom."""

    task: str
    outcome: str | Erased = personal()
    by: str | None = None
    reason: str | Erased | None = personal(default=None)


TASK_KINDS: Final = (
    Kind(
        "task.opened",
        payload=TaskOpened,
        description="Something is to be done for a customer.",
    ),
    Kind(
        "task.assigned",
        payload=TaskAssigned,
        description="A task went to somebody else.",
    ),
    Kind(
        "task.escalated",
        payload=TaskAssigned,
        description="Nobody had finished a task by a set time, so it went to somebody else.",
    ),
    Kind("task.done", payload=TaskDone, description="A task was finished, or dropped."),
)


@frozen(kw_only=True)
class TaskDraft:
    """
    A task that is about to be added.

    Attributes:
        key: Its own among the tasks of who adds it: a customer has one of a key, for ever.
        title: What is to be done, in a line. It and the note are the customer's personal data.
        customer: Whom it is about, by id or identifier.
        note: More on it, in as many lines as it takes.
        owner: A member of staff, or a team; None: whoever takes it.
        due_at: When it is to be done by: an aware datetime, or microseconds.
        escalate_at: When it goes to *escalate_to*, if nobody has finished it by then.
        escalate_to: A member of staff, or a team; given with *escalate_at*, or not at all.
        caused_by: The id of the interaction that led to it.
    """

    key: str
    title: str
    customer: Known
    note: str | None = None
    owner: str | None = None
    due_at: datetime | int | None = None
    escalate_at: datetime | int | None = None
    escalate_to: str | None = None
    caused_by: int | None = None


@frozen(kw_only=True)
class Task:
    """
    A task as it stands; instants in microseconds.

    Attributes:
        id: Its own.
        customer_id: Whose it is now.
        recorded_for: Whom it was added for, for ever.
        plugin: Whose it is; empty: the shop's own.
        key: Its own among the customer's tasks of who added it.
        title: What is to be done.
        note: More on it.
        owner: A member of staff, or a team; None: whoever takes it.
        recorded_instant: When it was added.
        due_instant: When it is to be done by.
        escalate_instant: When it goes to *escalate_to*, if nobody has finished it by then.
        escalate_to: A member of staff, or a team.
        escalated_instant: When it went to somebody else, as nobody had finished it.
        done_instant: When it was finished or dropped; None while it is open.
        done_by: Who finished it.
        outcome: `done` or what staff said instead, `dropped`, or `merged`.
        reason: Why it ended as it did.
        caused_by: The id of the interaction that led to it.
        step: How many facts of it the ledger has.
    """

    id: int
    customer_id: int
    recorded_for: int
    plugin: str
    key: str
    title: str
    note: str | None
    owner: str | None
    recorded_instant: int
    due_instant: int | None
    escalate_instant: int | None
    escalate_to: str | None
    escalated_instant: int | None
    done_instant: int | None
    done_by: str | None
    outcome: str | None
    reason: str | None
    caused_by: int | None
    step: int

    @property
    def is_open(self) -> bool:
        """Whether it is still to be done."""
        return self.done_instant is None

    @property
    def due_at(self) -> datetime | None:
        """When it is to be done by, in UTC."""
        return None if self.due_instant is None else to_datetime(self.due_instant)


@frozen(kw_only=True)
class TaskView:
    """A task, and what happened last between the shop and its customer, newest first."""

    task: Task
    latest: Sequence[Interaction] = ()


def check_task(draft: TaskDraft) -> None:
    """
    Refuse a task that cannot be stored, or would never be seen again.

    Raises:
        InputError: Names the field, what was found and what is expected.
    """
    if not isinstance(draft, TaskDraft):
        raise InputError(f"{draft!r} is no task; a TaskDraft is expected")
    needed_text("key", draft.key, most=_LONGEST_KEY)
    needed_text("title", draft.title)
    if draft.note is not None:
        needed_text("note", draft.note)
    for name in ("owner", "escalate_to"):
        owner_of(name, getattr(draft, name))
    escalate_at = instant_of("escalate_at", draft.escalate_at)
    instant_of("due_at", draft.due_at)
    if (escalate_at is None) != (draft.escalate_to is None):
        given, missing = ("escalate_at", "escalate_to")[:: 1 if escalate_at is not None else -1]
        raise InputError(f"{given} is given without {missing}; both are expected, or neither")
    cause = draft.caused_by
    if cause is not None and type(cause) is not int:
        raise InputError(f"caused_by is {cause!r}; an interaction's id, or None, is expected")


def needed_text(name: str, value: Any, *, most: int | None = None) -> str:
    """Return *value* if it is text that is not blank and can be stored."""
    if not isinstance(value, str) or not value.strip():
        raise InputError(f"{name} is {value!r}; text that is not blank is expected")
    if most is not None and len(value) > most:
        raise InputError(f"{name} has {len(value)} characters; 1 to {most} are expected")
    if NUL in value or not is_encodable(value):
        raise InputError(f"{name} is {value!r}, which cannot be stored; text is expected")
    return value


def owner_of(name: str, value: Any) -> str | None:
    """Return *value* if it can be an owner: the name of a member of staff or a team, or None."""
    return None if value is None else needed_text(name, value, most=_LONGEST_OWNER)


def instant_of(name: str, value: Any) -> int | None:
    """Return an instant in microseconds, given so or as an aware datetime, or None."""
    if value is None or isinstance(value, datetime):
        return None if value is None else to_instant(value)
    if type(value) is not int or not FIRST <= value <= LAST:
        raise InputError(
            f"{name} is {value!r}; an aware datetime, microseconds since 1970, or None is expected"
        )
    return value
