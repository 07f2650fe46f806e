"""The tree of a segment: frozen nodes, whose `repr` is the text that is parsed into them."""

from __future__ import annotations

import json
import re
from datetime import date
from decimal import Decimal
from typing import Any, Final, Literal, get_args

from attrs import field, frozen

from crmcore.errors import InputError, SegmentError

Operator = Literal["==", "!=", "<", "<=", ">", ">="]
OPERATORS: Final[tuple[Operator, ...]] = get_args(Operator)
SetOperator = Literal["==", "!=", "<", "<=", ">", ">=", "in", "not in"]
Which = Literal["first", "last"]
Side = Literal["before", "after"]
Unit = Literal["minutes", "hours", "days", "weeks"]

MICROSECONDS: Final[dict[str, int]] = {
    "minutes": 60_000_000,
    "hours": 3_600_000_000,
    "days": 86_400_000_000,
    "weeks": 604_800_000_000,
}
LONGEST: Final = 36_525 * MICROSECONDS["days"]
"""A hundred years: no window is longer, so that no instant leaves what is stored."""

MEASURES: Final = ("count", "sum", "first", "last")
KEYWORDS: Final = frozenset(
    "and or not in then within before after ago true false everyone segment trait facts "
    "days_since".split()
)
_NAME: Final = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*\Z", re.ASCII)


@frozen
class Position:
    """Where in a text something stands; both are counted from 1."""

    line: int
    column: int


def _place() -> Any:
    """Return the field that says where a node stood; trees are equal wherever they stood."""
    return field(default=None, eq=False, repr=False, kw_only=True)


def is_plain(name: str) -> bool:
    """Return whether *name* can stand in a text as it is, and is understood as a name."""
    parts = name.split(".")
    return bool(_NAME.match(name)) and not KEYWORDS & {*parts} and parts[-1] not in MEASURES


def quoted(text: str) -> str:
    """Return *text* as it stands in a segment: as a string of JSON."""
    return json.dumps(text, ensure_ascii=False)


@frozen(repr=False)
class Amount:
    """Money as somebody writes it, in major units: `100.50 EUR`; None: in the shop's currency."""

    number: Decimal
    currency: str | None = None

    def __repr__(self) -> str:
        number = f"{self.number:f}"
        return f"{number} {self.currency}" if self.currency else number


@frozen(repr=False)
class Duration:
    """A length of time, at most a hundred years; a day is 24 hours."""

    number: int
    unit: Unit

    def __attrs_post_init__(self) -> None:
        if type(self.number) is not int or self.unit not in MICROSECONDS:
            raise InputError(f"{self.number!r} {self.unit!r} is no duration such as 7 days")
        if not 0 < self.microseconds <= LONGEST:
            raise InputError(
                f"{self.number} {self.unit} is no duration; more than nothing and at most a "
                "hundred years is expected"
            )

    @property
    def microseconds(self) -> int:
        return self.number * MICROSECONDS[self.unit]

    def __repr__(self) -> str:
        return f"{self.number} {self.unit[:-1] if self.number == 1 else self.unit}"


Value = bool | int | Decimal | str | Amount


def literal_text(value: Value | tuple[Value, ...]) -> str:
    """Return a value as it stands in a text."""
    if isinstance(value, tuple):
        return f"({', '.join(map(literal_text, value))})"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, Decimal):
        # Without a point it would be a whole number, or something else altogether.
        digits = f"{value:f}"
        return digits if "." in digits else f"{digits}.0"
    return repr(value)


@frozen(repr=False)
class Filter:
    """
    What a fact must also be.

    Attributes:
        name: `product`, `variant` or `category` of a line; `channel`, `source` or `amount`.
        operator: `==` or `in`; for amounts, a comparison.
        value: Of text, a text or some; of amounts, an amount.
    """

    name: str
    operator: SetOperator
    value: Value | tuple[Value, ...]
    at: Position | None = _place()

    def __repr__(self) -> str:
        sign = "=" if self.operator == "==" and self.name != "amount" else f" {self.operator} "
        return f"{self.name}{sign}{literal_text(self.value)}"


@frozen(repr=False)
class FactsOf:
    """
    Which facts of a customer are meant.

    Attributes:
        name: Of a kind, or of a family of kinds, such as `orders`.
        window: How long ago they are at most; None: however long.
        where: What they must also be; all of it.
    """

    name: str
    window: Duration | None = None
    where: tuple[Filter, ...] = ()
    at: Position | None = _place()

    def __repr__(self) -> str:
        arguments = [] if is_plain(self.name) else [quoted(self.name)]
        if self.window is not None:
            arguments.append(f"{self.window.unit}={self.window.number}")
        arguments += map(repr, self.where)
        name = self.name if is_plain(self.name) else "facts"
        return f"{name}({', '.join(arguments)})" if arguments else name


@frozen(repr=False)
class Everyone:
    """All customers."""

    at: Position | None = _place()

    def __repr__(self) -> str:
        return "everyone"


