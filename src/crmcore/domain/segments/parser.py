"""Parser: a segment's text made into its tree, by descent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from crmcore.domain.segments.tokens import Token
from crmcore.domain.segments.tree import (
    KEYWORDS,
    MEASURES,
    MICROSECONDS,
    OPERATORS,
    AllOf,
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
    SetOperator,
    Sum,
    TraitIs,
    When,
    Which,
)
from crmcore.domain.segments.values import ValueParser
from crmcore.errors import SegmentError

T = TypeVar("T")

DEEPEST: Final = 50
"""How many brackets and nots may stand within each other."""
_CONDITION: Final = "a condition such as 'orders.count >= 3'"
_TEXT_FILTERS: Final = ("product", "variant", "category", "channel", "source")
FILTERS: Final = (*MICROSECONDS, *_TEXT_FILTERS, "amount")


def parse(source: str) -> Condition:
    """
    Return the tree of a segment's text.

    Raises:
        SegmentError: Says where, what was found and what is expected.
    """
    if not isinstance(source, str):
        raise SegmentError(f"{source!r} is no segment; a text such as 'orders.count >= 3' is")
    parser = _Parser(source)
    condition = parser.condition()
    parser.expect("end", "", "'and', 'or' or the end")
    return condition


def parse_measure(source: str) -> Compared:
    """
    Return what a text such as `orders.count` or `days_since(orders.last)` says, as its leaf.

    The leaf compares it with nothing in particular, since the text does not.

    Raises:
        SegmentError: Says where, what was found and what is expected.
    """
    if not isinstance(source, str):
        raise SegmentError(f"{source!r} is no measure; a text such as 'orders.count' is")
    parser = _Parser(source)
    found = parser.measure()
    parser.expect("end", "", "the end")
    return found


class _Parser(ValueParser):
    _depth = 0  # of brackets and nots within each other

    # -- conditions --------------------------------------------------------------------------

    def condition(self) -> Condition:
        at = self._next.at
        found = self._joined("or", lambda: self._joined("and", self._negated))
        return AnyOf(tuple(found), at=at) if len(found) > 1 else found[0]

    def _joined(
        self, word: str, part: Callable[[], Condition | list[Condition]]
    ) -> list[Condition]:
        conditions = []
        while True:
            at = self._next.at
            found = part()
            if isinstance(found, list):
                found = AllOf(tuple(found), at=at) if len(found) > 1 else found[0]
            conditions.append(found)
            if not self._skip(word):
                return conditions

    def _negated(self) -> Condition:
        at = self._next.at
        if not self._skip("not"):
            return self._atom()
        return NotOf(self._deeper(self._negated), at=at)

    def _deeper(self, part: Callable[[], Condition]) -> Condition:
        self._depth += 1
        if self._depth > DEEPEST:
            self._fail(f"more than {DEEPEST} brackets stand within each other", self._next.at)
        found = part()
        self._depth -= 1
        return found

    def _atom(self) -> Condition:
        token = self._next
        if self._skip("("):
            found = self._deeper(self.condition)
            self.expect("sign", ")", "')', 'and' or 'or'")
            return found
        if self._skip("everyone"):
            return Everyone(at=token.at)
        if self._skip("segment"):
            return InSegment(self._bracketed(self._text), at=token.at)
        if self._skip("in"):
            name = self._next
            if name.sort not in ("name", "text"):
                self._refuse(name, "the name of a segment")
            return InSegment(
                self._text() if name.sort == "text" else self._take().text, at=token.at
            )
        if self._skip("days_since"):
            return self._days_since(token.at)
        if self._skip("trait"):
            return self._of_trait(self._bracketed(self._text), token.at)
        if token.sort != "name" or (token.text in KEYWORDS and token.text != "facts"):
            self._refuse(token, _CONDITION)
        return self._named()

    def _bracketed(self, part: Callable[[], T]) -> T:
        self.expect("sign", "(", "'('")
        found = part()
        self.expect("sign", ")", "')'")
        return found

    def _path(self) -> list[str]:
        parts = [self._word()]
        while self._skip("."):
            parts.append(self._word())
        return parts

    def _word(self) -> str:
        token = self._next
        if token.sort != "name" or token.text in KEYWORDS:
            self._refuse(token, "a name")
        return self._take().text

    def _named(self) -> Condition:
        """Return what begins with a name: facts, or a trait."""
        at = self._next.at
        if self._is("facts"):
            facts, measure = self._facts()
            return self._of_facts(facts, measure)
        path = self._path()
        if self._is("("):
            facts = self._filtered(".".join(path), at)
            measure = self._measure() if self._skip(".") else None
            return self._of_facts(facts, measure)
        if path[-1] in MEASURES and len(path) > 1:
            return self._of_facts(FactsOf(".".join(path[:-1]), at=at), path[-1])
        name = ".".join(path)
        if self._is("then"):
            return self._sequence(FactsOf(name, at=at))
        if self._is(*OPERATORS, "in", "not", "="):
            return self._of_trait(name, at)
        return Mention(name, at=at)

    def _of_trait(self, name: str, at: Position) -> Condition:
        if self._is("in", "not"):
            operator: SetOperator = "in"
            if self._skip("not"):
                operator = "not in"
            self.expect("name", "in", "'in'")
            place = self._next.at
            return TraitIs(name, operator, self._values(), at=at, value_at=place)
        if not self._is(*OPERATORS, "="):
            return TraitIs(name, "==", True, at=at, value_at=at)
        compared = self._operator()
        place = self._next.at
        return TraitIs(name, compared, self._value(), at=at, value_at=place)

    # -- facts -------------------------------------------------------------------------------

    def _facts(self) -> tuple[FactsOf, str | None]:
        """Return facts, and the measure of them that a name ends with."""
        at = self._next.at
        if self._skip("facts"):
            self.expect("sign", "(", "'('")
            name = self._text()
            more = self._skip(",")
            facts = self._arguments(name, at, begun=True) if more else FactsOf(name, at=at)
            if not more:
                self.expect("sign", ")", "')' or ','")
            return facts, self._measure() if self._skip(".") else None
        path = self._path()
        if self._is("("):
            facts = self._filtered(".".join(path), at)
            return facts, self._measure() if self._skip(".") else None
        if path[-1] in MEASURES and len(path) > 1:
            return FactsOf(".".join(path[:-1]), at=at), path[-1]
        return FactsOf(".".join(path), at=at), None

    def _filtered(self, name: str, at: Position) -> FactsOf:
        self.expect("sign", "(", "'('")
        return self._arguments(name, at)

    def _arguments(self, name: str, at: Position, *, begun: bool = False) -> FactsOf:
        window: Duration | None = None
        where: list[Filter] = []
        while begun or not self._is(")"):
            begun = False
            token = self._next
            if token.sort != "name" or token.text not in FILTERS:
                self._refuse(token, f"one of {', '.join(FILTERS)}", FILTERS)
            self._take()
            if token.text in MICROSECONDS:
                if window is not None:
                    self._fail(f"{token} found; there is a window already", token.at)
                self._equals()
                window = self._duration(token.text)
            else:
                where.append(self._filter(token))
            if not self._skip(","):
                break
        self.expect("sign", ")", "')' or ','")
        return FactsOf(name, window, tuple(where), at=at)

    def _equals(self) -> None:
        if not (self._skip("=") or self._skip("==")):
            self._refuse(self._next, "'='")

    def _filter(self, token: Token) -> Filter:
        name = token.text
        if name == "amount":
            operator: SetOperator = "==" if self._skip("=") else self._operator()
            return Filter(name, operator, self._value(), at=token.at)
        if self._skip("in"):
            return Filter(name, "in", self._values(), at=token.at)
        if not self._is("=", "=="):
            self._refuse(self._next, "'=' or 'in'")
        self._take()
        return Filter(name, "==", self._text(), at=token.at)

    def _measure(self) -> str:
        token = self._next
        if not self._is(*MEASURES):
            self._refuse(token, f"one of {', '.join(MEASURES)}", MEASURES)
        return self._take().text

    def _of_facts(self, facts: FactsOf, measure: str | None) -> Condition:
        at = facts.at
        if measure is None:
            if self._is("then"):
                return self._sequence(facts)
            return Count(facts, ">=", 1, at=at, value_at=at)
        if measure in ("first", "last"):
            which = "first" if measure == "first" else "last"
            if not self._is("before", "after"):
                self._refuse(self._next, "'before' or 'after'")
            side = "before" if self._take().text == "before" else "after"
            return When(facts, which, side, self._instant(), at=at)  # type: ignore[arg-type]
        operator = self._operator()
        place = self._next.at
        node = Count if measure == "count" else Sum
        return node(facts, operator, self._value(), at=at, value_at=place)  # type: ignore[arg-type]

    def _days_since(self, at: Position) -> Condition:
        facts, which = self._since(at)
        operator = self._operator()
        place = self._next.at
        return DaysSince(facts, which, operator, self._value(), at=at, value_at=place)  # type: ignore[arg-type]

    def _since(self, at: Position) -> tuple[FactsOf, Which]:
        self.expect("sign", "(", "'('")
        facts, measure = self._facts()
        if measure not in ("first", "last"):
            self._fail(
                f"days_since has {facts}; its first or last is expected, such as {facts}.last",
                facts.at or at,
            )
        self.expect("sign", ")", "')'")
        return facts, "first" if measure == "first" else "last"

    # -- measures ----------------------------------------------------------------------------

    def measure(self) -> Compared:
        at = self._next.at
        if self._skip("days_since"):
            facts, which = self._since(at)
            return DaysSince(facts, which, ">=", 0, at=at)
        if self._skip("trait"):
            return TraitIs(self._bracketed(self._text), "==", True, at=at)
        facts, measure = self._facts()
        if measure == "count":
            return Count(facts, ">=", 0, at=at)
        if measure == "sum":
            return Sum(facts, ">=", 0, at=at)
        if measure is not None:
            self._fail(f"{facts}.{measure} found; days_since({facts}.{measure}) is expected", at)
        if facts.window is not None or facts.where:
            self._fail(f"{facts} found; {facts}.count or {facts}.sum is expected", at)
        return TraitIs(facts.name, "==", True, at=at)

    def _sequence(self, first: FactsOf) -> Condition:
        steps, but_not = [first], False
        while self._skip("then"):
            if but_not:
                self._fail("'then not' is the last step of a sequence", self._next.at)
            but_not = self._skip("not")
            at = self._next.at
            facts, measure = self._facts()
            if measure is not None:
                self._fail(f"{measure!r} found; a sequence is of facts, not of numbers", at)
            steps.append(facts)
        self.expect("name", "within", "'within' or 'then'")
        number = self._next
        self.expect("number", "", "a duration such as 7 days")
        self._place -= 1
        within = self._duration_in_words(number)
        return Sequence(tuple(steps), within, but_not, at=first.at)
