"""Pareto: customers graded by where they stand in the shop's revenue, largest first."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, FromClause, Select, Subquery, case, func, select

from crmcore_tiering.grading import border_met, changes, least_of, tier_of
from crmcore_tiering.tiers import Borders
from crmcore_tiering.totals import with_purchase, worth


def standing_of(totals: FromClause) -> Select[Any]:
    """Return each customer with a purchase, and what customers with strictly more bring."""
    customer = (
        select(
            totals.c.customer_id, totals.c.orders, totals.c.net_minor, worth(totals).label("worth")
        )
        .where(with_purchase(totals))
        .subquery("customer")
    )
    # RANGE up to 1 PRECEDING: integers greater by 1 or more, which leaves out equal customers.
    larger = func.sum(customer.c.worth).over(order_by=customer.c.worth.desc(), range_=(None, -1))
    return select(
        customer,
        func.coalesce(larger, 0).label("above_minor"),
        func.sum(customer.c.worth).over().label("revenue_minor"),
        func.count().over().label("customers"),
    )


def graded_by_share(standing: FromClause, tiers: FromClause, borders: Borders) -> Subquery:
    """Return each customer of *standing* with the tier held, the one to come, and its borders."""
    held, row = tiers.c.tier, standing.c

    def within(percent: ColumnElement[int] | int) -> ColumnElement[bool]:
        return row.above_minor * 100 < row.revenue_minor * percent

    def least(percent: int) -> ColumnElement[int]:
        return func.min(case((within(percent), row.worth))).over()

    numbers = range(len(borders.plain))
    return (
        select(
            standing,
            held.label("from_tier"),
            tiers.c.since,
            tier_of(borders, [within(border_met(held, borders, n)) for n in numbers]).label(
                "to_tier"
            ),
            *(least(borders.up(borders.tiers[n])).label(least_of(n)) for n in numbers),
        )
        .outerjoin(tiers, tiers.c.customer_id == row.customer_id)
        .subquery("graded")
    )


def pareto_changes(totals: FromClause, tiers: FromClause, borders: Borders) -> Select[Any]:
    """
    Return the customers whose tier changes, as rows of `Grading`.

    A customer's position is the share of the revenue that customers with strictly more bring, so
    equal customers stand at one position, and the best one at 0. Below the first border is the
    best tier, and so on: without any revenue, everyone is in the last. Shares are compared as
    products of integers, which fit in 64 bits up to a revenue of 9e16 minor units.

    Source:
        J. M. Juran (1951), "Quality Control Handbook": the vital few and the useful many; the
        letters are those of ABC analysis, H. F. Dickie (1951).
    """
    standing = standing_of(totals).subquery("standing")
    return changes(graded_by_share(standing, tiers, borders), borders)
