"""A transaction as the shop sees it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Final, TypeVar, Unpack

from attrs import frozen

from crmcore.domain.arguments import check_class, listed
from crmcore.domain.identity import Identifier, Known
from crmcore.domain.interaction import Draft, DraftFields, Interaction, make_draft
from crmcore.domain.message import (
    Broadcast,
    BroadcastFields,
    Content,
    Message,
    MessageDraft,
    check_window,
)
from crmcore.domain.task import DONE, Task, TaskDraft
from crmcore.errors import InputError, PluginNotFoundError
from crmcore.hooks import Audience, Context, IdList, Plugin
from crmcore.persistence.connection import Connection
from crmcore.services.background.scheduler import Scheduler
from crmcore.services.identities.identity import IdentifierTaken
from crmcore.services.identities.matches import Match
from crmcore.services.identities.people import People
from crmcore.services.identities.proving import Proven
from crmcore.services.merging.merging import Merge, Unmerged
from crmcore.services.messaging.consenting import Consenting
from crmcore.services.messaging.resent import warn_of_difference
from crmcore.services.recording.recorder import Recorder
from crmcore.services.staff.tasking import TaskService
from crmcore.services.starting.assembly import Assembly
from crmcore.services.unit import Unit

T = TypeVar("T")
PluginT = TypeVar("PluginT", bound=Plugin)

_LOOKS: Final = 3


def find_plugin(assembly: Assembly, wanted: type[PluginT]) -> PluginT:
    """
    Return the plugin of a class.

    Raises:
        InputError: If it is not the class of a plugin.
        PluginNotFoundError: If no plugin of that class is there.
    """
    check_class("the plugin", wanted, Plugin, "the class of a plugin, such as Tiering,")
    for plugin in assembly:
        if isinstance(plugin, wanted):
            return plugin
    raise PluginNotFoundError(wanted.name, [plugin.name for plugin in assembly])


def listed_drafts(drafts: Iterable[Draft]) -> list[Draft]:
    """
    Return what is to be recorded as a list.

    Raises:
        InputError: If it is no collection, or something in it is no draft; says where.
    """
    found = listed("drafts", drafts, "a list of Draft")
    for place, each in enumerate(found):
        if not isinstance(each, Draft):
            raise InputError(f"drafts[{place}] is {each!r}; a Draft is expected")
    return found


@frozen
class Recorded:
    """
    What became of drafts.

    Attributes:
        ids: The interaction of each draft, in their order: a new one, or the one recorded before.
        new: How many are new.
    """

    ids: Sequence[int]
    new: int

    @property
    def repeated(self) -> int:
        """How many had been recorded before."""
        return len(self.ids) - self.new


def record_one(
    unit: Unit, recorder: Recorder, kind: str | Draft, values: DraftFields
) -> Interaction:
    """Record one interaction, and return it as it is in the ledger."""
    ledger = unit.runtime.ledger
    draft = kind if isinstance(kind, Draft) else make_draft(kind, ledger.currency, values)
    batch = recorder.record(unit, [draft])
    if batch.new:
        return ledger.as_interaction(batch.new[0])
    return ledger.read(unit.connection, IdList(tuple(batch.ids)))[0]


class Transaction(Consenting):
    """An open transaction: what is recorded in it is kept together, or not at all."""

    def __init__(
        self,
        unit: Unit,
        recorder: Recorder,
        scheduler: Scheduler,
        people: People,
        tasks: TaskService,
    ) -> None:
        self._unit = unit
        self._recorder = recorder
        self._scheduler = scheduler
        self._people = people
        self._tasks = tasks

    @property
    def connection(self) -> Connection:
        """The open connection, for statements of one's own in the same transaction."""
        return self._unit.connection

    def record(self, kind: str | Draft, **values: Unpack[DraftFields]) -> Interaction:
        """
        Record one interaction and return it; one recorded before is returned as it was.

        Takes a `Draft`, or what `Crm.record` takes.
        """
        return self._whole(lambda: record_one(self._unit, self._recorder, kind, values))

    def record_many(self, drafts: Iterable[Draft]) -> Recorded:
        """Record a batch of interactions, each once."""
        drafts = listed_drafts(drafts)
        if not drafts:
            return Recorded((), 0)
        batch = self._whole(lambda: self._recorder.record(self._unit, drafts))
        return Recorded(batch.ids, len(batch.new))

    def _whole(self, work: Callable[[], T]) -> T:
        """Do all of *work* or nothing; again, where another transaction was quicker to register."""
        for _ in range(_LOOKS):
            try:
                with self._unit.whole():
                    return work()
            except IdentifierTaken:
                continue  # it has committed by now, so whom it registered is found
        with self._unit.whole():
            return work()

    @contextmanager
    def acting(self, plugin: type[PluginT]) -> Iterator[tuple[PluginT, Context]]:
        """
        Act as a plugin; what it decides inside is recorded at the end.

        Such as `with crm.begin() as tx, tx.acting(Tiering) as (tiering, ctx): ...`.
        """
        found = find_plugin(self._unit.runtime.assembly, plugin)
        with self._unit.whole():
            yield found, self._unit.context(found)
            self._unit.look_again()
            self._recorder.record_decisions(self._unit)

    def merge(self, survivor: Known, merged: Known, *, reason: str | None = None) -> Merge:
        """Make two customers one; see `Crm.merge`."""
        return self._whole(lambda: self._people.merge(self._unit, survivor, merged, reason))

    def unmerge(self, merge_id: int) -> Unmerged:
        """Make two of them again; see `Crm.unmerge`."""
        return self._whole(lambda: self._people.unmerge(self._unit, merge_id))

    def merge_agreed(self, agreed: Match) -> Merge | None:
        """Merge two of whom policy says that they are one, if it still does."""
        return self._whole(lambda: self._people.merge_agreed(self._unit, agreed))

    def reject_duplicate(self, one: Known, other: Known) -> int:
        """Note that two customers are not one; see `Crm.reject_duplicate`."""
        return self._whole(lambda: self._people.reject(self._unit, one, other))

    def prove(
        self, customer: Known, identifier: Identifier, *, reason: str | None = None
    ) -> Proven:
        """Give a customer an identifier that is proved to be theirs; see `Crm.prove`."""
        return self._whole(lambda: self._people.prove(self._unit, customer, identifier, reason))

    def relate(self, who: Known, relation: str, whom: Known) -> bool:
        """
        Note that a customer is `contact_of`, `household_of`, `child_of` or `referred_by` another.

        Returns whether that is new. Raises `InputError` for another relation, or one to oneself.
        """
        return self._whole(lambda: self._people.relate(self._unit, who, relation, whom))

    def unrelate(self, who: Known, relation: str, whom: Known) -> bool:
        """End a relation; returns whether there was one."""
        return self._whole(lambda: self._people.unrelate(self._unit, who, relation, whom))

    def add_task(self, draft: TaskDraft) -> Task:
        """Add something to be done for a customer; see `Crm.add_task`."""
        return self._whole(lambda: self._tasks.add(self._unit, draft))

    def assign_task(self, task_id: int, owner: str | None) -> Task:
        """Give a task to a member of staff or a team; see `Crm.assign_task`."""
        return self._whole(lambda: self._tasks.assign(self._unit, task_id, owner))

    def finish_task(self, task_id: int, outcome: str = DONE, *, reason: str | None = None) -> Task:
        """Note that a task is done; see `Crm.finish_task`."""
        return self._whole(lambda: self._tasks.finish(self._unit, task_id, outcome, reason))

    def drop_task(self, task_id: int, *, reason: str) -> Task:
        """Note that a task is not to be done any more; see `Crm.drop_task`."""
        return self._whole(lambda: self._tasks.drop(self._unit, task_id, reason))

    def send(self, draft: MessageDraft) -> Message:
        """Plan a message for one customer; see `Crm.send`."""
        unit, messages = self._unit, self._unit.runtime.messages

        def plan() -> list[int]:
            ids = messages.send(unit, [draft])
            self._recorder.record_decisions(unit)
            return ids

        (message_id,) = self._whole(plan)
        planned = messages.read(unit.connection, [message_id])[0]
        warn_of_difference(draft, planned)
        return planned

    def broadcast(
        self,
        key: str,
        audience: Audience,
        *,
        not_before: datetime | int | None = None,
        not_after: datetime | int | None = None,
        **values: Unpack[BroadcastFields],
    ) -> Broadcast:
        """Plan a message for many; see `Crm.broadcast`."""
        unit, messages = self._unit, self._unit.runtime.messages
        terms = {**values, "not_before": not_before, "not_after": not_after}
        draft = messages.broadcasts.checked(key, terms)
        check_window(not_before, not_after)

        def plan() -> Broadcast:
            planned = messages.broadcasts.plan(unit, draft, audience)
            self._recorder.record_decisions(unit)
            return planned

        return self._whole(plan)

    def stop_broadcast(self, key: str) -> Broadcast:
        """Call a broadcast off; see `Crm.stop_broadcast`."""
        broadcasts = self._unit.runtime.messages.broadcasts
        return self._whole(lambda: broadcasts.stop(self._unit, key))

    def pause_broadcast(self, key: str) -> Broadcast:
        """Let nothing more of a broadcast go for now; see `Crm.pause_broadcast`."""
        broadcasts = self._unit.runtime.messages.broadcasts
        return self._whole(lambda: broadcasts.pause(self._unit, key))

    def resume_broadcast(self, key: str) -> Broadcast:
        """Let a paused broadcast go on; see `Crm.resume_broadcast`."""
        broadcasts = self._unit.runtime.messages.broadcasts
        return self._whole(lambda: broadcasts.resume(self._unit, key))

    def edit_broadcast(self, key: str, content: Content) -> Broadcast:
        """Let a paused broadcast say something else from now on; see `Crm.edit_broadcast`."""
        broadcasts = self._unit.runtime.messages.broadcasts
        return self._whole(lambda: broadcasts.edit(self._unit, key, content))

    def next_due(self) -> int | None:
        """
        Return the next instant at which something falls due, in microseconds, or None.

        That is a stage, a timer, a task, or a message that waits.
        """
        connection = self._unit.connection
        dues = (
            self._scheduler.next_due(connection),
            self._unit.runtime.messages.next_due(connection),
        )
        return min((due for due in dues if due is not None), default=None)

    @property
    def has_sent(self) -> bool:
        """Whether a message was planned in the transaction, at the instant of all of it."""
        return self._unit.sent > 0

    @property
    def passed(self) -> frozenset[int]:
        """The instants at which time alone moved customers on, as their facts were recorded."""
        return frozenset(self._unit.passed)
