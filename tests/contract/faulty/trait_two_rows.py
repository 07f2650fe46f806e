"""Years: how often a customer ordered in each year."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Final

from attrs import define
from sqlalchemy import (
    BigInteger,
    Column,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    UpdateBase,
    func,
    select,
)
from typing_extensions import override

from crmcore import (
    Context,
    CustomersRecompute,
    Facts,
    Fold,
    InteractionsRecorded,
    Plugin,
    PluginTable,
    Trait,
    hookimpl,
)
from crmcore.hooks.fold import Insert

Whole: Final = BigInteger().with_variant(Integer(), "sqlite")

DAY: Final = 86_400 * 1_000_000


year = Table(
    "crm_years_order",
    MetaData(),
    Column("customer_id", Whole, nullable=False),
    Column("period", Whole, nullable=False),  # of 365 days, since 1970
    Column("orders", Whole, nullable=False),
    PrimaryKeyConstraint("customer_id", "period"),
)


def _count(facts: Facts, insert: Insert) -> UpdateBase:
    row = facts.interactions.c
    period = row.occurred_at // (365 * DAY)
    numbered = (
        select(row.customer_id, period.label("period"))
        .where(row.kind == "order.placed")
        .subquery("numbered")
    )
    counts = (
        select(numbered.c.customer_id, numbered.c.period, func.count())
        .where(numbered.c.customer_id.is_not(None))
        .group_by(numbered.c.customer_id, numbered.c.period)
    )
    new = insert(year).from_select(list(year.c.keys()), counts)
    statement: UpdateBase = new.on_conflict_do_update(
        index_elements=[year.c.customer_id, year.c.period],
        set_={"orders": year.c.orders + new.excluded.orders},
    )
    return statement


COUNT: Final = Fold(_count)


@define(eq=False)
class Years(Plugin):
    """Counts orders by year."""

    name: ClassVar[str] = "years"
    tables: ClassVar[tuple[PluginTable, ...]] = (
        PluginTable(year, derived=True, merge="recompute", erase="delete"),
    )

    @hookimpl
    @override
    def register_traits(self) -> Iterable[Trait[Any]]:
        return [
            Trait(
                "years.orders",
                type=int,
                default=0,
                table=year,
                value=lambda now: year.c.orders,
                description="orders in a year",
            )
        ]

    @hookimpl
    @override
    def on_interactions_recorded(self, ctx: Context, event: InteractionsRecorded) -> None:
        if "order.placed" in event.kinds:
            ctx.fold(COUNT, event)

    @hookimpl
    @override
    def recompute_customers(self, ctx: Context, event: CustomersRecompute) -> None:
        ctx.clear(year, event)
        ctx.fold(COUNT, event)