@frozen(repr=False)
class Mention:
    """A name alone: a trait that is true, or facts of which there is one at least."""

    name: str
    at: Position | None = _place()

    def __repr__(self) -> str:
        return self.name


@frozen(repr=False)
class TraitIs:
    """A trait compares with a value."""

    trait: str
    operator: SetOperator
    value: Value | tuple[Value, ...]
    at: Position | None = _place()
    value_at: Position | None = _place()

    def __repr__(self) -> str:
        name = self.trait if is_plain(self.trait) else f"trait({quoted(self.trait)})"
        return f"{name} {self.operator} {literal_text(self.value)}"


@frozen(repr=False)
class Count:
    """How many facts there are compares with a number."""

    facts: FactsOf
    operator: Operator
    number: Value
    at: Position | None = _place()
    value_at: Position | None = _place()

    def __repr__(self) -> str:
        return f"{self.facts}.count {self.operator} {literal_text(self.number)}"


@frozen(repr=False)
class Sum:
    """What the amounts of facts add up to compares with an amount."""

    facts: FactsOf
    operator: Operator
    amount: Value
    at: Position | None = _place()
    value_at: Position | None = _place()

    def __repr__(self) -> str:
        return f"{self.facts}.sum {self.operator} {literal_text(self.amount)}"


@frozen(repr=False)
class When:
    """The first or last fact lies before, or after, an instant: a while ago, or a day's start."""

    facts: FactsOf
    which: Which
    side: Side
    instant: Duration | date
    at: Position | None = _place()

    def __repr__(self) -> str:
        instant = self.instant
        told = f"{instant} ago" if isinstance(instant, Duration) else instant.isoformat()
        return f"{self.facts}.{self.which} {self.side} {told}"


@frozen(repr=False)
class DaysSince:
    """How many whole days have passed since the first or last fact compares with a number."""

    facts: FactsOf
    which: Which
    operator: Operator
    days: Value
    at: Position | None = _place()
    value_at: Position | None = _place()

    def __repr__(self) -> str:
        return f"days_since({self.facts}.{self.which}) {self.operator} {literal_text(self.days)}"


@frozen(repr=False)
class Sequence:
    """
    Facts that follow each other, each later than the one before it.

    Attributes:
        steps: Two or more.
        within: How long after the one before it each comes at the latest.
        but_not: Whether the last step is what did not come, though the time for it has passed.
    """

    steps: tuple[FactsOf, ...]
    within: Duration
    but_not: bool = False
    at: Position | None = _place()

    def __attrs_post_init__(self) -> None:
        if len(self.steps) < 2:
            raise SegmentError(f"a sequence has {len(self.steps)} steps; two or more are expected")

    def __repr__(self) -> str:
        *before, last = map(repr, self.steps)
        sign = "then not" if self.but_not else "then"
        return f"{' then '.join(before)} {sign} {last} within {self.within}"


@frozen(repr=False)
class InSegment:
    """The customer is in another segment."""

    name: str
    at: Position | None = _place()

    def __repr__(self) -> str:
        return f"segment({quoted(self.name)})"


@frozen(repr=False)
class AllOf:
    """All of two or more conditions hold."""

    conditions: tuple[Condition, ...]
    at: Position | None = _place()

    def __attrs_post_init__(self) -> None:
        _check_two("and", self.conditions)

    def __repr__(self) -> str:
        return " and ".join(_within(each, AllOf, AnyOf) for each in self.conditions)


@frozen(repr=False)
class AnyOf:
    """One of two or more conditions holds."""

    conditions: tuple[Condition, ...]
    at: Position | None = _place()

    def __attrs_post_init__(self) -> None:
        _check_two("or", self.conditions)

    def __repr__(self) -> str:
        return " or ".join(_within(each, AnyOf) for each in self.conditions)


@frozen(repr=False)
class NotOf:
    """A condition does not hold."""

    condition: Condition
    at: Position | None = _place()

    def __repr__(self) -> str:
        return f"not {_within(self.condition, AllOf, AnyOf)}"


def _check_two(word: str, conditions: tuple[Condition, ...]) -> None:
    if len(conditions) < 2:
        raise SegmentError(f"{word!r} joins {len(conditions)}; two or more conditions are expected")


def _within(condition: Condition, *looser: type) -> str:
    return f"({condition})" if isinstance(condition, looser) else repr(condition)


Leaf = Everyone | Mention | TraitIs | Count | Sum | When | DaysSince | Sequence | InSegment
Condition = AllOf | AnyOf | NotOf | Leaf
Compared = TraitIs | Count | Sum | DaysSince
"""The leaves that compare a value of a customer's, which is a measure of them."""


def leaves(condition: Condition) -> list[Leaf]:
    """Return the leaves from left to right."""
    if isinstance(condition, NotOf):
        return leaves(condition.condition)
    if isinstance(condition, AllOf | AnyOf):
        return [leaf for each in condition.conditions for leaf in leaves(each)]
    return [condition]
