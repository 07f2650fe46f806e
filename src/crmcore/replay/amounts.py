"""Amounts: the money and the lines of one row."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from crmcore.domain.interaction import Line
from crmcore.domain.money import check_currency, exponent_of
from crmcore.errors import InputError
from crmcore.replay.cells import Numbers, minor_units, multiply, text_of
from crmcore.replay.columns import Column
from crmcore.replay.mapping import HistoryMapping
from crmcore.replay.mapping_parts import LineColumns, UnitPriced
from crmcore.replay.tables import Getter, Row, Table, bind, bind_item

ToMinor = Callable[[Decimal], int]
"""Turns a number of the file into minor units of the row's currency."""


def text_reader(get: Getter | None) -> Callable[[Row], str | None]:
    """Return what reads a cell as text."""
    if get is None:
        return lambda row: None
    return lambda row: text_of(get(row))


def _reader(
    get: Getter | None, convert: Callable[[Any], Any], column: Column | None
) -> Callable[[Row], Any]:
    """Return what converts a cell, and names its column if that cannot be done."""
    if get is None or column is None:
        return lambda row: None
    name = column.column

    def read(row: Row) -> Any:
        try:
            return convert(get(row))
        except InputError as error:
            raise InputError(f"column {name!r}: {error}") from None

    return read


def _repeated(get: Getter | None) -> Callable[[Row], str | None]:
    """Return what reads a text that many rows share, and keeps it once."""
    if get is None:
        return lambda row: None
    return lambda row: None if (text := text_of(get(row))) is None else sys.intern(text)


def _times(quantity: Decimal | int | None, unit_price: Decimal, name: str) -> Decimal:
    if quantity is None:
        raise InputError(f"column {name!r} is empty, though there is a price of a unit")
    return multiply(quantity, unit_price)


class AmountReader:
    """Reads the amount and the lines of rows, each in minor units."""

    def __init__(self, mapping: HistoryMapping, table: Table, numbers: Numbers) -> None:
        self._amount = self._amount_reader(mapping.amount, table, numbers)
        self._lines = None if mapping.lines is None else LineReader(mapping.lines, table, numbers)
        self._sums_lines = mapping.amount is None and mapping.has_amounts
        self._rounding = mapping.round
        self._minor = mapping.minor
        self._to_minor: dict[str | None, ToMinor] = {}

    @staticmethod
    def _amount_reader(
        amount: Column | UnitPriced | None, table: Table, numbers: Numbers
    ) -> Callable[[Row], Decimal | None] | None:
        if amount is None:
            return None
        if isinstance(amount, Column):
            return _reader(bind(table, amount), numbers.decimal, amount)
        quantity = _reader(bind(table, amount.quantity), numbers.decimal, amount.quantity)
        price = _reader(bind(table, amount.unit_price), numbers.decimal, amount.unit_price)
        name = amount.quantity.column

        def read(row: Row) -> Decimal | None:
            unit_price = price(row)
            return None if unit_price is None else _times(quantity(row), unit_price, name)

        return read

    def read(self, row: Row, currency: str | None) -> tuple[int | None, list[Line]]:
        """Return the row's amount, None if it has none, and its lines."""
        number = self._amount(row) if self._amount is not None else None
        if number is None and self._lines is None:
            return None, []
        to_minor = self._to_minor.get(currency) or self._in_currency(currency)
        amount = None if number is None else to_minor(number)
        if self._lines is None:
            return amount, []
        found = self._lines.read(row, to_minor, amount)
        if self._sums_lines:
            amounts = [minor for minor, _ in found if minor is not None]
            amount = sum(amounts) if amounts else None
        return amount, [line for _, line in found]

    def _in_currency(self, currency: str | None) -> ToMinor:
        rounding = self._rounding

        def to_minor(number: Decimal) -> int:
            if currency is None:
                raise InputError("the amount has no currency, as its cell is empty")
            return minor_units(number, places=places, rounding=rounding, currency=currency)

        places = 0 if self._minor or currency is None else exponent_of(check_currency(currency))
        self._to_minor[currency] = to_minor
        return to_minor


class LineReader:
    """Reads the lines of rows: of each row one, or as many as a column lists."""

    def __init__(self, lines: LineColumns, table: Table, numbers: Numbers) -> None:
        self._each = None if lines.each is None else (lines.each.column, bind(table, lines.each))

        def get(column: Column | None) -> Getter | None:
            if column is None:
                return None
            return bind(table, column) if lines.each is None else bind_item(column)

        self._product = _repeated(get(lines.product))
        self._variant = _repeated(get(lines.variant))
        self._category = _repeated(get(lines.category))
        self._key = text_reader(get(lines.key))
        self._undoes = text_reader(get(lines.undoes))
        self._cost = _reader(get(lines.cost), numbers.decimal, lines.cost)
        self._quantity = _reader(get(lines.quantity), numbers.whole, lines.quantity)
        self._unit_price: Callable[[Row], Decimal | None] = _reader(
            get(lines.unit_price), numbers.decimal, lines.unit_price
        )
        self._amount = _reader(get(lines.amount), numbers.decimal, lines.amount)
        self._priced = lines.priced
        self._has_prices = lines.unit_price is not None
        self._quantity_name = None if lines.quantity is None else lines.quantity.column
        self._product_name = lines.product.column

    def read(
        self, row: Row, to_minor: ToMinor, amount: int | None
    ) -> Sequence[tuple[int | None, Line]]:
        """Return each line and its amount, None if its cells are empty; *amount* is the row's."""
        if self._each is None:
            line = self._line(row, to_minor, amount)
            return () if line is None else (line,)
        name, get = self._each
        items = get(row)
        if items is None:
            return ()
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise InputError(f"column {name!r}: {str(items)[:40]!r} is not a list of objects")
        found = [self._line(item, to_minor, None) for item in items]
        return [line for line in found if line is not None]

    def _line(
        self, row: Row, to_minor: ToMinor, amount: int | None
    ) -> tuple[int | None, Line] | None:
        quantity = self._quantity(row)
        if self._priced:
            number = self._price(row, quantity) if self._has_prices else self._amount(row)
            amount = None if number is None else to_minor(number)
        product = self._product(row)
        if product is None:
            if amount and self._priced:
                raise InputError(
                    f"column {self._product_name!r} names no product, though the line has an amount"
                )
            return None
        cost = self._cost(row)
        return amount, Line(
            product=product,
            quantity=1 if quantity is None else quantity,
            amount_minor=amount or 0,
            variant=self._variant(row),
            category=self._category(row),
            cost_minor=None if cost is None else to_minor(cost),
            key=self._key(row),
            undoes=self._undoes(row),
        )

    def _price(self, row: Row, quantity: int | None) -> Decimal | None:
        unit_price = self._unit_price(row)
        if unit_price is None or self._quantity_name is None:
            return unit_price  # of the one unit
        return _times(quantity, unit_price, self._quantity_name)
