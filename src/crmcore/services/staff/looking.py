"""Looking: what a member of staff asks for is judged and noted, and only then read."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

from attrs import frozen

from crmcore.domain.clock import DAY
from crmcore.domain.identity import Identifier, Known
from crmcore.domain.role import FIND
from crmcore.domain.task import Task
from crmcore.errors import AccessRefusedError, CrmError, CustomerNotFoundError, NotFoundError
from crmcore.services.identities.people import People
from crmcore.services.staff import access
from crmcore.services.staff.access import NOBODY, Look
from crmcore.services.staff.pages import seen_task
from crmcore.services.staff.roles import Rights, RoleService
from crmcore.services.unit import Unit

Fields = Mapping[int, frozenset[str]]
Whose = Callable[[Unit], int]
"""Finds whom something is about, locked until the transaction ends."""

_READS_TEXTS: Final = {("read", "tasks"), ("read", "task_texts")}


class _OpensMoreError(Exception):
    """What was done would give who did it more rights."""


@frozen(kw_only=True)
class Judged:
    """
    What somebody may see of whom, which has been noted by now; or why they may not.

    Attributes:
        fields: By customer; those of whom they may see nothing are not there.
        refusal: What to raise once it is committed that they were refused; None: they were not.
    """

    fields: Fields
    refusal: CrmError | None = None


@frozen(eq=False)
class Looking:
    """Judges and notes, in a transaction that is committed before anything is shown."""

    people: People
    roles: RoleService

    def find(self, unit: Unit, rights: Rights, identifier: Identifier) -> int | None:
        """Return whom an identifier belongs to, if the member may read it of them."""
        try:
            found = self.people.find(unit, identifier)
        except CustomerNotFoundError:
            look = Look(action=FIND, customer_id=NOBODY, fields=(identifier.scheme,))
            self._note(unit, rights, [look])
            return None
        fields = rights.fields_of(unit.connection, "read", [found], unit.now)[found]
        look = Look(
            action=FIND,
            customer_id=found,
            fields=(identifier.scheme,),
            outcome="allowed" if identifier.scheme in fields else "refused",
        )
        self._note(unit, rights, [look])
        return found if identifier.scheme in fields else None

    def one(
        self,
        unit: Unit,
        rights: Rights,
        action: str,
        known: Known | Whose,
        *,
        field: str | None = None,
        reason: str | None = None,
        needs_reason: bool = False,
    ) -> Judged:
        """
        Judge an action on one customer: on all fields the roles give, or on *field* alone.

        Who reads somebody by an identifier learns whose it is, so they need to be allowed that.
        """
        by = known.scheme if action == "read" and isinstance(known, Identifier) else None
        try:
            customer_id = known(unit) if callable(known) else self.people.id_of(unit, known)
        except NotFoundError as error:
            asked = (field,) if field else ()
            look = Look(
                action=action,
                customer_id=NOBODY,
                fields=asked,
                outcome="refused",
            )
            self._note(unit, rights, [look])
            # Who may not see everybody is not told whether there is such a customer.
            unlimited = rights.is_unlimited(action, by)
            refusal = error if unlimited else _refused(rights, action, field, by=by)
            return Judged(fields={}, refusal=refusal)
        given = rights.fields_of(unit.connection, action, [customer_id], unit.now)[customer_id]
        if by is not None and by not in given:
            given = frozenset()
        wanted = given if field is None else given & {field}
        blank = needs_reason and not (reason or "").strip()
        allowed = bool(wanted) and not blank
        look = Look(
            action=action,
            customer_id=customer_id,
            fields=tuple(wanted if field is None else (field,)),
            outcome="allowed" if allowed else "refused",
            reason=reason,
        )
        self._note(unit, rights, [look])
        if not allowed:
            return Judged(fields={}, refusal=_refused(rights, action, field, blank=blank, by=by))
        return Judged(fields={customer_id: wanted})

    def page(
        self,
        unit: Unit,
        rights: Rights,
        *,
        after: int,
        most: int,
        reason: str | None,
        approved_by: str | None,
    ) -> Judged:
        """Judge a page of customers, those left out whom the member may not list."""
        if not rights.may("list"):
            return self._refuse(unit, rights, "list", _refused(rights, "list"))
        ids = rights.page(unit.connection, after=after, most=most, now=unit.now)
        fields = rights.fields_of(unit.connection, "list", ids, unit.now)
        fields = {customer_id: fields[customer_id] for customer_id in ids}
        refusal = None
        if len(ids) > rights.bulk_above:
            refusal = self._approve(unit, rights, "list", fields, approved_by)
        return self._bulk(unit, rights, "list", fields, refusal, reason)

    def export(
        self,
        unit: Unit,
        rights: Rights,
        customers: Sequence[Known],
        *,
        reason: str | None,
        approved_by: str | None,
    ) -> Judged:
        """Judge an export: of all of them, or of none."""
        refusal: CrmError | None = None
        # What they export elsewhere at this moment counts, too.
        unit.connection.take_turns(f"export by {rights.looker.actor}")
        ids: dict[int, None] = {}
        for each in customers:
            try:
                ids[self.people.id_of(unit, each)] = None
            except CustomerNotFoundError as error:
                refusal = error if rights.is_unlimited("export") else _refused(rights, "export")
                return self._refuse(unit, rights, "export", refusal)
        fields = rights.fields_of(unit.connection, "export", ids, unit.now)
        fields = {customer_id: fields[customer_id] for customer_id in ids}
        if not (reason or "").strip():
            refusal = _refused(rights, "export", blank=True)
        elif not all(fields.values()):
            refusal = _refused(rights, "export")
        else:
            before = access.exported_since(unit.connection, rights.looker.actor, unit.now - DAY)
            if len(before | fields.keys()) > rights.bulk_above:
                refusal = self._approve(unit, rights, "export", fields, approved_by)
        return self._bulk(unit, rights, "export", fields, refusal, reason)

    def working(
        self, unit: Unit, rights: Rights, customer_id: int, work: Callable[[], Task]
    ) -> tuple[Task | None, AccessRefusedError | None]:
        """
        Do *work* on a task of a customer, unless it would let the member see or do more of them.

        A rule may open customers to whoever has a task for them: nobody gives oneself one.
        Returns the task as the member may see it, its texts being noted where they are shown.
        """
        before = rights.all_of(unit.connection, customer_id, unit.now)
        try:
            with unit.whole():
                done = work()
                after = rights.all_of(unit.connection, customer_id, unit.now)
                if not after <= before:
                    raise _OpensMoreError
        except _OpensMoreError:
            refusal = AccessRefusedError(
                f"{rights.name} may not give themself a task that opens a customer to them; "
                "somebody else does"
            )
            look = Look(
                action="work", customer_id=customer_id, fields=("tasks",), outcome="refused"
            )
            self._note(unit, rights, [look])
            return None, refusal
        plain = rights.has(done) and before >= _READS_TEXTS
        if plain:
            note_tasks(unit, rights, {customer_id: frozenset({"tasks", "task_texts"})})
        return seen_task(done, plain=plain), None

    # -- the second person -------------------------------------------------------------------

    def _approve(
        self,
        unit: Unit,
        rights: Rights,
        action: str,
        fields: Fields,
        approved_by: str | None,
    ) -> AccessRefusedError | None:
        """Return why nobody else has approved what is more than one may do alone; or None."""
        limit = f"more than {rights.bulk_above} customers"
        if approved_by is None:
            return AccessRefusedError(
                f"{rights.name} may not {action} {limit} alone; approved_by, another member of "
                "staff who may approve it, is expected"
            )
        if approved_by == rights.name:
            return AccessRefusedError(
                f"{rights.name} cannot approve what they {action} themself; another member of "
                "staff is expected"
            )
        try:
            second = self.roles.rights(approved_by)
        except NotFoundError as error:
            return AccessRefusedError(f"{error}; one who may approve is expected")
        given = second.fields_of(unit.connection, "approve", fields, unit.now)
        may = all(names <= given[customer_id] for customer_id, names in fields.items())
        # Not their reason, which may name somebody: it stands with each of the customers.
        about = f"{action} of {len(fields)} customers by {rights.name}"
        look = Look(
            action="approve",
            customer_id=NOBODY,
            fields=tuple(frozenset().union(*fields.values())),
            outcome="allowed" if may else "refused",
            reason=about,
        )
        access.note(unit.connection, second.looker, [look], unit.now)
        if may:
            return None
        return AccessRefusedError(f"{approved_by} may not approve that {rights.name} {action}s it")

    # -- noting ------------------------------------------------------------------------------

    def _bulk(
        self,
        unit: Unit,
        rights: Rights,
        action: str,
        fields: Fields,
        refusal: CrmError | None,
        reason: str | None,
    ) -> Judged:
        outcome: access.Outcome = "allowed" if refusal is None else "refused"
        looks = [
            Look(
                action=action,
                customer_id=customer_id,
                fields=tuple(names),
                outcome=outcome,
                reason=reason,
            )
            for customer_id, names in fields.items()
        ]
        self._note(unit, rights, looks)
        return Judged(fields=fields if refusal is None else {}, refusal=refusal)

    def _refuse(self, unit: Unit, rights: Rights, action: str, refusal: CrmError) -> Judged:
        # Without their reason: no erasure would find whom it names.
        look = Look(action=action, customer_id=NOBODY, outcome="refused")
        self._note(unit, rights, [look])
        return Judged(fields={}, refusal=refusal)

    def _note(self, unit: Unit, rights: Rights, looks: Sequence[Look]) -> None:
        access.note(unit.connection, rights.looker, looks, unit.now)


def note_tasks(unit: Unit, rights: Rights, fields: Fields) -> None:
    """Note of whose tasks a list is about to be shown."""
    looks = [
        Look(action="read", customer_id=customer_id, fields=tuple(names))
        for customer_id, names in fields.items()
    ]
    access.note(unit.connection, rights.looker, looks, unit.now)


def shown_beside_tasks(names: Collection[str]) -> frozenset[str]:
    """Return those of the fields that a list of tasks shows."""
    return frozenset(names) & {"tasks", "task_texts", "interactions", "texts"}


def _refused(
    rights: Rights,
    action: str,
    field: str | None = None,
    *,
    blank: bool = False,
    by: str | None = None,
) -> AccessRefusedError:
    what = f"{action} {field}" if field else action
    if blank:
        return AccessRefusedError(f"{rights.name} may not {what} without saying why; give a reason")
    roles = rights.looker.role or "none"
    return AccessRefusedError(
        f"{rights.name} may not {what} here: none of their roles ({roles}) grants it for this "
        f"customer{f' by {by}' if by else ''}, if there is one; the attempt is on record"
    )
