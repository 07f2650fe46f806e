"""Proof: what a guest left behind becomes a customer's who shows that it is theirs."""

from __future__ import annotations

from attrs import evolve, frozen

from crmcore.domain.identity import Identifier
from crmcore.errors import CustomerNotFoundError, InputError
from crmcore.services.identities.identity import Known
from crmcore.services.identities.matches import Matches
from crmcore.services.identities.registration import Name, Owner
from crmcore.services.merging.merging import Merge, MergeService
from crmcore.services.privacy.erased import refuse_erased
from crmcore.services.runtime import Runtime
from crmcore.services.unit import Unit


@frozen(kw_only=True)
class Proven:
    """
    What became of a proof.

    Attributes:
        added: Whether the identifier is new to the customer.
        merge: The merge with the guest who had given it, if there was one.
        proposed: Somebody who may be the same, and about whom a person decides: who has the
            identifier already, or had given it, and is known by others as well.
    """

    customer: int
    identifier: Identifier
    added: bool = False
    merge: Merge | None = None
    proposed: int | None = None


class Proofs:
    """Takes proofs, such as a click on a link that was sent to an address."""

    def __init__(self, runtime: Runtime, merging: MergeService) -> None:
        self._identity = runtime.identity
        self._schemes = runtime.identity.schemes
        self._merging = merging
        self._matches = Matches(runtime.identity.schemes)
        self._guests = {each.guest_of: each.name for each in self._schemes if each.guest_of}

    def prove(
        self, unit: Unit, customer: int | Name, identifier: Identifier, reason: str | None
    ) -> Proven:
        """
        Give the customer, asked for by id or name, the identifier, and what a guest of it left.

        Raises:
            CustomerNotFoundError: If there is no such customer.
            InputError: If the identifier is blocked, or is itself a guest's.
        """
        name = self._name(identifier)
        guest: Name = (self._guests.get(name[0], ""), name[1])
        known, prover = self._look_up(unit, customer, {name, guest})
        who = prover.customer_id
        refuse_erased(unit.connection, (who,), "nothing can be proved to be theirs")
        proven = Proven(customer=who, identifier=Identifier(*name))
        owner = known.named.get(name)
        if owner is None:
            self._identity.add(unit.connection, name, prover, unit.now)
            proven = evolve(proven, added=True)
        elif owner.customer_id != who:
            proven = self._propose(unit, proven, owner.customer_id, name[0])
        left = known.named.get(guest)
        if left is None or left.customer_id == who:
            return proven
        if not self._identity.is_guest(unit.connection, left.customer_id):
            return self._propose(unit, proven, left.customer_id, name[0], guest[0])
        reason = reason or f"proved to have the {name[0]} that the guest had given"
        return evolve(proven, merge=self._merging.merge(unit, who, left.customer_id, reason))

    def _look_up(self, unit: Unit, customer: int | Name, names: set[Name]) -> tuple[Known, Owner]:
        """Return whose the names are, and who the customer is, once all of them are locked."""
        if isinstance(customer, int):
            known = self._identity.look_up(unit.connection, names, {customer})
            return known, known.given[customer]
        # Not looked up before: a merge, or its end, may take a name elsewhere until it is locked.
        known = self._identity.look_up(unit.connection, {*names, customer}, ())
        if customer not in known.named:
            raise CustomerNotFoundError(Identifier(*customer))
        return known, known.named[customer]

    def _name(self, identifier: Identifier) -> Name:
        if self._schemes[identifier.scheme].guest_of is not None:
            raise InputError(
                f"{identifier.scheme} is what a guest gave without proof; prove "
                f"{self._schemes[identifier.scheme].guest_of} instead"
            )
        names = self._schemes.names([identifier])
        if not names:
            raise InputError(f"{identifier} is blocked, so it can be nobody's")
        return names[0]

    def _propose(self, unit: Unit, proven: Proven, other: int, *schemes: str) -> Proven:
        tie = (proven.customer, other, "+".join(schemes))
        self._matches.propose(unit.connection, [tie], unit.now)
        return evolve(proven, proposed=other)
