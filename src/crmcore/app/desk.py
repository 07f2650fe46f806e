"""Desk: the customers as one member of staff may see them, and the record of what they did."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol, TypeVar, Unpack

from attrs import evolve

from crmcore.app.parts import Parts
from crmcore.domain.arguments import check_text, check_whole, listed
from crmcore.domain.identity import Identifier, Known
from crmcore.domain.interaction import DraftFields
from crmcore.domain.role import ME, MY_TEAMS, TEXT_FIELDS
from crmcore.domain.task import DONE, Task, TaskDraft
from crmcore.errors import CrmError, InputError, nearest
from crmcore.services.staff import tasks
from crmcore.services.staff.looking import Judged, Whose, note_tasks, shown_beside_tasks
from crmcore.services.staff.pages import Page, SeenTask, seen_task
from crmcore.services.staff.roles import Rights
from crmcore.services.staff.tasking import filter_of
from crmcore.services.staff.tasks import TaskFilter
from crmcore.services.transaction import record_one
from crmcore.services.unit import Unit

T = TypeVar("T")

_MOST = 1_000_000


class Retrying(Protocol):
    """What does work in a transaction of its own, again where another one stood in its way."""

    def __call__(self, work: Callable[[Unit], T], *, actor: str | None = None) -> T: ...


class Desk:
    """
    The customers as one member of staff may see them.

    What they ask for is noted, and the note is committed, before anything is returned; what they
    are refused, too. Identifiers and texts are masked; `reveal` and `export` give them, for a
    reason.
    """

    def __init__(
        self,
        parts: Parts,
        rights: Rights,
        *,
        retrying: Retrying,
        read: Callable[[], AbstractContextManager[Unit]],
    ) -> None:
        self._parts = parts
        self._rights = rights
        self._retrying = retrying
        self._read = read

    @property
    def name(self) -> str:
        """The member's name."""
        return self._rights.name

    # -- looking -----------------------------------------------------------------------------

    def find(self, identifier: Identifier) -> int | None:
        """
        Return the id of the customer known by *identifier*, or None.

        None, too, for somebody of whom the member may not read such identifiers.
        """
        if not isinstance(identifier, Identifier):
            raise InputError(
                f"{identifier!r} is no identifier; one such as "
                "Identifier('email', 'ada@example.com') is expected"
            )
        return self._noting(lambda unit: self._parts.looking.find(unit, self._rights, identifier))

    def customer(self, known: Known, *, most: int = 20) -> Page:
        """
        Return the page of a customer, with the *most* latest interactions.

        Raises:
            AccessRefusedError: If no role of the member's lets them read anything of it, or the
                identifier they ask by.
            CustomerNotFoundError: If there is none, and they may read everybody.
        """
        check_whole("most", most, least=0)
        judged = self._judged(
            lambda unit: self._parts.looking.one(unit, self._rights, "read", known)
        )
        return self._pages(judged, most=most)[0]

    def customers(
        self,
        *,
        after: int = 0,
        most: int = 50,
        reason: str | None = None,
        approved_by: str | None = None,
    ) -> list[Page]:
        """
        Return a page of the customers the member may list, by id.

        Neither interactions nor what plugins describe is among it.

        Args:
            after: The id of the last one of the page before.
            most: How many.
            reason: Why; it is on record.
            approved_by: Another member of staff, for more than the roles let one list alone.

        Raises:
            AccessRefusedError: If no role lets them list customers, or a second person is missing.
        """
        check_whole("after", after, least=0)
        check_whole("most", most, least=1)
        check_text("reason", reason)
        judged = self._judged(
            lambda unit: self._parts.looking.page(
                unit,
                self._rights,
                after=after,
                most=min(most, _MOST),
                reason=reason,
                approved_by=approved_by,
            )
        )
        with self._read() as unit:
            return self._parts.pages.read(unit, judged.fields, most=0, described=False)

    def reveal(self, known: Known, field: str, reason: str) -> tuple[str, ...]:
        """
        Return the values of one personal field of a customer, as they are.

        Args:
            known: Whom, by id or identifier.
            field: A scheme of identifiers, such as `email`; `texts`, or `task_texts`.
            reason: Why they are needed; it is on record.

        Raises:
            AccessRefusedError: If no role grants it for this customer, or no reason is given.
        """
        check_text("reason", reason)
        known_fields = (*self._parts.pages.schemes, *TEXT_FIELDS)
        if field not in known_fields:
            raise InputError(
                f"{field!r} is no personal field{nearest(field, known_fields)}; one of "
                f"{', '.join(known_fields)} is expected"
            )
        judged = self._judged(
            lambda unit: self._parts.looking.one(
                unit, self._rights, "reveal", known, field=field, reason=reason, needs_reason=True
            )
        )
        (customer_id,) = judged.fields
        with self._read() as unit:
            return self._parts.pages.reveal(unit, customer_id, field)

    def export(
        self,
        customers: Known | Iterable[Known],
        *,
        reason: str,
        approved_by: str | None = None,
    ) -> list[Page]:
        """
        Return the pages of customers with nothing masked, to be taken away.

        Args:
            customers: One or several, by id or identifier.
            reason: Why they are needed; it is on record.
            approved_by: Another member of staff, where more customers are exported in a day than
                the roles let one export alone.

        Raises:
            AccessRefusedError: If one of them may not be exported, then none is; or if the
                reason or the second person is missing.
        """
        check_text("reason", reason)
        several = [customers] if isinstance(customers, int | Identifier) else customers
        wanted = listed("customers", several, "a customer, or a list of them,")
        judged = self._judged(
            lambda unit: self._parts.looking.export(
                unit, self._rights, wanted, reason=reason, approved_by=approved_by
            )
        )
        return self._pages(judged, most=tasks.AT_MOST, plain=True)

    # -- doing -------------------------------------------------------------------------------

    def record(self, known: Known, kind: str, **values: Unpack[DraftFields]) -> int:
        """
        Record an interaction of a customer, and return its id; see `Crm.record`.

        Raises:
            AccessRefusedError: If no role lets the member record something of this customer.
        """

        def work(unit: Unit, customer_id: int) -> tuple[int, None]:
            draft: DraftFields = {**values, "customer": customer_id, "actor": unit.actor}
            return record_one(unit, self._parts.recorder, kind, draft).id, None

        whose = self._locked(known)
        return self._acting("record", "interactions", whose, work, reason=str(kind))

    def add_task(self, known: Known, title: str, *, key: str, owner: str | None = ME) -> Task:
        """
        Add something to be done for a customer, by oneself unless *owner* says otherwise.

        Texts of a task that is not the member's, or that they may not read, are hidden.
        """
        whose = self.name if owner == ME else owner

        def work(unit: Unit, customer_id: int) -> Task:
            draft = TaskDraft(key=key, title=title, customer=customer_id, owner=whose)
            return self._parts.tasks.add(unit, draft)

        return self._working(self._locked(known), work)

    def assign_task(self, task_id: int, owner: str | None) -> Task:
        """Give a task to a member of staff or a team; see `Crm.assign_task`, and `add_task`."""
        return self._on_task(task_id, lambda unit: self._parts.tasks.assign(unit, task_id, owner))

    def finish_task(self, task_id: int, outcome: str = DONE, *, reason: str | None = None) -> Task:
        """Note that a task is done, by the member; see `Crm.finish_task`, and `add_task`."""
        return self._on_task(
            task_id, lambda unit: self._parts.tasks.finish(unit, task_id, outcome, reason)
        )

    def tasks(
        self,
        *,
        owner: str | None = None,
        due_before: datetime | int | None = None,
        is_open: bool | None = True,
        latest: int = 3,
        most: int = 50,
    ) -> list[SeenTask]:
        """
        Return the *most* tasks due first of customers whose tasks the member may read.

        Args:
            owner: `me`, `my teams`, or the name of somebody; None: anybody's.
            due_before: Only those due before: an aware datetime, or microseconds.
            is_open: True: those to be done; False: those finished or dropped; None: both.
            latest: How many interactions of each customer, where those may be read.
        """
        check_whole("latest", latest, least=0)
        check_whole("most", most, least=0)
        wanted = filter_of(
            owner=None if owner in (ME, MY_TEAMS) else owner,
            customer_id=None,
            due_before=due_before,
            is_open=is_open,
        )
        if owner in (ME, MY_TEAMS):
            wanted = evolve(
                wanted, owners=(self.name,) if owner == ME else self._rights.staff.teams
            )
        found, fields = self._noting(lambda unit: self._tasks_noted(unit, wanted, most))
        with self._read() as unit:
            whose = [c for c, names in fields.items() if "interactions" in names]
            facts = tasks.latest_of(self._parts.pages.runtime, unit.connection, whose, latest)
        return [
            SeenTask(
                task=seen_task(each, plain=self._rights.has(each) and "task_texts" in names),
                latest=self._parts.pages.facts(
                    facts.get(each.customer_id, ()), texts="texts" in names, plain=False
                ),
            )
            for each in found
            for names in [fields[each.customer_id]]
        ]

    # -- how ---------------------------------------------------------------------------------

    def _tasks_noted(
        self, unit: Unit, wanted: TaskFilter, most: int
    ) -> tuple[list[Task], dict[int, frozenset[str]]]:
        rule = self._rights.rule_on_tasks(unit.connection)
        found = tasks.list_tasks(
            unit.connection, wanted, most=min(most, _MOST), now=unit.now, rule=rule
        )
        given = self._rights.fields_of(
            unit.connection, "read", {each.customer_id for each in found}, unit.now
        )
        fields = {c: shown_beside_tasks(names) for c, names in given.items()}
        note_tasks(unit, self._rights, fields)
        return found, fields

    def _noting(self, work: Callable[[Unit], T]) -> T:
        return self._retrying(work, actor=self._rights.looker.actor)

    def _judged(self, judge: Callable[[Unit], Judged]) -> Judged:
        judged = self._noting(judge)
        if judged.refusal is not None:
            raise judged.refusal
        return judged

    def _pages(self, judged: Judged, *, most: int, plain: bool = False) -> list[Page]:
        with self._read() as unit:
            return self._parts.pages.read(unit, judged.fields, most=most, plain=plain)

    def _acting(
        self,
        action: str,
        field: str,
        whose: Whose,
        work: Callable[[Unit, int], tuple[T | None, CrmError | None]],
        *,
        reason: str | None = None,
    ) -> T:
        """Do something to a customer, in one transaction with the note of it."""

        def judged_and_done(unit: Unit) -> tuple[T | None, CrmError | None]:
            judged = self._parts.looking.one(
                unit, self._rights, action, whose, field=field, reason=reason
            )
            if judged.refusal is not None:
                return None, judged.refusal
            (customer_id,) = judged.fields
            return work(unit, customer_id)

        done, refusal = self._noting(judged_and_done)
        if refusal is not None:
            raise refusal
        return done  # type: ignore[return-value]

    def _working(self, whose: Whose, work: Callable[[Unit, int], Task]) -> Task:
        def guarded(unit: Unit, customer_id: int) -> tuple[Task | None, CrmError | None]:
            return self._parts.looking.working(
                unit, self._rights, customer_id, lambda: work(unit, customer_id)
            )

        return self._acting("work", "tasks", whose, guarded)

    def _on_task(self, task_id: int, work: Callable[[Unit], Task]) -> Task:
        # Locked before it is judged, as somebody may undo a merge of its customer meanwhile.
        return self._working(
            lambda unit: self._parts.tasks.locked(unit, task_id).customer_id,
            lambda unit, _: work(unit),
        )

    def _locked(self, known: Known) -> Whose:
        return lambda unit: self._parts.people.owner_of(unit, known).customer_id
