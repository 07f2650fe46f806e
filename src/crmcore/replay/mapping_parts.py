"""The parts of a mapping: kind, time, amount, lines, key, and what undoes an order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from attrs import field, frozen

from crmcore.replay.columns import Column
from crmcore.replay.conditions import AllOf

Columns = tuple[Column, ...]


@frozen(kw_only=True)
class KindColumn:
    """
    The column that names each row's kind.

    Attributes:
        values: Kinds by what stands in the column; what is not listed has to be the name of a
            kind or an alias of one.
    """

    column: Column
    values: Mapping[str, str] = field(factory=dict)


@frozen(kw_only=True)
class Time:
    """
    When it happened.

    Attributes:
        column: One column, or several whose texts are joined by a blank.
        format: As in `strptime`, or `unix` or `unix_ms`; None for ISO 8601.
    """

    column: Columns
    format: str | None = None


@frozen(kw_only=True)
class UnitPriced:
    """An amount that is a quantity times the price of a unit."""

    quantity: Column
    unit_price: Column


@frozen(kw_only=True)
class LineColumns:
    """
    The columns that make an interaction's lines: one line a row, or one for each item of a list.

    Attributes:
        each: A column that holds a list of items; the other columns are then fields of an item.
        quantity: Whole units; 1 without it.
        amount: For all units together. Without it and *unit_price*: the amount of the row.
        cost: What all units together cost the shop.
        key: The line's own name within its order. *undoes*: the key of the line it undoes.
    """

    product: Column
    each: Column | None = None
    variant: Column | None = None
    category: Column | None = None
    quantity: Column | None = None
    unit_price: Column | None = None
    amount: Column | None = None
    cost: Column | None = None
    key: Column | None = None
    undoes: Column | None = None

    @property
    def priced(self) -> bool:
        """Whether the lines say what they cost the customer."""
        return self.amount is not None or self.unit_price is not None


@frozen(kw_only=True)
class Undoing:
    """
    The rows that take something back.

    Attributes:
        when: What tells them from other rows; of a list, all must hold.
        kind: What they become; `order.refunded` or `order.cancelled` without it.
        undoes: The column that names the order they undo; the mapping's *order* without it.
    """

    when: AllOf
    kind: str | None = None
    undoes: Column | None = None


@frozen(kw_only=True)
class LineNumber:
    """The line of the file is the key of what it says: for a file that only ever grows."""

    line_number: Literal[True]
