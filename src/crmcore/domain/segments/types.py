"""Types: a tree checked against what there is, with every name in full."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any, Final, NoReturn

from attrs import evolve, frozen

from crmcore.domain.money import Money
from crmcore.domain.segments.names import Names
from crmcore.domain.segments.tree import (
    LONGEST,
    MICROSECONDS,
    OPERATORS,
    AllOf,
    Amount,
    AnyOf,
    Compared,
    Condition,
    Count,
    DaysSince,
    Duration,
    Everyone,
    FactsOf,
    Filter,
    InSegment,
    Mention,
    NotOf,
    Position,
    Sequence,
    Sum,
    TraitIs,
    Value,
    When,
    literal_text,
)
from crmcore.domain.structuring import is_storable
from crmcore.domain.trait import Trait
from crmcore.errors import MoneyError, SegmentError, nearest

_WORDS: Final[dict[type, str]] = {
    int: "a whole number",
    float: "a number",
    str: "text",
    bool: "true or false",
}
_LARGEST: Final = 2**63 - 1
_DAYS: Final = LONGEST // MICROSECONDS["days"]
MINOR: Final = "_minor"


def check(condition: Condition, names: Names, source: str | None = None) -> Condition:
    """
    Return the tree with every name in full and every amount in the shop's currency.

    *source* is the text it was parsed from, to show what is wrong with it.

    Raises:
        SegmentError: If it speaks of what there is not, or compares what cannot be.
    """
    return _Checker(names, source).checked(condition)


def check_measure(measure: Compared, names: Names, source: str | None = None) -> Compared:
    """
    Return what a leaf compares, with every name in full.

    Raises:
        SegmentError: If it speaks of what there is not.
    """
    if isinstance(measure, TraitIs):
        name = names.trait_name(measure.trait, measure.at, source)
        return evolve(measure, trait=name, operator="==", value=names.traits[name].default)
    checked = _Checker(names, source).checked(measure)
    # What looks like a count may be a trait of that name.
    assert isinstance(checked, Count | Sum | DaysSince | TraitIs)
    return checked


def in_minor(amount: Amount, names: Names) -> int:
    """Return an amount that was checked, in minor units of the shop's currency."""
    return Money.of(amount.number, amount.currency or names.currency).amount_minor


def plain(value: Value, trait: Trait[Any], names: Names) -> Any:
    """Return a value that was checked, as the trait's own values are."""
    if isinstance(value, Amount):
        return in_minor(value, names)
    return float(value) if trait.type is float and not isinstance(value, str) else value


