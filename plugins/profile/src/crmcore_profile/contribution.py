"""Contribution: what a customer brings once goods, shipping, returns and service are paid for."""

from __future__ import annotations

from typing import Any, Final

from attrs import frozen
from sqlalchemy import (
    ColumnElement,
    FromClause,
    Select,
    Subquery,
    UpdateBase,
    and_,
    case,
    cast,
    func,
    or_,
    select,
)

from crmcore import Facts, Fold, Trait, payload_whole
from crmcore.hooks.fold import Insert
from crmcore_profile.tables import Whole, contribution

PLACED: Final = "order.placed"
CANCELLED: Final = "order.cancelled"
REFUNDED: Final = "order.refunded"
RETURNED: Final = "order.returned"
SHIPPED: Final = "order.shipped"
OPENED: Final = "service.opened"
CALL: Final = "call.ended"

PAID: Final = (PLACED, CANCELLED, REFUNDED)
"""Kinds whose amounts are revenue."""

BACK: Final = (CANCELLED, RETURNED)
"""Kinds whose lines are goods that the shop has again, at what they had cost."""

COSTLY: Final = frozenset({*PAID, RETURNED, SHIPPED, OPENED, CALL})

_SUMS: Final = "net_minor cost_minor orders dropped shipments returns cases call_seconds".split()


@frozen(kw_only=True)
class Costs:
    """
    What things cost the shop, in minor units of its own currency.

    Attributes:
        shipment_minor: To send a parcel.
        return_minor: To take one back.
        case_minor: To settle what a customer asked for.
        call_minute_minor: A minute on the phone.
    """

    shipment_minor: int = 0
    return_minor: int = 0
    case_minor: int = 0
    call_minute_minor: int = 0


def contributions_of(facts: Facts) -> Select[Any]:
    """Return the rows of the table of contributions as these facts alone make them."""
    row, goods = facts.interactions.c, _goods(facts.lines)
    told = (
        select(
            row.customer_id,
            func.coalesce(row.subject, "").label("subject"),
            row.kind,
            row.occurred_at,
            func.coalesce(row.amount_base_minor, 0).label("amount_minor"),
            goods.c.cost_minor,  # NULL: there are no lines
            case((row.kind == CALL, payload_whole(row.payload, "duration_seconds"))).label(
                "seconds"
            ),
        )
        .select_from(
            facts.interactions.outerjoin(goods, goods.c.interaction_id == row.interaction_id)
        )
        .where(row.kind.in_(sorted(COSTLY)))
        .subquery("told")
    )
    row = told.c
    placed_at = case((row.kind == PLACED, row.occurred_at))
    cost = func.coalesce(row.cost_minor, 0)
    # Without lines, a cancellation is about all of an order.
    is_dropped = and_(row.kind == CANCELLED, row.cost_minor.is_(None))

    def total(condition: ColumnElement[bool], value: Any = 1) -> ColumnElement[int]:
        # PostgreSQL adds 64-bit integers up to numeric.
        return cast(func.sum(case((condition, value), else_=0)), Whole)

    return select(
        row.customer_id,
        row.subject,
        total(row.kind.in_(PAID), row.amount_minor),
        total(row.kind == PLACED, cost) - total(row.kind.in_(BACK), cost),
        total(row.kind == PLACED),
        func.min(placed_at),
        func.max(placed_at),
        total(is_dropped),
        total(row.kind == SHIPPED),
        total(row.kind == RETURNED),
        total(row.kind == OPENED),
        total(row.seconds > 0, row.seconds),
    ).group_by(row.customer_id, row.subject)


def _goods(lines: FromClause) -> Subquery:
    """Return what the lines of each interaction cost the shop, whatever the sign they came with."""
    cost = func.sum(func.abs(func.coalesce(lines.c.cost_minor, 0)))
    return (
        select(lines.c.interaction_id, cast(cost, Whole).label("cost_minor"))
        .group_by(lines.c.interaction_id)
        .subquery("goods")
    )


def _add(facts: Facts, insert: Insert) -> UpdateBase:
    table = contribution.c
    new = insert(contribution).from_select(list(table.keys()), contributions_of(facts))
    added = new.excluded
    first = case(
        (added.first_order_at < table.first_order_at, added.first_order_at),
        else_=func.coalesce(table.first_order_at, added.first_order_at),
    )
    last = case(
        (added.last_order_at > table.last_order_at, added.last_order_at),
        else_=func.coalesce(table.last_order_at, added.last_order_at),
    )
    statement: UpdateBase = new.on_conflict_do_update(
        index_elements=[table.customer_id, table.subject],
        set_={
            **{name: table[name] + added[name] for name in _SUMS},
            "first_order_at": first,
            "last_order_at": last,
        },
    )
    return statement


CONTRIBUTIONS: Final = Fold(_add)
"""Adds a batch's money and costs to those of the orders and cases they are about."""


def parts_of(costs: Costs) -> Subquery:
    """Return one row per customer: what they brought, and each of the costs, all in minor units."""
    row = contribution.c
    # Goods of an order that was cancelled as a whole never left.
    stays = or_(row.subject == "", row.dropped == 0)

    def total(value: ColumnElement[Any], each_minor: int = 1) -> ColumnElement[int]:
        return cast(func.sum(value) * each_minor, Whole)

    return (
        select(
            row.customer_id,
            total(row.net_minor).label("net_minor"),
            total(case((stays, row.cost_minor), else_=0)).label("goods_minor"),
            total(row.shipments, costs.shipment_minor).label("shipping_minor"),
            total(row.returns, costs.return_minor).label("returns_minor"),
            # A minute that was begun is a minute; per order and case, so that calls add up.
            cast(
                func.sum(row.cases) * costs.case_minor
                + func.sum((row.call_seconds + 59) // 60) * costs.call_minute_minor,
                Whole,
            ).label("service_minor"),
        )
        .group_by(row.customer_id)
        .subquery("contribution")
    )


PARTS: Final = ("goods_minor", "shipping_minor", "returns_minor", "service_minor")
"""The costs among the columns of `parts_of`."""


def contribution_trait(costs: Costs) -> Trait[int]:
    """Return the trait of what is left of a customer's revenue."""
    parts = parts_of(costs)
    left: ColumnElement[Any] = parts.c.net_minor
    for name in PARTS:
        left = left - parts.c[name]
    return Trait(
        "profile.contribution_minor",
        type=int,
        default=0,
        table=parts,
        value=lambda now: left,
        description="net revenue less goods, shipping, returns and service, in minor units",
    )
