"""Tasks: what staff are to do for customers."""

from __future__ import annotations

from datetime import datetime
from uuid import uuid4

from crmcore.app.opened import Opened
from crmcore.domain.arguments import check_text
from crmcore.domain.identity import Known
from crmcore.domain.task import DONE, Task, TaskDraft, TaskView
from crmcore.services.staff.tasking import filter_of


class TasksOfCrm(Opened):
    """The part of `Crm` that keeps what staff are to do."""

    def add_task(
        self,
        customer: Known,
        title: str,
        *,
        key: str | None = None,
        note: str | None = None,
        owner: str | None = None,
        due_at: datetime | int | None = None,
        escalate_at: datetime | int | None = None,
        escalate_to: str | None = None,
        actor: str | None = None,
    ) -> Task:
        """
        Add something to be done for a customer, in a transaction of its own, and return it.

        Args:
            customer: Whom it is about, by id or identifier.
            title: What is to be done, in a line.
            key: Its own among the customer's tasks: adding it twice is one task, which is
                returned as it is. None: it is a new one in any case.
            note: More on it, in as many lines as it takes.
            owner: A member of staff, or a team; None: whoever takes it.
            due_at: When it is to be done by: an aware datetime, or microseconds.
            escalate_at: When it goes to *escalate_to*, if nobody has finished it by then.
            actor: Who does it, such as `staff:grace`.

        Raises:
            CustomerNotFoundError: If there is no such customer.
            InputError: If a value is not right; nothing is written.
        """
        check_text("key", key)
        draft = TaskDraft(
            key=uuid4().hex if key is None else key,
            title=title,
            customer=customer,
            note=note,
            owner=owner,
            due_at=due_at,
            escalate_at=escalate_at,
            escalate_to=escalate_to,
        )
        return self.run_transaction(lambda tx: tx.add_task(draft), actor=actor)

    def assign_task(self, task_id: int, owner: str | None, *, actor: str | None = None) -> Task:
        """
        Give an open task to a member of staff or a team; None: to nobody in particular.

        Raises:
            NotFoundError: If there is no such task.
            InputError: If it was finished before.
        """
        return self.run_transaction(lambda tx: tx.assign_task(task_id, owner), actor=actor)

    def finish_task(
        self,
        task_id: int,
        outcome: str = DONE,
        *,
        reason: str | None = None,
        actor: str | None = None,
    ) -> Task:
        """
        Note that a task is done, what came of it, why, and by *actor* who did it.

        Raises:
            NotFoundError: If there is no such task.
            InputError: If it was finished before; says by whom.
        """
        return self.run_transaction(
            lambda tx: tx.finish_task(task_id, outcome, reason=reason), actor=actor
        )

    def drop_task(self, task_id: int, *, reason: str, actor: str | None = None) -> Task:
        """Note that a task is not to be done any more, and why; as `finish_task` otherwise."""
        return self.run_transaction(lambda tx: tx.drop_task(task_id, reason=reason), actor=actor)

    def tasks(
        self,
        *,
        owner: str | None = None,
        customer: Known | None = None,
        due_before: datetime | int | None = None,
        is_open: bool | None = True,
        latest: int = 3,
        most: int = 100,
    ) -> list[TaskView]:
        """
        Return the *most* tasks that are due first, each with what happened last.

        Args:
            owner: Only those of a member of staff, or a team.
            customer: Only those about this customer.
            due_before: Only those due before: an aware datetime, or microseconds.
            is_open: True: those to be done; False: those finished or dropped; None: both.
            latest: How many interactions of each task's customer to give with it.
        """
        with self._read() as unit:
            customer_id = None if customer is None else self._parts.people.id_of(unit, customer)
            wanted = filter_of(
                owner=owner, customer_id=customer_id, due_before=due_before, is_open=is_open
            )
            return self._parts.tasks.listed(unit, wanted, most=most, latest=latest)