@frozen
class _Checker:
    names: Names
    source: str | None

    def checked(self, node: Condition) -> Condition:
        match node:
            case AllOf(conditions) | AnyOf(conditions):
                return evolve(node, conditions=tuple(map(self.checked, conditions)))
            case NotOf(condition):
                return evolve(node, condition=self.checked(condition))
            case Everyone():
                return node
            case InSegment(name):
                self.names.segment(name, node.at, self.source)
                return node
            case Mention(name):
                return self._mention(node, name)
            case TraitIs():
                return self._trait(node)
            case Count():
                return self._count(node)
            case Sum():
                self._check_operator(node.operator, node)
                amount = self._amount(node.amount, node.value_at)
                return evolve(node, facts=self._facts(node.facts), amount=amount)
            case When():
                self._check_instant(node)
                return evolve(node, facts=self._facts(node.facts))
            case DaysSince():
                self._check_operator(node.operator, node)
                self._check_days(node.days, node.value_at or node.at)
                return evolve(node, facts=self._facts(node.facts))
            case Sequence():
                return evolve(node, steps=tuple(map(self._facts, node.steps)))
        self._fail(f"{node!r} is no condition; a tree of a segment is expected", None)

    def _fail(self, problem: str, at: Position | None) -> NoReturn:
        raise SegmentError(problem, source=self.source, at=at)

    def _check_operator(self, operator: object, node: Count | Sum | DaysSince | TraitIs) -> None:
        if operator not in OPERATORS:
            self._fail(f"{operator!r} found; one of {', '.join(OPERATORS)} is expected", node.at)

    def _check_instant(self, node: When) -> None:
        if node.which not in ("first", "last") or node.side not in ("before", "after"):
            self._fail(f"{node!r}: first or last, and before or after, are expected", node.at)
        if not isinstance(node.instant, Duration | date):
            self._fail(f"{node.instant!r} found; a Duration or a date is expected", node.at)

    # -- traits ------------------------------------------------------------------------------

    def _mention(self, node: Mention, name: str) -> Condition:
        if self.names.is_facts(name):
            return self.checked(Count(FactsOf(name, at=node.at), ">=", 1, at=node.at))
        if not self.names.find_traits(name):
            raise self.names.refuse_mention(name, node.at, self.source)
        return self._trait(TraitIs(name, "==", True, at=node.at, value_at=node.at))

    def _trait(self, node: TraitIs) -> Condition:
        name = self.names.trait_name(node.trait, node.at, self.source)
        trait = self.names.traits[name]
        of_many = node.operator in ("in", "not in")
        if of_many != isinstance(node.value, tuple) or node.value == ():
            expected = "a list of values" if of_many else "one value"
            self._fail(f"{node.value!r} found; {expected} is expected", node.value_at or node.at)
        if not of_many:
            self._check_operator(node.operator, node)
        ordered = of_many or node.operator in ("==", "!=")
        if not ordered and trait.type not in (int, float):
            self._fail(
                f"{name} is {_WORDS[trait.type]}, which has no order; ==, !=, in or not in is "
                f"expected instead of {node.operator}",
                node.at,
            )
        values = node.value if isinstance(node.value, tuple) else (node.value,)
        checked = tuple(self._of_type(each, name, node.value_at or node.at) for each in values)
        return evolve(node, trait=name, value=checked if of_many else checked[0])

    def _of_type(self, value: Value, name: str, at: Position | None) -> Value:
        trait = self.names.traits[name]
        if isinstance(value, Amount) and trait.type is int and name.endswith(MINOR):
            return self._amount(value, at)
        fitting = {int: (int,), float: (int, Decimal), str: (str,), bool: (bool,)}[trait.type]
        if type(value) not in fitting:
            self._fail(
                f"{literal_text(value)} found; {name} is {_WORDS[trait.type]}, and such a value is "
                "expected",
                at,
            )
        if trait.type is int:
            self._check_whole(value, name, at)
        if isinstance(value, str) and not is_storable(value):
            self._fail(f"{value!r} holds what no database can store", at)
        choices = self.names.choices.get(name)
        if choices is not None and value not in choices:
            self._fail(
                f"{name} is never {value!r}{nearest(value, choices)}; it is one of "
                f"{', '.join(choices)}",
                at,
            )
        return value

    # -- facts -------------------------------------------------------------------------------

    def _count(self, node: Count) -> Condition:
        facts, full = node.facts, f"{node.facts.name}.count"
        is_bare = facts.window is None and not facts.where
        if is_bare and not self.names.is_facts(facts.name) and self.names.find_traits(full):
            # Of a trait that is named like a measure, the text looks the same.
            places = {"at": node.at, "value_at": node.value_at}
            return self._trait(TraitIs(full, node.operator, node.number, **places))
        self._check_operator(node.operator, node)
        self._check_whole(node.number, f"{facts}.count", node.value_at or node.at)
        return evolve(node, facts=self._facts(facts))

    def _check_whole(self, value: object, what: str, at: Position | None) -> None:
        if type(value) is not int:
            shown = literal_text(value) if isinstance(value, Value) else repr(value)
            self._fail(f"{shown} found; {what} is compared with a whole number", at)
        if abs(value) > _LARGEST:
            self._fail(f"{value} does not fit in 64 bits", at)

    def _check_days(self, days: object, at: Position | None) -> None:
        self._check_whole(days, "days_since", at)
        if not 0 <= days <= _DAYS:  # type: ignore[operator]
            self._fail(f"{days} found; a number of days from 0 to {_DAYS:,} is expected", at)

    def _facts(self, facts: FactsOf) -> FactsOf:
        name = self.names.facts_name(facts.name, facts.at, self.source)
        return evolve(facts, name=name, where=tuple(map(self._filter, facts.where)))

    def _filter(self, each: Filter) -> Filter:
        if each.name == "amount":
            if each.operator not in OPERATORS:
                self._fail(f"{each.operator!r} found; a comparison is expected", each.at)
            return evolve(each, value=self._amount(each.value, each.at))
        if each.name not in ("product", "variant", "category", "channel", "source"):
            self._fail(f"unknown filter {each.name!r}", each.at)
        values = each.value if each.operator == "in" else (each.value,)
        fits = (
            isinstance(values, tuple)
            and values
            and all(type(v) is str and is_storable(v) for v in values)
        )
        if each.operator not in ("==", "in") or not fits:
            self._fail(f"{each} found; {each.name} is text, compared by = or in", each.at)
        return each

    def _amount(self, value: object, at: Position | None) -> Amount:
        if type(value) is int or type(value) is Decimal:
            value = Amount(Decimal(value))
        if not isinstance(value, Amount):
            shown = literal_text(value) if isinstance(value, Value) else repr(value)
            self._fail(
                f"{shown} found; an amount such as 100.50 {self.names.currency} is expected", at
            )
        if value.currency not in (None, self.names.currency):
            self._fail(
                f"{value} found; the shop counts in {self.names.currency}, and an amount in it is "
                "expected",
                at,
            )
        try:
            Money.of(f"{value.number:f}", self.names.currency)
        except MoneyError as error:
            self._fail(str(error), at)
        return Amount(value.number, self.names.currency)
