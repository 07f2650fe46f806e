"""Registration: whose the identifiers of some interactions are, and who is new."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from crmcore.domain.identity import SchemeRegistry

Name = tuple[str, str]
"""An identifier as a pair of scheme and value: the form in which they are looked up."""
Names = tuple[Name, ...]
"""Those of one interaction, the one that decides first."""


class Owner(NamedTuple):
    """
    Whose something is.

    Attributes:
        customer_id: The customer it belongs to now.
        recorded_for: The customer it was recorded for; another one where the two were merged.
    """

    customer_id: int
    recorded_for: int


class Registration:
    """
    Finds the owners of interactions one by one, in their order, so that batches change nothing.

    Attributes:
        customers: Those who are new, as rows but for the instant: their id and first name.
        identifiers: What is new, each with its owner.
        ties: Customers who were named together, with the schemes that did it.
    """

    def __init__(
        self,
        schemes: SchemeRegistry,
        found: dict[Name, Owner],
        new_ids: Iterator[int],
        count: Callable[[int], Mapping[str, int]],
    ) -> None:
        """
        Begin with what was found.

        Args:
            new_ids: Gives ids for customers, as many as are asked for.
            count: Returns how many identifiers of each scheme a customer has in the database.
        """
        self._schemes = schemes
        self._found = found
        self._new_ids = new_ids
        self._count = count
        self._counts: dict[int, dict[str, int]] = {}
        self.customers: list[tuple[int, str]] = []
        self.identifiers: list[tuple[Any, ...]] = []
        self.ties: list[tuple[int, int, str]] = []

    def owner_of(self, names: Names) -> Owner:
        """Return whose an interaction with these names is; registers those nobody knows."""
        found = self._found
        if len(names) == 1 and names[0] in found:
            return found[names[0]]
        personal = [name for name in names if not self._schemes[name[0]].shared]
        deciding = next((name for name in personal if name in found), None)
        if deciding is not None:
            owner = found[deciding]
            # One that decides before it, and is one too many for them, is somebody else's.
            for name in personal[: personal.index(deciding)]:
                if self._is_full(owner, name[0]):
                    owner, deciding = self._register(name), name
                    break
        else:
            known = self._of_device(names, personal)
            if known is None:
                new = [name for name in personal or names if name not in found]
                known = self._register(*self._fitting(new))
            owner, deciding = known, (personal or names)[0]
        for name in names:
            self._add(owner, name, deciding)
        return owner

    def _of_device(self, names: Names, personal: Sequence[Name]) -> Owner | None:
        """Return who is known by something shared; only somebody unknown otherwise is anyone."""
        for name in names:
            owner = self._found.get(name)
            if owner is not None and not (personal and self._is_person(owner)):
                return owner
        return None

    def _add(self, owner: Owner, name: Name, deciding: Name) -> None:
        """Give a name to the owner, if it is nobody's and not one too many; note what it ties."""
        scheme = self._schemes[name[0]]
        other = self._found.get(name)
        if other is None:
            if scheme.shared or not self._is_full(owner, name[0]):
                self._give(owner, name)
                return
            other = self._register(name)
        if not scheme.shared and other.customer_id != owner.customer_id:
            self._tie(owner, other, deciding[0], name[0])

    def _fitting(self, names: Sequence[Name]) -> list[Name]:
        """Return those of *names* that one new customer may have."""
        kept: list[Name] = []
        counts: dict[str, int] = {}
        for name in names:
            counts[name[0]] = counts.get(name[0], 0) + 1
            limit = self._schemes[name[0]].limit
            if limit is None or counts[name[0]] <= limit:
                kept.append(name)
        return kept

    def _register(self, *names: Name) -> Owner:
        made = next(self._new_ids)
        owner = Owner(made, made)
        self._counts[made] = {}
        self.customers.append((made, ":".join(min(names))))
        for name in names:
            self._give(owner, name)
        return owner

    def _give(self, owner: Owner, name: Name) -> None:
        self._found[name] = owner
        self.identifiers.append((*name, *owner))
        counts = self._counts.get(owner.customer_id)
        if counts is not None:
            counts[name[0]] = counts.get(name[0], 0) + 1

    def _tie(self, owner: Owner, other: Owner, *schemes: str) -> None:
        rank = {name: self._schemes[name].rank for name in schemes}
        key = "+".join(sorted(rank, key=lambda name: (rank[name], name)))
        self.ties.append((owner.customer_id, other.customer_id, key))

    def _is_full(self, owner: Owner, scheme: str) -> bool:
        limit = self._schemes[scheme].limit
        return limit is not None and self._counted(owner).get(scheme, 0) >= limit

    def _is_person(self, owner: Owner) -> bool:
        counts = self._counted(owner)
        return any(count and not self._schemes[name].shared for name, count in counts.items())

    def _counted(self, owner: Owner) -> dict[str, int]:
        counts = self._counts.get(owner.customer_id)
        if counts is None:
            counts = self._counts[owner.customer_id] = dict(self._count(owner.customer_id))
            for scheme, _, customer_id, _ in self.identifiers:
                if customer_id == owner.customer_id:
                    counts[scheme] = counts.get(scheme, 0) + 1
        return counts
