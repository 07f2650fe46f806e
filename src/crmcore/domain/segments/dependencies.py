"""Dependencies: what can change who is in a segment."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import frozen

from crmcore.domain.segments.names import Names
from crmcore.domain.segments.tree import (
    Condition,
    Count,
    DaysSince,
    FactsOf,
    InSegment,
    Sequence,
    Sum,
    TraitIs,
    When,
    leaves,
)


@frozen(kw_only=True)
class Dependencies:
    """
    What can change who is in a segment.

    Attributes:
        kinds: Of interactions; none of another kind ever does.
        traits: By full name. When they change is their plugin's to know.
        by_time: Whether time alone can.
    """

    kinds: frozenset[str] = frozenset()
    traits: frozenset[str] = frozenset()
    by_time: bool = False

    def can_change(self, kinds: Iterable[str]) -> bool:
        """
        Return whether interactions of *kinds* can change who is in it.

        A trait may follow from anything, so a segment with one always can.
        """
        return bool(self.traits) or not self.kinds.isdisjoint(kinds)


def facts_in(condition: Condition, names: Names) -> list[FactsOf]:
    """Return the facts that a tree and the segments within it ask for, from left to right."""
    found: list[FactsOf] = []
    for leaf in leaves(condition):
        match leaf:
            case Count(facts) | Sum(facts) | When(facts) | DaysSince(facts):
                found.append(facts)
            case Sequence(steps):
                found += steps
            case InSegment(name):
                found += facts_in(names.segments[name], names)
    return found


def kinds_asked(leaf: Count | Sum | When | DaysSince, names: Names) -> frozenset[str]:
    """Return the kinds that a leaf's measure is made of."""
    family = names.family(leaf.facts.name)
    if isinstance(leaf, Count):
        return frozenset(family.counted)
    return family.summed if isinstance(leaf, Sum) else family.marked


def dependencies(condition: Condition, names: Names) -> Dependencies:
    """Return what can change who is in the segment of a tree that was checked."""
    kinds: set[str] = set()
    traits: set[str] = set()
    by_time = False
    for leaf in leaves(condition):
        match leaf:
            case TraitIs(trait):
                traits.add(trait)
                by_time = by_time or trait in names.moving
            case Count() | Sum() | When() | DaysSince():
                kinds |= kinds_asked(leaf, names)
                by_time = by_time or not isinstance(leaf, Count | Sum) or bool(leaf.facts.window)
            case Sequence(steps):
                for step in steps:
                    kinds |= names.family(step.name).marked
                by_time = by_time or leaf.but_not or any(step.window for step in steps)
            case InSegment(name):
                inner = dependencies(names.segments[name], names)
                kinds, traits = kinds | inner.kinds, traits | inner.traits
                by_time = by_time or inner.by_time
    return Dependencies(kinds=frozenset(kinds), traits=frozenset(traits), by_time=by_time)
