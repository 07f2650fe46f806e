"""Grading: what the schemes share, from the border a customer meets to the rows of a review."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Select,
    bindparam,
    case,
    cast,
    func,
    null,
    or_,
    select,
)

from crmcore_tiering.domain import UNGRADED, Forecast
from crmcore_tiering.tables import Whole
from crmcore_tiering.tiers import Borders


class Grading(NamedTuple):
    """A customer whose tier changes, as a review's statement finds it; see `TierChanged`."""

    customer_id: int
    from_tier: str
    to_tier: str
    orders: int
    net_minor: int
    customers: int
    above_minor: int | None
    revenue_minor: int | None
    a_from_minor: int | None
    b_from_minor: int | None
    recency: int | None
    frequency: int | None
    monetary: int | None
    since: int | None = None
    more_from_minor: tuple[int | None, ...] = ()
    forecast: Forecast | None = None

    @classmethod
    def of(cls, row: Sequence[Any]) -> Grading:
        """Return a row of `changes`, whose last columns are the borders of further tiers."""
        return cls._make((*row[:_FIXED], tuple(row[_FIXED:]), None))


_FIXED = Grading._fields.index("more_from_minor")


def least_of(number: int) -> str:
    """Return the name of the column for the least worth in tier *number*, 0 for the best."""
    return ("a_from_minor", "b_from_minor")[number] if number < 2 else f"from_minor_{number}"


def border_met(held: ColumnElement[str], borders: Borders, number: int) -> ColumnElement[int]:
    """
    Return the border after tier *number* as a customer who holds the tier *held* meets it.

    Who has no tier, or one that the shop has no more, meets the plain border.
    """
    above, below = borders.tiers[: number + 1], borders.tiers[number + 1 :]
    plain, lenience = borders.plain[number], borders.lenience
    return case(
        (held.in_(above), plain + lenience), (held.in_(below), plain - lenience), else_=plain
    )


def changes(graded: FromClause, borders: Borders) -> Select[Any]:
    """
    Return those of *graded* who change tier, as rows of `Grading`, by customer.

    A tier given at or after the review's own instant stays, so that a review done twice decides
    nothing new. That instant is the parameter `at`.
    """
    row = graded.c
    names = (*Grading._fields[6:_FIXED], *map(least_of, range(2, len(borders.plain))))
    return (
        select(
            row.customer_id,
            func.coalesce(row.from_tier, UNGRADED),
            row.to_tier,
            row.orders,
            row.net_minor,
            row.customers,
            *(
                # PostgreSQL adds 64-bit integers up to numeric.
                cast(row[name] if name in row else null(), Whole)
                for name in names
            ),
        )
        .where(
            row.to_tier != func.coalesce(row.from_tier, UNGRADED),
            or_(row.since.is_(None), row.since < bindparam("at", type_=Whole)),
        )
        .order_by(row.customer_id)
    )


def tier_of(borders: Borders, reached: Sequence[ColumnElement[bool]]) -> ColumnElement[str]:
    """Return the first tier whose condition holds; the last tier has none."""
    return case(*zip(reached, borders.tiers, strict=False), else_=borders.tiers[-1])
