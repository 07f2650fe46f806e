"""Pareto: customers graded by where they stand in the shop's revenue, largest first."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, FromClause, Select, case, func, select

from crmcore_tiering.domain import Borders
from crmcore_tiering.grading import border_met, changes, tier_of
from crmcore_tiering.totals import with_purchase, worth


def pareto_changes(totals: FromClause, tiers: FromClause, borders: Borders) -> Select[Any]:
    """
    Return the customers whose tier changes, as rows of `Grading`.

    A customer's position is the share of the revenue that customers with strictly more bring, so
    equal customers stand at one position, and the best one at 0. Below border a is tier A, below
    border b tier B, the rest C: without any revenue, everyone. Shares are compared as products
    of integers, which fit in 64 bits up to a revenue of 9e16 minor units.

    Source:
        J. M. Juran (1951), "Quality Control Handbook": the vital few and the useful many; the
        letters are those of ABC analysis, H. F. Dickie (1951).
    """
    customer = (
        select(
            totals.c.customer_id, totals.c.orders, totals.c.net_minor, worth(totals).label("worth")
        )
        .where(with_purchase(totals))
        .subquery("customer")
    )
    # RANGE up to 1 PRECEDING: integers greater by 1 or more, which leaves out equal customers.
    larger = func.sum(customer.c.worth).over(order_by=customer.c.worth.desc(), range_=(None, -1))
    standing = select(
        customer,
        func.coalesce(larger, 0).label("above_minor"),
        func.sum(customer.c.worth).over().label("revenue_minor"),
        func.count().over().label("customers"),
    ).subquery("standing")
    held = tiers.c.tier

    def within(percent: ColumnElement[int] | int) -> ColumnElement[bool]:
        return standing.c.above_minor * 100 < standing.c.revenue_minor * percent

    def least(percent: int) -> ColumnElement[int]:
        return func.min(case((within(percent), standing.c.worth))).over()

    graded = (
        select(
            standing,
            held.label("from_tier"),
            tiers.c.since,
            tier_of(
                within(border_met(held, borders.a, borders.lenience, above="A")),
                within(border_met(held, borders.b, borders.lenience, above="B")),
            ).label("to_tier"),
            least(borders.up("A")).label("a_from_minor"),
            least(borders.up("B")).label("b_from_minor"),
        )
        .outerjoin(tiers, tiers.c.customer_id == standing.c.customer_id)
        .subquery("graded")
    )
    return changes(graded)
