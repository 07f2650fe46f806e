"""Traits: named, typed values that some plugin keeps about each customer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from attrs import field, frozen

if TYPE_CHECKING:  # the domain describes columns, and runs without a database
    from sqlalchemy import ColumnElement, FromClause

T = TypeVar("T")


@frozen(kw_only=True)
class Trait(Generic[T]):
    """
    A value kept about each customer, read by name.

    Attributes:
        name: The plugin's name, a dot and its own, such as `tiering.tier`.
        type: Of the value: int, str, bool or float.
        default: What a customer without a row has; never None.
        table: Holds one row per customer, in a column `customer_id`.
        value: Returns the value's column; *now* is bound to the present instant, in microseconds.
            It reads no clock of its own.
        description: What it says, in a few words, with its unit.
        history: A table with one row per change: `customer_id`, `value`, `from_instant`,
            `to_instant` (None while it lasts) and `caused_by`; None where none is kept.
    """

    name: str = field(kw_only=False)
    type: type[T]
    default: T
    table: FromClause
    value: Callable[[ColumnElement[int]], ColumnElement[Any]]
    description: str = ""
    history: FromClause | None = None

    def column(self, now: ColumnElement[int]) -> ColumnElement[Any]:
        """Return the expression of the value over *table*, at the instant *now*."""
        return self.value(now)
