"""Registry: the segments a shop has given a name, checked together."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Final, NoReturn

from attrs import define, field

from crmcore.domain.segments.dependencies import dependencies
from crmcore.domain.segments.names import Names
from crmcore.domain.segments.oracle import Known, Oracle
from crmcore.domain.segments.parser import parse, parse_measure
from crmcore.domain.segments.segment import Segment
from crmcore.domain.segments.tree import Compared, Condition, InSegment, leaves
from crmcore.domain.segments.types import check, check_measure
from crmcore.errors import ConfigurationError, SegmentError

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]*\Z")
MOST_LEAVES: Final = 500
"""Of a segment with all that are within it; databases take only so much of an expression."""


@define(eq=False)
class Registry:
    """
    Segments by name, and what any of them may speak of.

    The trees in `names.segments` are those of *segments*: checked when this was made.
    """

    names: Names
    segments: Mapping[str, Segment] = field(factory=dict)

    def find(self, asked: str | Condition | Segment) -> Segment:
        """
        Return the segment of a name, a text or a tree.

        Raises:
            SegmentError: If it is none.
        """
        if isinstance(asked, Segment):
            return asked
        if isinstance(asked, str) and asked in self.segments:
            return self.segments[asked]
        source = asked if isinstance(asked, str) else None
        condition = parse(asked) if isinstance(asked, str) else asked
        checked = check(condition, self.names, source)
        _check_size(checked, self.names)
        return Segment(condition=checked, dependencies=dependencies(checked, self.names))

    def find_measure(self, asked: str) -> Compared:
        """
        Return what a text such as `orders.count` or `tiering.tier` says, checked.

        Raises:
            SegmentError: If it is no measure.
        """
        return check_measure(parse_measure(asked), self.names, asked)

    def moving(self) -> list[str]:
        """Return the names of the segments that read a trait which time alone may change."""
        moving = self.names.moving
        return [n for n, each in self.segments.items() if each.dependencies.traits & moving]

    def of_strangers(self) -> list[str]:
        """Return the names of the segments that hold for who has no facts and no traits."""
        stranger = Oracle(self.names, Known(), 0)
        return [n for n, each in self.segments.items() if stranger.holds(each.condition)]

    def refuse(self, name: object) -> NoReturn:
        """
        Raise for a name that no segment has.

        Raises:
            SegmentError: Always; with the nearest name.
        """
        self.names.segment(str(name), None, None)
        raise SegmentError(f"{name!r} is no name of a segment; a text is expected")

    def fingerprint(self, name: str) -> str:
        """Return a hash of a segment's tree, of its kinds, and of the segments within it."""
        segment = self.segments[name]
        within = {each.name for each in leaves(segment.condition) if isinstance(each, InSegment)}
        told = [str(segment), *sorted(segment.dependencies.kinds)]
        told += [self.fingerprint(each) for each in sorted(within)]
        return hashlib.sha256("\n".join(told).encode()).hexdigest()

    def changed_by(self, kinds: Iterable[str]) -> list[str]:
        """Return the names of the segments that interactions of *kinds* can change."""
        kinds = set(kinds)
        return [name for name, each in self.segments.items() if each.dependencies.can_change(kinds)]


def parsed(
    given: Mapping[str, str | Condition], owners: Mapping[str, str] | None = None
) -> dict[str, Condition]:
    """
    Return the trees of named segments; names within them are not looked up yet.

    *owners* are the plugins that bring some of them.

    Raises:
        ConfigurationError: Says which segment is not right, and where in its text.
    """
    found = {}
    for name, asked in given.items():
        if not _NAME.match(str(name)):
            brought = f" by plugin {owners[name]!r}" if owners and name in owners else ""
            raise ConfigurationError(
                f"a segment is named {name!r}{brought}; a letter, and letters, digits, _ and - "
                "after it, are expected"
            )
        try:
            found[name] = parse(asked) if isinstance(asked, str) else asked
        except SegmentError as error:
            raise _wrong(name, owners, error) from error
    return found


def _wrong(name: str, owners: Mapping[str, str] | None, error: SegmentError) -> ConfigurationError:
    of = f" of plugin {owners[name]!r}" if owners and name in owners else ""
    return ConfigurationError(f"segment {name!r}{of}: {error}")


def registry(
    names: Names,
    given: Mapping[str, str | Condition],
    owners: Mapping[str, str] | None = None,
) -> Registry:
    """
    Check all segments in `names.segments`, which were parsed from *given*, and return them.

    *owners* are the plugins that bring some of them.

    Raises:
        ConfigurationError: Says which segment is not right; of those within each other, the way
            round.
    """
    trees = names.segments
    assert isinstance(trees, dict)
    for name, tree in trees.items():
        asked = given[name]
        try:
            trees[name] = check(tree, names, asked if isinstance(asked, str) else None)
        except SegmentError as error:
            raise _wrong(name, owners, error) from error
    sound: set[str] = set()
    for name in trees:
        _check_cycle(trees, [name], sound)
    segments = {}
    for name, tree in trees.items():
        try:
            _check_size(tree, names)
        except SegmentError as error:
            raise _wrong(name, owners, error) from error
        segments[name] = Segment(condition=tree, name=name, dependencies=dependencies(tree, names))
    return Registry(names, segments)


def _check_cycle(trees: Mapping[str, Condition], way: list[str], sound: set[str]) -> None:
    """Refuse a segment, the last of *way*, that is within itself; *sound* are known not to be."""
    name = way[-1]
    for leaf in leaves(trees[name]):
        if isinstance(leaf, InSegment) and leaf.name not in sound:
            if leaf.name in way:
                turn = " -> ".join([*way[way.index(leaf.name) :], leaf.name])
                raise ConfigurationError(
                    f"segment {leaf.name!r} is within itself: {turn}; one of them has to do without"
                )
            _check_cycle(trees, [*way, leaf.name], sound)
    sound.add(name)


def _check_size(condition: Condition, names: Names) -> None:
    size = _size(condition, names, {})
    if size > MOST_LEAVES:
        raise SegmentError(
            f"it asks {size:,} things, with those of the segments within it; at most "
            f"{MOST_LEAVES:,} are expected"
        )


def _size(condition: Condition, names: Names, sizes: dict[str, int]) -> int:
    size = 0
    for leaf in leaves(condition):
        if isinstance(leaf, InSegment):
            if leaf.name not in sizes:
                sizes[leaf.name] = _size(names.segments[leaf.name], names, sizes)
            size += sizes[leaf.name]
        else:
            size += 1
    return size
