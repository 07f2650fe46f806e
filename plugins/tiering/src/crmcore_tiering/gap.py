"""Gap: how much more a customer would have to bring to keep a tier, to the minor unit."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Select,
    and_,
    case,
    cast,
    func,
    literal,
    or_,
    select,
)

from crmcore_tiering.pareto import graded_by_share, standing_of
from crmcore_tiering.rfm import graded_by_score, scored
from crmcore_tiering.tables import Whole
from crmcore_tiering.tiers import Borders


def _falls(graded: FromClause, borders: Borders) -> ColumnElement[bool]:
    """Return the condition that a customer would get a worse tier than they have."""
    row = graded.c
    worse = [
        and_(row.from_tier == held, row.to_tier.in_(borders.tiers[place + 1 :]))
        for place, held in enumerate(borders.tiers[:-1])
    ]
    return or_(*worse)


def _border(graded: FromClause, borders: Borders) -> ColumnElement[int]:
    """Return the border that a customer must not pass to keep the tier they have."""
    last = {tier: borders.down(borders.tiers[n + 1]) for n, tier in enumerate(borders.tiers[:-1])}
    return case(*((graded.c.from_tier == tier, border) for tier, border in last.items()), else_=0)


def pareto_gaps(totals: FromClause, tiers: FromClause, borders: Borders) -> Select[Any]:
    """
    Return everyone who would fall, and the least they would have to bring in addition not to.

    All others stay as they are, so what is in addition raises the revenue, too. As many others
    bring more than a worth v, A, as do for all worths up to the next one that there is. There,
    A * 100 < border * (revenue of others + w) holds from w = (100 * A - border * others) / border
    on, and the least such w of all steps is what is needed.
    """
    standing = standing_of(totals).cte("standing")
    graded = graded_by_share(standing, tiers, borders)
    steps = select(standing.c.worth, standing.c.above_minor).distinct().cte("steps")
    falling = (
        select(
            graded.c.customer_id,
            graded.c.net_minor,
            graded.c.worth,
            graded.c.revenue_minor,
            _border(graded, borders).label("border"),
        )
        .where(_falls(graded, borders))
        .cte("falling")
    )
    row, step = falling.c, steps.c
    # PostgreSQL adds whole numbers up to numeric ones, whose quotient is no whole number.
    others = cast(row.revenue_minor, Whole) - row.worth
    above = cast(step.above_minor, Whole)
    # Whole numbers are divided towards zero; below zero that is no less than needed, as a worth
    # is never below zero.
    from_share = (above * 100 - row.border * others) // row.border + 1
    wanted = case((from_share > step.worth, from_share), else_=step.worth)
    return (
        select(row.customer_id, cast(func.min(wanted) - row.net_minor, Whole))
        .join_from(falling, steps, step.worth >= row.worth)
        .group_by(row.customer_id, row.net_minor)
        .order_by(row.customer_id)
    )


def rfm_gaps(totals: FromClause, tiers: FromClause, borders: Borders) -> Select[Any]:
    """
    Return everyone who would fall, and the least net revenue in addition that keeps their tier.

    It lifts the monetary quintile alone: an order, which also lifts the other two, may do with
    less. NULL where the best fifth would not be enough.
    """
    standing = scored(totals).cte("standing")
    graded = graded_by_score(standing, tiers, borders)
    revenue = select(
        func.sum(case((standing.c.net_minor > 0, standing.c.net_minor), else_=0))
    ).scalar_subquery()
    steps = select(standing.c.net_minor, standing.c.monetary).distinct().cte("steps")
    row = graded.c
    falling = (
        select(
            row.customer_id,
            row.net_minor,
            (_border(graded, borders) - row.recency - row.frequency).label("wanted"),
            (revenue - case((row.net_minor > 0, row.net_minor), else_=0)).label("others"),
        )
        .where(_falls(graded, borders))
        .cte("falling")
    )
    low, step = falling.c, steps.c
    found = (
        select(func.min(step.net_minor))
        .where(step.net_minor >= low.net_minor, step.monetary >= low.wanted)
        .correlate(falling)
        .scalar_subquery()
    )
    # Where nobody else brings anything, the first minor unit is the best fifth.
    needed = case((low.others > 0, found), (low.wanted <= 5, literal(1)))
    return select(low.customer_id, cast(needed - low.net_minor, Whole)).order_by(low.customer_id)
