"""Conditions: which rows of a history are refunds or cancellations, and which to leave out."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from attrs import field, frozen

from crmcore.errors import InputError, nearest
from crmcore.replay.cells import Numbers, text_of
from crmcore.replay.columns import Column, Given

Test = Callable[[Any], bool]
"""Whether a cell, or a row, passes."""
Scalar = str | int | float | bool


def _every(tests: Sequence[Test]) -> Test:
    """Return the test that all the tests are passed."""
    if len(tests) == 1:
        return tests[0]

    # A loop takes a third of the time of all() over a generator, for every row of the file.
    def passes(item: Any) -> bool:
        for test in tests:  # noqa: SIM110
            if not test(item):
                return False
        return True

    return passes


def _some(tests: Sequence[Test]) -> Test:
    """Return the test that any of the tests is passed."""
    if len(tests) == 1:
        return tests[0]

    def passes(item: Any) -> bool:
        for test in tests:  # noqa: SIM110
            if test(item):
                return True
        return False

    return passes


def _decimal(value: Given) -> Decimal | None:
    """Return the number that a TOML number stands for; None if the value is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return Decimal(repr(value))


def _equals(value: Given, numbers: Numbers) -> Test:
    wanted = _decimal(value)
    if wanted is None:
        if not isinstance(value, Scalar):
            raise TypeError(f"{value!r} is not text, a number, true or false")
        text = text_of(value) or ""
        return lambda cell: (text_of(cell) or "") == text

    def equals(cell: Any) -> bool:
        try:
            return numbers.decimal(cell) == wanted
        except InputError:
            return False  # a column may mix numbers with words

    return equals


def _not_equals(value: Given, numbers: Numbers) -> Test:
    equals = _equals(value, numbers)
    return lambda cell: not equals(cell)


def _is_in(values: Given, numbers: Numbers) -> Test:
    if not isinstance(values, list):
        raise TypeError(f"{values!r} is not a list")
    if all(isinstance(value, str) for value in values):
        texts = frozenset(value.strip() for value in values)
        return lambda cell: (text_of(cell) or "") in texts
    return _some([_equals(value, numbers) for value in values])


def _starts_with(value: Given, _: Numbers) -> Test:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not text")
    return lambda cell: (text_of(cell) or "").startswith(value)


def _matches(value: Given, _: Numbers) -> Test:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not text")
    try:
        search = re.compile(value).search
    except re.error as error:
        raise ValueError(f"{value!r} is not a regular expression: {error}") from None
    return lambda cell: search(text_of(cell) or "") is not None


def _empty(value: Given, _: Numbers) -> Test:
    if not isinstance(value, bool):
        raise TypeError(f"{value!r} is not true or false")
    return lambda cell: (text_of(cell) is None) is value


def _ordered(sign: int) -> Callable[[Given, Numbers], Test]:
    """Return the test that the cell lies below (-1) or above (1) a number, or text, of its own."""

    def make(value: Given, numbers: Numbers) -> Test:
        limit = _decimal(value)
        if limit is not None:
            number = numbers.decimal
            return lambda cell: (
                (found := number(cell)) is not None
                and (found < limit if sign < 0 else found > limit)
            )
        if not isinstance(value, str):
            raise TypeError(f"{value!r} is not a number or text")
        return lambda cell: (
            (found := text_of(cell)) is not None and (found < value if sign < 0 else found > value)
        )

    return make


TESTS: dict[str, Callable[[Given, Numbers], Test]] = {
    "equals": _equals,
    "not_equals": _not_equals,
    "in": _is_in,
    "starts_with": _starts_with,
    "matches": _matches,
    "empty": _empty,
    "less_than": _ordered(-1),
    "greater_than": _ordered(1),
}
"""Each makes a test from what the mapping compares with; a number there compares as a number."""

Binder = Callable[[Column], Callable[[Any], Any]]
"""Returns what takes a column's cell out of a row."""


@frozen
class CellCondition:
    """A cell passes every one of the tests."""

    cell: Column
    tests: Mapping[str, Given] = field()

    def bind(self, cell_of: Binder, numbers: Numbers) -> Test:
        """Return whether a row fulfils this."""
        get, column = cell_of(self.cell), self.cell.column
        passes = _every([TESTS[name](value, numbers) for name, value in self.tests.items()])

        def holds(row: Any) -> bool:
            try:
                return passes(get(row))
            except InputError as error:
                raise InputError(f"column {column!r}: {error}") from None

        return holds


@frozen
class AllOf:
    """Every one of the conditions holds."""

    conditions: tuple[Condition, ...]

    def bind(self, cell_of: Binder, numbers: Numbers) -> Test:
        """Return whether a row fulfils this."""
        return _every([condition.bind(cell_of, numbers) for condition in self.conditions])


@frozen
class AnyOf:
    """At least one of the conditions holds."""

    conditions: tuple[Condition, ...]

    def bind(self, cell_of: Binder, numbers: Numbers) -> Test:
        """Return whether a row fulfils this."""
        return _some([condition.bind(cell_of, numbers) for condition in self.conditions])


Condition = CellCondition | AllOf | AnyOf


def condition_from(given: Given, column_from: Callable[[Given], Column]) -> Condition:
    """
    Return the condition that a TOML table stands for.

    Raises:
        TypeError, ValueError: If it is not a condition; says which part.
    """
    if not isinstance(given, Mapping):
        raise TypeError(f"{given!r} is not a condition such as {{ column = ..., equals = ... }}")
    for name, combined in (("all", AllOf), ("any", AnyOf)):
        if name in given:
            if len(given) > 1 or not isinstance(given[name], list) or not given[name]:
                raise ValueError(f"{name!r} takes a list of conditions, and nothing beside it")
            return combined(tuple(condition_from(item, column_from) for item in given[name]))
    tests = {name: value for name, value in given.items() if name in TESTS}
    column = {name: value for name, value in given.items() if name not in TESTS}
    known = ("column", "without_prefix", "optional", *TESTS, "all", "any")
    for name in column:
        if name not in known:
            raise ValueError(
                f"unknown test {name!r}{nearest(name, known)}; tests: {', '.join(TESTS)}"
            )
    if "column" not in given:
        raise ValueError("'column' is missing")
    if not tests:
        raise ValueError(f"nothing is tested of {given['column']!r}; tests: {', '.join(TESTS)}")
    for name, value in tests.items():
        try:
            TESTS[name](value, Numbers())
        except (TypeError, ValueError) as error:
            raise ValueError(f"{name}: {error}") from None
    return CellCondition(column_from(column), tests)
