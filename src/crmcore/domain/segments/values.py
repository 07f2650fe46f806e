"""Values: what is read of a segment's text token by token, and its literals."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from typing import Final, NoReturn

from crmcore.domain.segments.tokens import Sort, Token, tokens
from crmcore.domain.segments.tree import (
    MICROSECONDS,
    OPERATORS,
    Amount,
    Duration,
    Position,
    SetOperator,
    Value,
)
from crmcore.domain.structuring import is_storable
from crmcore.errors import InputError, SegmentError, nearest

_LARGEST: Final = 2**63 - 1  # what a 64-bit column holds
_DIGITS: Final = 19  # of the largest


class ValueParser:
    """Reads tokens one by one, and the values among them."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._tokens = tokens(source)
        self._place = 0

    # -- tokens ------------------------------------------------------------------------------

    @property
    def _next(self) -> Token:
        return self._tokens[self._place]

    def _is(self, *texts: str) -> bool:
        return self._next.sort in ("name", "sign") and self._next.text in texts

    def _take(self) -> Token:
        token = self._next
        self._place += token.sort != "end"
        return token

    def _skip(self, text: str) -> bool:
        """Return whether the next token is *text*, and go past it."""
        found = self._is(text)
        self._place += found
        return found

    def expect(self, sort: Sort, text: str, expected: str) -> Token:
        token = self._next
        if token.sort != sort or (text and token.text != text):
            self._refuse(token, expected)
        return self._take()

    def _refuse(self, token: Token, expected: str, known: Iterable[str] = ()) -> NoReturn:
        words = [*known] or re.findall(r"'(\w+)'", expected)
        hint = nearest(token.text.lower(), words) if token.sort == "name" else ""
        self._fail(f"{token} found{hint}; {expected} is expected", token.at)

    def _fail(self, problem: str, at: Position) -> NoReturn:
        raise SegmentError(problem, source=self._source, at=at)

    # -- values ------------------------------------------------------------------------------

    def _operator(self) -> SetOperator:
        token = self._next
        if token.text == "=" and token.sort == "sign":
            self._fail("'=' found; '==' is expected", token.at)
        if not self._is(*OPERATORS):
            self._refuse(token, f"a comparison ({', '.join(OPERATORS)})")
        return self._take().text  # type: ignore[return-value]

    def _values(self) -> tuple[Value, ...]:
        self.expect("sign", "(", "'(' and a list of values")
        values = [self._value()]
        while self._skip(",") and not self._is(")"):
            values.append(self._value())
        self.expect("sign", ")", "')' or ','")
        return tuple(values)

    def _value(self) -> Value:
        token = self._next
        if token.sort == "text":
            return self._text()
        if self._is("true", "false"):
            return self._take().text == "true"
        if token.sort == "number" or self._is("-"):
            return self._number()
        if token.sort == "date":
            self._fail(
                f'{token} found; a text is in double quotes, such as "{token.text}"', token.at
            )
        self._refuse(token, "a number, an amount, a text in double quotes, true or false")

    def _text(self) -> str:
        token = self.expect("text", "", "a text in double quotes")
        try:
            text: str = json.loads(token.text)
        except ValueError as error:
            self._fail(f"{token.text} is no text: {str(error).partition(':')[0].lower()}", token.at)
        if not is_storable(text):
            self._fail(f"{token.text} holds what no database can store", token.at)
        return text

    def _number(self) -> Value:
        at = self._next.at
        sign = "-" if self._skip("-") else ""
        token = self.expect("number", "", "a number")
        whole, point, _ = token.text.partition(".")
        if len(whole.lstrip("0")) > _DIGITS or int(whole) > _LARGEST:
            self._fail(f"{token.text} does not fit in 64 bits", at)
        number = Decimal(sign + token.text) if point else int(sign + token.text)
        following = self._next
        if following.sort == "name" and following.text.isupper() and len(following.text) == 3:
            self._take()
            return Amount(Decimal(number), following.text)
        return number

    def _duration(self, unit: str) -> Duration:
        token = self.expect("number", "", f"a whole number of {unit}")
        try:
            return Duration(int(token.text[: _DIGITS + 1]), unit)  # type: ignore[arg-type]
        except (InputError, ValueError):
            self._fail(
                f"{token} found; a whole number of {unit} is expected, more than 0 and at most a "
                "hundred years",
                token.at,
            )

    def _duration_in_words(self, number: Token) -> Duration:
        unit = self._tokens[self._place + 1]
        name = unit.text if unit.text.endswith("s") else f"{unit.text}s"
        if unit.sort != "name" or name not in MICROSECONDS:
            self._refuse(unit, f"one of {', '.join(MICROSECONDS)}", MICROSECONDS)
        found = self._duration(name)
        self._take()
        return found

    def _instant(self) -> Duration | date:
        token = self._next
        if token.sort == "number":
            found = self._duration_in_words(token)
            self.expect("name", "ago", "'ago'")
            return found
        if token.sort != "date":
            self._refuse(token, "a while such as 90 days ago, or a date such as 2026-01-31")
        try:
            day = date.fromisoformat(self._take().text)
        except ValueError:
            self._fail(f"{token.text} is no date", token.at)
        if not 1900 <= day.year < 2200:
            self._fail(
                f"{token.text} is out of range; a year from 1900 to 2199 is expected", token.at
            )
        return day
