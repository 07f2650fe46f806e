"""RFM: customers graded by recency, frequency and monetary value, in fifths of all customers."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, FromClause, Select, func, select

from crmcore_tiering.domain import Borders
from crmcore_tiering.grading import border_met, changes, tier_of
from crmcore_tiering.totals import with_purchase, worth


def rfm_changes(totals: FromClause, tiers: FromClause, borders: Borders) -> Select[Any]:
    """
    Return the customers whose tier changes, as rows of `Grading`.

    Each of the three ranks customers, best first; equal customers share the best of their ranks.
    A quintile is 5 - floor(5 * (rank - 1) / customers), so 5 is the best fifth, and the score
    their sum. From score a on is tier A, from b on tier B, the rest C. While nobody has brought
    any revenue, everyone is in C.

    Source:
        A. M. Hughes (1994), "Strategic Database Marketing": recency, frequency and monetary value
        in quintiles.
    """
    customer = (
        select(
            totals.c.customer_id,
            totals.c.orders,
            totals.c.net_minor,
            totals.c.last_order_at,
            func.sum(worth(totals)).over().label("revenue_minor"),
            func.count().over().label("customers"),
        )
        .where(with_purchase(totals))
        .subquery("customer")
    )

    def quintile(best_first: ColumnElement[int]) -> ColumnElement[int]:
        rank = func.rank().over(order_by=best_first.desc())
        return 5 - 5 * (rank - 1) // customer.c.customers

    standing = select(
        customer.c.customer_id,
        customer.c.orders,
        customer.c.net_minor,
        customer.c.customers,
        (customer.c.revenue_minor > 0).label("has_revenue"),
        quintile(customer.c.last_order_at).label("recency"),
        quintile(customer.c.orders).label("frequency"),
        quintile(customer.c.net_minor).label("monetary"),
    ).subquery("standing")
    held = tiers.c.tier
    score = standing.c.recency + standing.c.frequency + standing.c.monetary

    def reaches(border: int, above: str) -> ColumnElement[bool]:
        met = border_met(held, border, borders.lenience, above=above)
        return standing.c.has_revenue & (score >= met)

    graded = (
        select(
            standing,
            held.label("from_tier"),
            tiers.c.since,
            tier_of(reaches(borders.a, "A"), reaches(borders.b, "B")).label("to_tier"),
        )
        .outerjoin(tiers, tiers.c.customer_id == standing.c.customer_id)
        .subquery("graded")
    )
    return changes(graded)
