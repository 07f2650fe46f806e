"""Grading: what the schemes share, from the border a customer meets to the rows of a review."""

from __future__ import annotations

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

from crmcore_tiering.domain import TIERS, UNGRADED
from crmcore_tiering.tables import Whole


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


def border_met(
    held: ColumnElement[str], border: int, lenience: int, *, above: str
) -> ColumnElement[int]:
    """
    Return the border as a customer who holds the tier *held* meets it.

    Args:
        held: NULL for a customer without a tier, who meets the plain border.
        border: The plain border.
        lenience: As in `Borders`.
        above: The lowest tier above the border; who holds it or a better one is kept longer.
    """
    return case(
        (held.is_(None), border), (held <= above, border + lenience), else_=border - lenience
    )


def changes(graded: FromClause) -> Select[Any]:
    """
    Return those of *graded* who change tier, as rows of `Grading`, by customer.

    A tier given at or after the review's own instant stays, so that a review done twice decides
    nothing new. That instant is the parameter `at`.
    """
    row = graded.c
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
                for name in Grading._fields[6:]
            ),
        )
        .where(
            row.to_tier != func.coalesce(row.from_tier, UNGRADED),
            or_(row.since.is_(None), row.since < bindparam("at", type_=Whole)),
        )
        .order_by(row.customer_id)
    )


def tier_of(in_a: ColumnElement[bool], in_b: ColumnElement[bool]) -> ColumnElement[str]:
    """Return A, B or C by the conditions of the two better ones."""
    best, middle, last = TIERS
    return case((in_a, best), (in_b, middle), else_=last)
