"""Oracle: a segment evaluated in plain Python, over what is known of one customer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import eq, ge, gt, le, lt, ne
from typing import Any, Final

from attrs import field, frozen

from crmcore.domain.segments.names import Names
from crmcore.domain.segments.tree import (
    MICROSECONDS,
    AllOf,
    Amount,
    AnyOf,
    Condition,
    Count,
    DaysSince,
    Duration,
    Everyone,
    FactsOf,
    Filter,
    InSegment,
    Leaf,
    Mention,
    NotOf,
    Sum,
    TraitIs,
    When,
)
from crmcore.domain.segments.tree import Sequence as Following
from crmcore.domain.segments.types import in_minor, plain

DAY: Final = MICROSECONDS["days"]
LINE_FILTERS: Final = ("product", "variant", "category")
COMPARE: Final = {"==": eq, "!=": ne, "<": lt, "<=": le, ">": gt, ">=": ge}


@frozen
class FactLine:
    """A line of a fact, as filters see it."""

    product: str
    variant: str | None = None
    category: str | None = None


@frozen(kw_only=True)
class Fact:
    """An interaction, as segments see it."""

    kind: str = field(kw_only=False)
    occurred_at: int = field(kw_only=False)
    channel: str | None = None
    source: str = ""
    amount_base_minor: int | None = None
    lines: tuple[FactLine, ...] = ()


@frozen
class Known:
    """
    What is known of a customer.

    Attributes:
        facts: In any order.
        traits: By full name; one that is not there has its default.
    """

    facts: Sequence[Fact] = ()
    traits: Mapping[str, Any] = field(factory=dict)


def start_of(instant: Duration | Any, names: Names, now: int) -> int:
    """Return the instant that the first or last of something is compared with."""
    if isinstance(instant, Duration):
        return now - instant.microseconds
    return names.calendar.start_of(instant)


def fits(facts: FactsOf, names: Names, fact: Fact, kinds: Iterable[str]) -> bool:
    """Return whether a fact is one of those meant, whenever it happened."""
    family = names.family(facts.name)
    if fact.kind not in kinds or (family.channel and fact.channel != family.channel):
        return False
    lines = [each for each in facts.where if each.name in LINE_FILTERS]
    rest = [each for each in facts.where if each not in lines]
    return all(_passes(each, fact, names) for each in rest) and (
        not lines
        or any(all(_among(e, getattr(line, e.name)) for e in lines) for line in fact.lines)
    )


def _passes(each: Filter, fact: Fact, names: Names) -> bool:
    if each.name != "amount":
        return _among(each, fact.channel if each.name == "channel" else fact.source)
    if fact.amount_base_minor is None or not isinstance(each.value, Amount):
        return False
    return bool(COMPARE[each.operator](abs(fact.amount_base_minor), in_minor(each.value, names)))


def _among(each: Filter, value: str | None) -> bool:
    return value in each.value if isinstance(each.value, tuple) else value == each.value


@frozen
class Oracle:
    """Evaluates trees that were checked; every condition either holds or does not."""

    names: Names
    known: Known
    now: int

    def holds(self, node: Condition) -> bool:
        """Return whether a condition holds."""
        match node:
            case AllOf(conditions):
                return all(map(self.holds, conditions))
            case AnyOf(conditions):
                return any(map(self.holds, conditions))
            case NotOf(condition):
                return not self.holds(condition)
            case InSegment(name):
                return self.holds(self.names.segments[name])
            case _:
                return self._leaf_holds(node, self.value(node))

    def value(self, leaf: Leaf) -> Any:
        """Return what a leaf's condition is about: a number, an instant, a trait's value."""
        match leaf:
            case TraitIs(trait):
                return self.known.traits.get(trait, self.names.traits[trait].default)
            case Count(facts):
                counted = self.names.family(facts.name).counted
                return sum(counted[each.kind] for each in self.chosen(facts, counted))
            case Sum(facts):
                summed = self.names.family(facts.name).summed
                return sum(each.amount_base_minor or 0 for each in self.chosen(facts, summed))
            case When(facts, which):
                return self._instant(facts, which)
            case DaysSince(facts, which):
                instant = self._instant(facts, which)
                return None if instant is None else (self.now - instant) // DAY
            case Following():
                return self._following(leaf)
            case InSegment(name):
                return self.holds(self.names.segments[name])
            case Everyone() | Mention():
                return True

    def chosen(self, facts: FactsOf, kinds: Iterable[str]) -> list[Fact]:
        """Return the facts meant that have happened by now, within their window."""
        return [
            each
            for each in self.known.facts
            if each.occurred_at <= self.now
            and (facts.window is None or each.occurred_at > self.now - facts.window.microseconds)
            and fits(facts, self.names, each, kinds)
        ]

    def _leaf_holds(self, leaf: Leaf, value: Any) -> bool:
        match leaf:
            case TraitIs(trait, operator, wanted):
                found = self.names.traits[trait]
                if isinstance(wanted, tuple):
                    among = value in [plain(each, found, self.names) for each in wanted]
                    return among == (operator == "in")
                return bool(COMPARE[operator](value, plain(wanted, found, self.names)))
            case Count(_, operator, number):
                return bool(COMPARE[operator](value, number))
            case Sum(_, operator, amount):
                assert isinstance(amount, Amount)  # as it was checked
                return bool(COMPARE[operator](value, in_minor(amount, self.names)))
            case When(_, _, side, instant):
                if value is None:
                    return False
                border = start_of(instant, self.names, self.now)
                return bool(value < border if side == "before" else value > border)
            case DaysSince(_, _, operator, days):
                return value is not None and bool(COMPARE[operator](value, days))
            case _:
                return value is not None and value is not False

    def _instant(self, facts: FactsOf, which: str) -> int | None:
        marked = self.names.family(facts.name).marked
        instants = [each.occurred_at for each in self.chosen(facts, marked)]
        return (min if which == "first" else max)(instants, default=None)

    def _following(self, leaf: Following) -> int | None:
        """Return when the last step came that there is; None: the steps did not follow."""
        within = leaf.within.microseconds
        instants = [
            sorted(
                each.occurred_at for each in self.chosen(step, self.names.family(step.name).marked)
            )
            for step in leaf.steps
        ]
        came = instants[0]
        for number, later in enumerate(instants[1:], 2):
            is_absent = leaf.but_not and number == len(instants)
            followed = {a for a in came for b in later if a < b <= a + within}
            if is_absent:
                came = [a for a in came if a not in followed and a + within <= self.now]
            else:
                came = [b for b in later if any(a < b <= a + within for a in came)]
        return max(came, default=None)
