"""RFM: customers graded by recency, frequency and monetary value, in fifths of all customers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, FromClause, Select, Subquery, case, cast, func, select

from crmcore_tiering.domain import Cuts
from crmcore_tiering.grading import border_met, changes, tier_of
from crmcore_tiering.tables import Whole
from crmcore_tiering.tiers import Borders
from crmcore_tiering.totals import with_purchase, worth

_MEASURES: Final = {"recency": "last_order_at", "frequency": "orders", "monetary": "net_minor"}
_FIFTHS: Final = (2, 3, 4, 5)


def scored(totals: FromClause, *, dated: bool = False) -> Select[Any]:
    """Return each customer with a purchase, and the fifths that they are in; *dated*: and when."""
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

    return select(
        customer.c.customer_id,
        customer.c.orders,
        customer.c.net_minor,
        # Whatever is carried through the three sorts costs time, so only what is asked for.
        *((customer.c.last_order_at,) if dated else ()),
        customer.c.customers,
        (customer.c.revenue_minor > 0).label("has_revenue"),
        *(quintile(customer.c[value]).label(name) for name, value in _MEASURES.items()),
    )


def graded_by_score(standing: FromClause, tiers: FromClause, borders: Borders) -> Subquery:
    """Return each customer of *standing* with the tier held, and the one to come."""
    held = tiers.c.tier
    score = standing.c.recency + standing.c.frequency + standing.c.monetary
    reached = [
        standing.c.has_revenue & (score >= border_met(held, borders, number))
        for number in range(len(borders.plain))
    ]
    return (
        select(
            standing,
            held.label("from_tier"),
            tiers.c.since,
            tier_of(borders, reached).label("to_tier"),
        )
        .outerjoin(tiers, tiers.c.customer_id == standing.c.customer_id)
        .subquery("graded")
    )


def rfm_changes(totals: FromClause, tiers: FromClause, borders: Borders) -> Select[Any]:
    """
    Return the customers whose tier changes, as rows of `Grading`.

    Each of the three ranks customers, best first; equal customers share the best of their ranks.
    A quintile is 5 - floor(5 * (rank - 1) / customers), so 5 is the best fifth, and the score
    their sum. From the first border on is the best tier, and so on. While nobody has brought any
    revenue, everyone is in the last one.

    Source:
        A. M. Hughes (1994), "Strategic Database Marketing": recency, frequency and monetary value
        in quintiles.
    """
    return changes(graded_by_score(scored(totals).subquery("standing"), tiers, borders), borders)


def cuts_of(totals: FromClause) -> Select[Any]:
    """
    Return one row: where fifths 2, 3, 4 and 5 begin, of each of the three.

    That is the least value of a customer in that fifth or a better one, so it tells of everyone
    who was reviewed in which fifth they are; see `Cuts`.
    """
    standing = scored(totals, dated=True).subquery("standing").c
    cuts: list[ColumnElement[int]] = [
        cast(func.min(case((standing[name] >= fifth, standing[value]))), Whole)
        for name, value in _MEASURES.items()
        for fifth in _FIFTHS
    ]
    found: Any = select(*cuts)
    return found  # type: ignore[no-any-return]


def as_cuts(row: Sequence[Any]) -> Cuts:
    """Return a row of `cuts_of` as they go on record."""
    size = len(_FIFTHS)
    parts = [[int(v) for v in row[n : n + size]] for n in range(0, len(_MEASURES) * size, size)]
    return Cuts(**dict(zip(_MEASURES, parts, strict=True)))
