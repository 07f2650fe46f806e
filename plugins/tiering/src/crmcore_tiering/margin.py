"""Margin: what is left of the revenue when the cost of what was bought is taken off."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Select, Subquery, and_, case, cast, func, literal, or_, select

from crmcore import Facts
from crmcore_tiering.tables import Whole
from crmcore_tiering.totals import CANCELLED, COUNTED_KINDS, ORDER_KINDS, PLACED, REFUNDED, RETURNED

_UNDOING: Final = (CANCELLED, REFUNDED)


def _subjects(facts: Facts, kinds: tuple[str, ...], *, with_lines: bool) -> Subquery:
    """Return customers and subjects of such facts, either those with lines or those without."""
    told = facts.interactions.alias()
    lined = select(facts.lines.alias().c.interaction_id)
    is_lined = told.c.interaction_id.in_(lined)
    return (
        select(told.c.customer_id, told.c.subject)
        .where(
            told.c.kind.in_(kinds),
            told.c.subject.is_not(None),
            is_lined if with_lines else ~is_lined,
        )
        .distinct()
        .subquery()
    )


def _of_order(row: Any, orders: Subquery) -> Any:
    return and_(orders.c.customer_id == row.customer_id, orders.c.subject == row.subject)


def costs_of(facts: Facts) -> Select[Any]:
    """
    Return what lines cost and brought, by interaction: `cost_minor` and `costed_minor`.

    Both are in the shop's own currency, and signed: what undoes a line takes its cost away, too.
    Only lines with a cost are counted. An order that was cancelled as a whole, by a fact without
    lines, has cost nothing. What came back counts unless the refund of the same order has lines.
    """
    row, line = facts.interactions.c, facts.lines.c
    called_off = _subjects(facts, (CANCELLED,), with_lines=False)
    undone = _subjects(facts, _UNDOING, with_lines=True)
    # A cost is in the currency of its order, whose rate was frozen with the amount.
    at_a_rate = and_(row.amount_minor != 0, row.amount_minor != row.amount_base_minor)
    cost = case(
        (at_a_rate, line.cost_minor * row.amount_base_minor // row.amount_minor),
        else_=line.cost_minor,
    )
    return (
        select(
            row.interaction_id,
            cast(func.sum(case((row.kind == PLACED, cost), else_=-cost)), Whole).label(
                "cost_minor"
            ),
            cast(
                func.sum(
                    case((row.kind == RETURNED, 0), else_=func.coalesce(line.amount_base_minor, 0))
                ),
                Whole,
            ).label("costed_minor"),
        )
        .select_from(
            facts.interactions.join(facts.lines, line.interaction_id == row.interaction_id)
            .outerjoin(called_off, _of_order(row, called_off))
            .outerjoin(undone, _of_order(row, undone))
        )
        .where(
            row.kind.in_(COUNTED_KINDS),
            line.cost_minor.is_not(None),
            called_off.c.customer_id.is_(None),
            or_(row.kind != RETURNED, undone.c.customer_id.is_(None)),
        )
        .group_by(row.interaction_id)
    )


def with_margin(facts: Facts) -> Subquery:
    """Return what counts for a margin: interactions with their `margin_minor`."""
    costs = costs_of(facts).subquery("costs")
    row = facts.interactions.c
    amount = case((row.kind == RETURNED, 0), else_=func.coalesce(row.amount_base_minor, 0))
    return (
        select(
            row.customer_id,
            row.kind,
            row.occurred_at,
            (amount - func.coalesce(costs.c.cost_minor, 0)).label("margin_minor"),
        )
        .select_from(
            facts.interactions.outerjoin(costs, costs.c.interaction_id == row.interaction_id)
        )
        .where(row.kind.in_(COUNTED_KINDS))
        .subquery("with_margin")
    )


def uncosted(facts: Facts) -> Select[Any]:
    """Return one row: the cost known of, and the revenue of which no cost is known."""
    costs = costs_of(facts).subquery("costs")
    row = facts.interactions.c
    revenue = (
        select(func.coalesce(func.sum(func.coalesce(row.amount_base_minor, 0)), 0))
        .where(row.kind.in_(ORDER_KINDS))
        .scalar_subquery()
    )
    return select(
        func.coalesce(func.sum(costs.c.cost_minor), 0),
        revenue - func.coalesce(func.sum(costs.c.costed_minor), literal(0)),
    )
