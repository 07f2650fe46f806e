"""Days: on how many days a customer was active."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Final

from attrs import define
from sqlalchemy import (
    BigInteger,
    Column,
    Integer,
    MetaData,
    Table,
    UpdateBase,
    distinct,
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


active = Table(
    "crm_days_active",
    MetaData(),
    Column("customer_id", Whole, primary_key=True, autoincrement=False),
    Column("days", Whole, nullable=False),
)


def _count(facts: Facts, insert: Insert) -> UpdateBase:
    row = facts.interactions.c
    counts = (
        select(row.customer_id, func.count(distinct(row.occurred_at // DAY)))
        .where(row.origin == "observed")
        .group_by(row.customer_id)
    )
    new = insert(active).from_select(list(active.c.keys()), counts)
    statement: UpdateBase = new.on_conflict_do_update(
        index_elements=[active.c.customer_id],
        set_={"days": active.c.days + new.excluded.days},
    )
    return statement


COUNT: Final = Fold(_count)


@define(eq=False)
class Days(Plugin):
    """Counts the days on which customers are active."""

    name: ClassVar[str] = "days"
    tables: ClassVar[tuple[PluginTable, ...]] = (
        PluginTable(active, derived=True, merge="recompute", erase="delete"),
    )

    @hookimpl
    @override
    def register_traits(self) -> Iterable[Trait[Any]]:
        return [
            Trait(
                "days.active",
                type=int,
                default=0,
                table=active,
                value=lambda now: active.c.days,
                description="days with any action",
            )
        ]

    @hookimpl
    @override
    def on_interactions_recorded(self, ctx: Context, event: InteractionsRecorded) -> None:
        ctx.fold(COUNT, event)

    @hookimpl
    @override
    def recompute_customers(self, ctx: Context, event: CustomersRecompute) -> None:
        ctx.clear(active, event)
        ctx.fold(COUNT, event)
