"""People: all that can be done about who customers are, in one place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from attrs import frozen

from crmcore.domain.arguments import check_text
from crmcore.domain.identity import Identifier, Known
from crmcore.errors import CustomerNotFoundError, InputError
from crmcore.services.identities import relations
from crmcore.services.identities.matches import Match, Matches
from crmcore.services.identities.proving import Proofs, Proven
from crmcore.services.identities.registration import Name, Owner
from crmcore.services.merging.merged_parts import related_to
from crmcore.services.merging.merging import Merge, MergeService, Unmerged
from crmcore.services.runtime import Runtime
from crmcore.services.unit import Unit

if TYPE_CHECKING:
    pass

T = TypeVar("T")

_LARGEST: Final = 2**63 - 1


@frozen(eq=False)
class People:
    """What can be done about who customers are, in an open transaction."""

    runtime: Runtime
    merging: MergeService
    matches: Matches
    proofs: Proofs

    @classmethod
    def of(cls, runtime: Runtime, merging: MergeService) -> People:
        """Return what can be done in one application."""
        schemes = runtime.identity.schemes
        return cls(runtime, merging, Matches(schemes), Proofs(runtime, merging))

    def find(self, unit: Unit, known: Known) -> int:
        """
        Return the id somebody is asked for by; an identifier's is its present owner's.

        Raises:
            CustomerNotFoundError: If nobody is known by the identifier.
            InputError: If it is neither an id nor an identifier.
        """
        name = self._checked(known)
        if isinstance(name, int):
            return name
        found = self.runtime.identity.find(unit.connection, [name]).get(name)
        if found is None:
            raise CustomerNotFoundError(Identifier(*name))
        return found

    def _checked(self, known: Known) -> int | Name:
        """Return an id as it is, or an identifier in its scheme's form."""
        if type(known) is int:
            if abs(known) > _LARGEST:  # which PostgreSQL would not even look for
                raise CustomerNotFoundError(f"customer {known}")
            return known
        if not isinstance(known, Identifier):
            raise InputError(
                f"{known!r} names no customer; an id, or an identifier such as "
                "Identifier('email', 'ada@example.com'), is expected"
            )
        known = self.runtime.identity.schemes.normalised(known)
        return known.scheme, known.value

    def id_of(self, unit: Unit, known: Known) -> int:
        """Return the present id of a customer: the survivor's, where they were merged."""
        found = self.find(unit, known)
        if isinstance(known, Identifier):
            return found
        return self.runtime.identity.present(unit.connection, [found])[found]

    def owner_of(self, unit: Unit, known: Known) -> Owner:
        """
        Return whose something is that is told of a customer, locked until the transaction ends.

        Raises:
            CustomerNotFoundError: If there is no such customer.
        """
        name = self._checked(known)
        identity, connection = self.runtime.identity, unit.connection
        if isinstance(name, int):
            return identity.look_up(connection, (), [name]).given[name]
        owner = identity.look_up(connection, [name], ()).named.get(name)
        if owner is None:
            raise CustomerNotFoundError(Identifier(*name))
        return owner

    def merge(self, unit: Unit, survivor: Known, merged: Known, reason: str | None) -> Merge:
        """See `Crm.merge`."""
        check_text("reason", reason)
        return self.merging.merge(unit, self._checked(survivor), self._checked(merged), reason)

    def merge_agreed(self, unit: Unit, agreed: Match) -> Merge | None:
        """Merge what policy agreed to; None, if that is no longer so, or they no longer fit."""
        if not isinstance(agreed, Match):
            raise InputError(f"{agreed!r} is no match; one that Crm.duplicates gives is expected")
        identity, connection = self.runtime.identity, unit.connection
        related = related_to(connection, agreed.other)  # whom the merge locks, too
        identity.look_up(connection, (), {agreed.customer, agreed.other, *related})
        if agreed not in self.matches.waiting(connection, identity):
            return None
        if not self.matches.fits(connection, agreed.customer, agreed.other):
            self.matches.reopen(connection, identity, agreed.customer, agreed.other)
            return None
        reason = f"by policy: {agreed.words}"
        return self.merging.merge(unit, agreed.customer, agreed.other, reason)

    def duplicates(self, unit: Unit) -> list[Match]:
        """See `Crm.duplicates`."""
        return self.matches.waiting(unit.connection, self.runtime.identity)

    def unmerge(self, unit: Unit, merge_id: int) -> Unmerged:
        """See `Crm.unmerge`."""
        if type(merge_id) is not int or abs(merge_id) > _LARGEST:
            raise InputError(f"{merge_id!r} is not the id of a merge; a whole number is expected")
        return self.merging.unmerge(unit, merge_id)

    def reject(self, unit: Unit, one: Known, other: Known) -> int:
        """See `Crm.reject_duplicate`."""
        both = self._look_up(unit, one, other)  # locked, or who records would decide anew
        identity, connection = self.runtime.identity, unit.connection
        return self.matches.reject(connection, identity, *both, now=unit.now, actor=unit.actor)

    def prove(
        self, unit: Unit, customer: Known, identifier: Identifier, reason: str | None
    ) -> Proven:
        """See `Crm.prove`."""
        check_text("reason", reason)
        if not isinstance(identifier, Identifier):
            raise InputError(f"{identifier!r} is no identifier; one is expected")
        return self.proofs.prove(unit, self._checked(customer), identifier, reason)

    def relate(self, unit: Unit, who: Known, name: str, whom: Known) -> bool:
        """See `Transaction.relate`."""
        relations.check(name)
        both = self._look_up(unit, who, whom)
        return relations.relate(unit.connection, both[0], name, both[1], unit.now)

    def unrelate(self, unit: Unit, who: Known, name: str, whom: Known) -> bool:
        """See `Transaction.unrelate`."""
        relations.check(name)
        both = self._look_up(unit, who, whom)
        return relations.unrelate(unit.connection, both[0], name, both[1])

    def _look_up(self, unit: Unit, one: Known, other: Known) -> tuple[int, int]:
        """Return the present ids of two, locked, so that no merge takes them away."""
        asked = self._checked(one), self._checked(other)
        names = {each for each in asked if not isinstance(each, int)}
        ids = {each for each in asked if isinstance(each, int)}
        found = self.runtime.identity.look_up(unit.connection, names, ids)
        for name in names - found.named.keys():
            raise CustomerNotFoundError(Identifier(*name))
        owners = [found.given[e] if isinstance(e, int) else found.named[e] for e in asked]
        return owners[0].customer_id, owners[1].customer_id
