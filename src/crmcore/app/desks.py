"""Desks: what staff are handed, who of them may do what, and what they looked at."""

from __future__ import annotations

from attrs import frozen

from crmcore.app.desk import Desk
from crmcore.app.opened import Opened
from crmcore.domain.arguments import check_whole
from crmcore.domain.identity import Known
from crmcore.errors import InputError
from crmcore.services.staff import access
from crmcore.services.staff.access import Access


@frozen(kw_only=True)
class StaffView:
    """Who may do what: each grant as its actions, its fields, and whether rows limit it."""

    name: str
    roles: tuple[str, ...]
    teams: tuple[str, ...]
    grants: tuple[tuple[tuple[str, ...], tuple[str, ...], bool], ...]


class DesksOfCrm(Opened):
    """The part of `Crm` that is for staff, and for who looks after them."""

    def desk(self, name: str) -> Desk:
        """
        Return the customers as a member of staff may see them.

        The shop's application says who is logged in: crmcore does not authenticate anybody.

        Raises:
            NotFoundError: If no member of staff has the name.
        """
        rights = self._parts.roles.rights(name)
        return Desk(self._parts, rights, retrying=self._retrying, read=self._read)

    def staff(self) -> list[StaffView]:
        """Return who may do what."""
        return [
            StaffView(
                name=each.name,
                roles=each.staff.roles,
                teams=each.staff.teams,
                grants=tuple(
                    (tuple(sorted(g.actions)), tuple(sorted(g.fields)), g.rule is not None)
                    for g in each.granted
                ),
            )
            for each in self._parts.roles
        ]

    def who_saw(self, known: Known, *, most: int = 100) -> list[Access]:
        """
        Return who looked at a customer, or tried to, newest first.

        Whoever looked at the one they were merged into, for as long as that lasted, is among them.
        """
        check_whole("most", most, least=0)
        with self._read() as unit:
            customer_id = self._parts.people.id_of(unit, known)
            return access.who_saw(unit.connection, customer_id, most=most)

    def accesses_of(self, name: str, *, most: int = 100) -> list[Access]:
        """Return what a member of staff looked at, or tried to, newest first; also one who left."""
        check_whole("most", most, least=0)
        if not isinstance(name, str):
            raise InputError(f"{name!r} is no member of staff; a name is expected")
        with self._read() as unit:
            return access.accesses_of(unit.connection, f"staff:{name}", most=most)

    def access_alarms(self, *, most: int = 100) -> list[Access]:
        """Return who looked at more customers in an hour than their roles expect, newest first."""
        check_whole("most", most, least=0)
        with self._read() as unit:
            return access.alarms(unit.connection, most=most)
