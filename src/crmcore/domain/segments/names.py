"""Names: what a segment may speak of, and what is nearest to what it speaks of in vain."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from attrs import field, frozen

from crmcore.domain.clock import Calendar
from crmcore.domain.segments.families import FAMILIES, Family
from crmcore.domain.segments.tree import Condition, Position
from crmcore.domain.trait import Trait
from crmcore.errors import SegmentError, nearest


@frozen(kw_only=True, eq=False)
class Names:
    """
    What a segment may speak of.

    Attributes:
        traits: By full name.
        moving: Traits whose value may change with time alone, at a midnight of the calendar.
        choices: The values there are of a trait that has only some.
        kinds: The name of each kind, by name and alias.
        families: By name.
        segments: Trees of the segments that have a name.
        currency: The shop's own, in which amounts are added up.
        calendar: In which a date begins.
    """

    traits: Mapping[str, Trait[Any]] = field(factory=dict)
    moving: frozenset[str] = frozenset()
    choices: Mapping[str, tuple[str, ...]] = field(factory=dict)
    kinds: Mapping[str, str] = field(factory=dict)
    families: Mapping[str, Family] = field(factory=lambda: FAMILIES)
    segments: Mapping[str, Condition] = field(factory=dict)
    currency: str = "EUR"
    calendar: Calendar = field(factory=Calendar)

    def is_facts(self, name: str) -> bool:
        """Return whether facts are known by *name*."""
        return name in self.families or name in self.kinds

    def facts_name(self, name: str, at: Position | None, source: str | None) -> str:
        """Return the name of a family, or of a kind without its alias."""
        if name in self.families:
            return name
        if name in self.kinds:
            return self.kinds[name]
        known = [*self.families, *self.kinds]
        raise SegmentError(
            f"unknown facts {name!r}{nearest(name, known)}; a kind such as 'order.placed' or a "
            f"family is expected, such as {_some(self.families)}",
            source=source,
            at=at,
        )

    def family(self, name: str) -> Family:
        """Return what counts as one of the facts of a name that was checked."""
        found = self.families.get(name)
        return Family.of(name, [name]) if found is None else found

    def find_traits(self, name: str) -> list[str]:
        """Return the full names of the traits that *name* may mean: itself, or short for some."""
        if name in self.traits:
            return [name]
        return sorted(full for full in self.traits if full.partition(".")[2] == name)

    def trait_name(self, name: str, at: Position | None, source: str | None) -> str:
        """Return the full name of the one trait that *name* means."""
        found = self.find_traits(name)
        if self.is_facts(name) and name not in self.traits:
            also = f", or the trait {found[0]}" if found else ""
            problem = f"{name!r} are facts; {name}.count, {name}.sum or such is expected{also}"
        elif len(found) > 1:
            problem = f"{name!r} may mean {' or '.join(found)}; one of these is expected"
        elif found:
            return found[0]
        else:
            problem = (
                f"unknown trait {name!r}{nearest(name, self._trait_names())}; there are: "
                f"{', '.join(sorted(self.traits)) or 'none'}"
            )
        raise SegmentError(problem, source=source, at=at)

    def refuse_mention(self, name: str, at: Position | None, source: str | None) -> SegmentError:
        """Return what is wrong with a name alone that nothing has."""
        known = [*self._trait_names(), *self.families, *self.kinds]
        return SegmentError(
            f"nothing is named {name!r}{nearest(name, known)}; a trait or facts are expected, "
            f"such as {_some(self.families)}",
            source=source,
            at=at,
        )

    def segment(self, name: str, at: Position | None, source: str | None) -> Condition:
        """Return the tree of the segment of that name."""
        found = self.segments.get(name)
        if found is None:
            raise SegmentError(
                f"unknown segment {name!r}{nearest(name, self.segments)}; there are: "
                f"{', '.join(sorted(self.segments)) or 'none'}",
                source=source,
                at=at,
            )
        return found

    def _trait_names(self) -> list[str]:
        return [*self.traits, *(full.partition(".")[2] for full in self.traits)]


def _some(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)[:8])
