"""People: all that can be done about who customers are, in one place."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, TypeVar

from attrs import frozen

from crmcore.domain.identity import Identifier, Known
from crmcore.errors import CustomerNotFoundError, InputError
from crmcore.services import relations
from crmcore.services.matches import Match, Matches
from crmcore.services.merging import Merge, MergeService, Unmerged
from crmcore.services.proving import Proofs, Proven
from crmcore.services.relations import Relation
from crmcore.services.runtime import Runtime
from crmcore.services.unit import Unit

if TYPE_CHECKING:
    from crmcore.services.transaction import Transaction

T = TypeVar("T")


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
        if type(known) is int:
            return known
        if not isinstance(known, Identifier):
            raise InputError(
                f"{known!r} names no customer; an id, or an identifier such as "
                "Identifier('email', 'ada@example.com'), is expected"
            )
        known = self.runtime.identity.schemes.normalised(known)
        name = known.scheme, known.value
        found = self.runtime.identity.find(unit.connection, [name]).get(name)
        if found is None:
            raise CustomerNotFoundError(known)
        return found

    def id_of(self, unit: Unit, known: Known) -> int:
        """Return the present id of a customer: the survivor's, where they were merged."""
        found = self.find(unit, known)
        if isinstance(known, Identifier):
            return found
        return self.runtime.identity.present(unit.connection, [found])[found]

    def merge(self, unit: Unit, survivor: Known, merged: Known, reason: str | None) -> Merge:
        """See `Crm.merge`."""
        both = self.find(unit, survivor), self.find(unit, merged)
        return self.merging.merge(unit, *both, reason)

    def merge_agreed(self, unit: Unit, agreed: Match) -> Merge | None:
        """Merge what policy agreed to; None, if it is agreed to no longer."""
        identity, connection = self.runtime.identity, unit.connection
        identity.look_up(connection, (), {agreed.customer, agreed.other})
        if agreed not in self.matches.waiting(connection, identity):
            return None
        if not self.matches.fits(connection, agreed.customer, agreed.other):
            return None
        reason = f"by policy: {agreed.words}"
        return self.merging.merge(unit, agreed.customer, agreed.other, reason)

    def reject(self, unit: Unit, one: Known, other: Known) -> int:
        """See `Crm.reject_duplicate`."""
        both = self.id_of(unit, one), self.id_of(unit, other)
        identity, connection = self.runtime.identity, unit.connection
        return self.matches.reject(connection, identity, *both, now=unit.now, actor=unit.actor)

    def prove(
        self, unit: Unit, customer: Known, identifier: Identifier, reason: str | None
    ) -> Proven:
        """See `Crm.prove`."""
        return self.proofs.prove(unit, self.find(unit, customer), identifier, reason)

    def relate(self, unit: Unit, who: Known, name: str, whom: Known) -> bool:
        """See `Transaction.relate`."""
        relations.check(name)
        both = self._locked(unit, who, whom)
        return relations.relate(unit.connection, both[0], name, both[1], unit.now)

    def unrelate(self, unit: Unit, who: Known, name: str, whom: Known) -> bool:
        """See `Transaction.unrelate`."""
        relations.check(name)
        both = self._locked(unit, who, whom)
        return relations.unrelate(unit.connection, both[0], name, both[1])

    def _locked(self, unit: Unit, who: Known, whom: Known) -> tuple[int, int]:
        """Return the present ids of two, locked, so that no merge takes them away."""
        asked = self.find(unit, who), self.find(unit, whom)
        given = self.runtime.identity.look_up(unit.connection, (), set(asked)).given
        return given[asked[0]].customer_id, given[asked[1]].customer_id


class PeopleOfCrm(ABC):
    """The part of `Crm` that is about who customers are."""

    _people: People

    @abstractmethod
    def run_transaction(self, work: Callable[[Transaction], T], *, actor: str | None = None) -> T:
        """Do *work* in a transaction of its own; again, where another stood in the way."""

    @abstractmethod
    def _read(self) -> AbstractContextManager[Unit]:
        """Open a transaction that only reads."""

    def merge(
        self,
        survivor: Known,
        merged: Known,
        *,
        reason: str | None = None,
        actor: str | None = None,
    ) -> Merge:
        """
        Make two customers one, in a transaction of its own; `unmerge` undoes it.

        All that belonged to *merged* belongs to *survivor* then. Nothing is announced or sent.

        Args:
            survivor: Who stays, by id or identifier; if they were merged, whoever they are now.
            merged: Who is found to be the same.
            reason: Why, for whoever looks at it later.

        Raises:
            CustomerNotFoundError: If one of them is no customer.
            MergeError: If they are the same, or *merged* was merged before; says into whom.
        """
        return self.run_transaction(
            lambda tx: tx.merge(survivor, merged, reason=reason), actor=actor
        )

    def unmerge(self, merge_id: int, *, actor: str | None = None) -> Unmerged:
        """
        Undo a merge, in a transaction of its own.

        Both get back what was theirs, and what was recorded by their identifiers since. What
        came by none stays with the survivor and is listed in what is returned.

        Raises:
            NotFoundError: If there is no such merge.
            MergeError: If it was undone before, or a later one, which is named, comes first.
        """
        return self.run_transaction(lambda tx: tx.unmerge(merge_id), actor=actor)

    def duplicates(self) -> list[Match]:
        """Return pairs of customers who may be one, and nobody has decided; by their ids."""
        with self._read() as unit:
            return self._people.matches.waiting(unit.connection, self._people.runtime.identity)

    def reject_duplicate(self, one: Known, other: Known, *, actor: str | None = None) -> int:
        """
        Note that two customers are not one, whatever names both; returns how many said so.

        Raises:
            NotFoundError: If nothing proposes it.
        """
        return self.run_transaction(lambda tx: tx.reject_duplicate(one, other), actor=actor)

    def merge_agreed(self, *, actor: str | None = None) -> list[Merge]:
        """
        Merge those whom policy (`merge_on`) agreed to be one, each in a transaction of its own.

        Who was known first survives. Those whom a person decided upon are left alone.
        """
        done = []
        for each in self.duplicates():
            if each.status == "agreed":
                made = self.run_transaction(
                    lambda tx, each=each: tx.merge_agreed(each),  # type: ignore[misc]
                    actor=actor,
                )
                done += [made] if made is not None else []
        return done

    def prove(
        self,
        customer: Known,
        identifier: Identifier,
        *,
        reason: str | None = None,
        actor: str | None = None,
    ) -> Proven:
        """
        Give a customer an identifier that they proved to be theirs, such as by a link sent to it.

        A guest who had given it, and is known by nothing else, is merged into the customer. If
        it is somebody else's already, that is proposed as a duplicate.

        Raises:
            CustomerNotFoundError: If there is no such customer.
            InputError: If the identifier is blocked, or of a scheme of guests.
        """
        return self.run_transaction(
            lambda tx: tx.prove(customer, identifier, reason=reason), actor=actor
        )

    def identifier(self, scheme: str, value: str) -> Identifier:
        """Return an identifier of any scheme there is here, those of plugins among them."""
        return self._people.runtime.identity.schemes.normalise(scheme, value)

    def relations(self, known: Known) -> list[Relation]:
        """Return how a customer is related to others, and others to them."""
        with self._read() as unit:
            return relations.relations_of(unit.connection, self._people.id_of(unit, known))

    def merges(self, known: Known) -> list[Merge]:
        """Return the merges a customer was part of, in order; those undone among them."""
        with self._read() as unit:
            customer_id = self._people.find(unit, known)
            return self._people.merging.of_customer(unit, customer_id)
