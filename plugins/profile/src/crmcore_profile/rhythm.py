"""Rhythm: how often a customer orders, and whether they are later than usual."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Subquery, and_, case, cast, func, or_, select

from crmcore import Trait
from crmcore_profile.domain import DAY
from crmcore_profile.tables import Whole, contribution

UNKNOWN = -1


def rhythm_of() -> Subquery:
    """
    Return one row for each customer with orders: how many, the first and the last of them.

    An order with a number counts once, when it was first placed, and not if it was cancelled as
    a whole; orders without a number count one by one.
    """
    row = contribution.c
    is_numbered = row.subject != ""
    return (
        select(
            row.customer_id,
            cast(func.sum(case((is_numbered, 1), else_=row.orders)), Whole).label("orders"),
            func.min(row.first_order_at).label("first_at"),
            func.max(case((is_numbered, row.first_order_at), else_=row.last_order_at)).label(
                "last_at"
            ),
        )
        .where(row.orders > 0, or_(~is_numbered, row.dropped == 0))
        .group_by(row.customer_id)
        .subquery("rhythm")
    )


def rhythm_traits(*, overdue_percent: int, overdue_orders: int) -> list[Trait[Any]]:
    """Return the traits of when a customer orders."""
    rhythm = rhythm_of()
    row = rhythm.c
    gap = (row.last_at - row.first_at) // case((row.orders > 1, row.orders - 1), else_=1)

    def is_overdue(now: ColumnElement[int]) -> ColumnElement[Any]:
        # Divided first, as a gap of centuries times percent would not fit in 64 bits.
        late = and_(row.orders >= overdue_orders, now - row.last_at > gap // 100 * overdue_percent)
        return case((late, 1), else_=0)

    def quiet_days(now: ColumnElement[int]) -> ColumnElement[Any]:
        return case((now > row.last_at, (now - row.last_at) // DAY), else_=0)

    return [
        Trait(
            "profile.rhythm_days",
            type=int,
            default=UNKNOWN,
            table=rhythm,
            value=lambda now: case((row.orders > 1, gap // DAY), else_=UNKNOWN),
            description="whole days between two orders on average; -1 before the second one",
        ),
        Trait(
            "profile.quiet_days",
            type=int,
            default=UNKNOWN,
            table=rhythm,
            value=quiet_days,
            description="whole days since the last order; -1 before the first one",
        ),
        Trait(
            "profile.is_overdue",
            type=bool,
            default=False,
            table=rhythm,
            value=is_overdue,
            description="whether the next order is later than the customer's rhythm allows",
        ),
    ]
