"""People: who customers are, who is one with whom, and how they are related."""

from __future__ import annotations

from crmcore.app.opened import Opened
from crmcore.domain.arguments import check_text
from crmcore.domain.identity import Identifier, Known
from crmcore.services.identities import relations
from crmcore.services.identities.matches import Match
from crmcore.services.identities.proving import Proven
from crmcore.services.identities.relations import Relation
from crmcore.services.merging.merging import Merge, Unmerged


class PeopleOfCrm(Opened):
    """The part of `Crm` that is about who customers are."""

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
            actor: Who does it, such as `staff:grace`.

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
            return self._parts.people.duplicates(unit)

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
        check_text("actor", actor)
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
        return self._runtime.identity.schemes.normalise(scheme, value)

    def relations(self, known: Known) -> list[Relation]:
        """Return how a customer is related to others, and others to them."""
        with self._read() as unit:
            return relations.relations_of(unit.connection, self._parts.people.id_of(unit, known))

    def merges(self, known: Known) -> list[Merge]:
        """Return the merges a customer was part of, in order; those undone among them."""
        with self._read() as unit:
            customer_id = self._parts.people.find(unit, known)
            return self._parts.people.merging.of_customer(unit, customer_id)
