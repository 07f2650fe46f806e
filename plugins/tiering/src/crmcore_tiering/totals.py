"""Totals: what each customer has ordered and spent, folded from the ledger."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Select,
    UpdateBase,
    bindparam,
    case,
    cast,
    func,
    select,
)

from crmcore import Facts, Fold
from crmcore.hooks.fold import Insert
from crmcore_tiering.tables import Whole, total

PLACED: Final = "order.placed"
CANCELLED: Final = "order.cancelled"
REFUNDED: Final = "order.refunded"
RETURNED: Final = "order.returned"
ORDER_KINDS: Final = (PLACED, CANCELLED, REFUNDED)
COUNTED_KINDS: Final = (*ORDER_KINDS, RETURNED)
"""The kinds that tell what a customer brings; a return tells of cost alone."""

COUNTED_FROM: Final = "counted_from"
"""The parameter with the instant from which on `totals_within` counts."""


def totals_of(interactions: FromClause) -> Select[Any]:
    """Return the rows of the table of totals as these interactions alone make them."""
    row = interactions.c
    placed_at = case((row.kind == PLACED, row.occurred_at))
    return (
        select(
            row.customer_id,
            func.sum(case((row.kind == PLACED, 1), (row.kind == CANCELLED, -1), else_=0)).label(
                "orders"
            ),
            # PostgreSQL adds 64-bit integers up to numeric.
            cast(func.sum(func.coalesce(row.amount_base_minor, 0)), Whole).label("net_minor"),
            func.min(placed_at).label("first_order_at"),
            func.max(placed_at).label("last_order_at"),
        )
        .where(row.kind.in_(ORDER_KINDS))
        .group_by(row.customer_id)
    )


def totals_within(interactions: FromClause, amount: ColumnElement[int]) -> Select[Any]:
    """
    Return the same rows, of which orders and *amount* count from an instant on.

    That instant is the parameter `counted_from`. Who placed an order before it is there as well,
    with nothing: they have to be graded, too.
    """
    row = interactions.c
    counts = row.occurred_at >= bindparam(COUNTED_FROM, type_=Whole)
    placed_at = case((row.kind == PLACED, row.occurred_at))
    return (
        select(
            row.customer_id,
            func.sum(
                case((~counts, 0), (row.kind == PLACED, 1), (row.kind == CANCELLED, -1), else_=0)
            ).label("orders"),
            cast(func.sum(case((counts, amount), else_=0)), Whole).label("net_minor"),
            func.min(placed_at).label("first_order_at"),
            func.max(placed_at).label("last_order_at"),
        )
        .where(row.kind.in_(COUNTED_KINDS))
        .group_by(row.customer_id)
    )


def with_purchase(totals: FromClause) -> ColumnElement[bool]:
    """Return the condition that a customer ever placed an order, be it of 0.00 or cancelled."""
    return totals.c.first_order_at.is_not(None)


def worth(totals: FromClause) -> ColumnElement[int]:
    """Return a customer's net revenue as shares count it: below zero is zero."""
    return case((totals.c.net_minor > 0, totals.c.net_minor), else_=0)


def _add(facts: Facts, insert: Insert) -> UpdateBase:
    new = insert(total).from_select(list(total.c.keys()), totals_of(facts.interactions))
    added = new.excluded
    statement: UpdateBase = new.on_conflict_do_update(
        index_elements=[total.c.customer_id],
        set_={
            "orders": total.c.orders + added.orders,
            "net_minor": total.c.net_minor + added.net_minor,
            # Either may be NULL; least() would mean different things in different databases.
            "first_order_at": case(
                (added.first_order_at < total.c.first_order_at, added.first_order_at),
                else_=func.coalesce(total.c.first_order_at, added.first_order_at),
            ),
            "last_order_at": case(
                (added.last_order_at > total.c.last_order_at, added.last_order_at),
                else_=func.coalesce(total.c.last_order_at, added.last_order_at),
            ),
        },
    )
    return statement


TOTALS: Final = Fold(_add)
