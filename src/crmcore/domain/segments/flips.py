"""Flips: the next instant at which time alone can change whether a customer is in a segment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from crmcore.domain.segments.dependencies import kinds_asked
from crmcore.domain.segments.names import Names
from crmcore.domain.segments.oracle import DAY, Known, Oracle, fits
from crmcore.domain.segments.tree import (
    Condition,
    Count,
    DaysSince,
    Duration,
    FactsOf,
    InSegment,
    Leaf,
    Sequence,
    Sum,
    TraitIs,
    When,
    leaves,
)


def next_flip(condition: Condition, names: Names, known: Known, now: int) -> int | None:
    """
    Return the first instant after *now* at which the answer can change without a new fact.

    It may be that nothing changes then; but until then nothing does. None: time changes nothing.
    """
    oracle = Oracle(names, known, now)
    found = [at for leaf in leaves(condition) for at in _of_leaf(leaf, oracle)]
    return min((at for at in found if at > now), default=None)


def boundaries(leaf: When | DaysSince) -> tuple[int, ...]:
    """Return how long after the instant a leaf is about it may begin or cease to hold."""
    if isinstance(leaf, When):
        if not isinstance(leaf.instant, Duration):
            return ()
        # Before: from one microsecond later on, as an instant is not before itself.
        return (leaf.instant.microseconds + (leaf.side == "before"),)
    assert type(leaf.days) is int  # as it was checked
    passed, past = leaf.days * DAY, (leaf.days + 1) * DAY
    if leaf.operator in ("==", "!="):
        return (passed, past)
    return (passed,) if leaf.operator in ("<", ">=") else (past,)


def _of_leaf(leaf: Leaf, oracle: Oracle) -> Iterator[int]:
    names, now = oracle.names, oracle.now
    match leaf:
        case TraitIs(trait):
            if trait in names.moving:
                yield names.calendar.midnight_after(now + 1, days=0)
        case InSegment(name):
            inner = next_flip(names.segments[name], names, oracle.known, now)
            if inner is not None:
                yield inner
        case Count() | Sum():
            yield from _of_facts(leaf.facts, kinds_asked(leaf, names), oracle)
        case When() | DaysSince():
            yield from _of_facts(leaf.facts, kinds_asked(leaf, names), oracle)
            instant = oracle.value(When(leaf.facts, leaf.which, "before", Duration(1, "days")))
            if instant is not None:
                yield from (instant + each for each in boundaries(leaf))
        case Sequence(steps, within, but_not):
            for step in steps:
                yield from _of_facts(step, names.family(step.name).marked, oracle)
            if but_not:
                marked = names.family(steps[-2].name).marked
                for each in oracle.chosen(steps[-2], marked):
                    yield each.occurred_at + within.microseconds


def _of_facts(facts: FactsOf, kinds: frozenset[str] | set[str], oracle: Oracle) -> Iterator[int]:
    """Yield when facts come into their window, and when they leave it."""
    for each in oracle.known.facts:
        if fits(facts, oracle.names, each, kinds):
            yield each.occurred_at
            if facts.window is not None:
                yield each.occurred_at + facts.window.microseconds


def delays(condition: Condition, names: Names) -> dict[str, frozenset[int]]:
    """
    Return how long after a fact of each kind the answer may change, in microseconds.

    At 0 it is the fact itself, which may lie ahead. The least of those that have not passed is
    never later than the next flip of who has these facts, their traits aside; it may be earlier,
    as all facts of a kind are taken for those that are meant.
    """
    found: dict[str, set[int]] = {}

    def add(kinds: Iterable[str], *lengths: int | None) -> None:
        for kind in kinds:
            known = found.setdefault(kind, {0})
            known.update(length for length in lengths if length is not None)

    for leaf in leaves(condition):
        match leaf:
            case InSegment(name):
                for kind, lengths in delays(names.segments[name], names).items():
                    add([kind], *lengths)
            case Count() | Sum():
                add(kinds_asked(leaf, names), _window(leaf.facts))
            case When() | DaysSince():
                add(kinds_asked(leaf, names), _window(leaf.facts), *boundaries(leaf))
            case Sequence(steps, within, but_not):
                for step in steps:
                    add(names.family(step.name).marked, _window(step))
                if but_not:
                    add(names.family(steps[-2].name).marked, within.microseconds)
    return {kind: frozenset(lengths) for kind, lengths in found.items()}


def _window(facts: FactsOf) -> int | None:
    return None if facts.window is None else facts.window.microseconds
