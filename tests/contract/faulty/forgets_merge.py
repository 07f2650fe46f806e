"""Purchases: how many orders, and how much they were worth."""

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
    cast,
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


account = Table(
    "crm_purchases_account",
    MetaData(),
    Column("customer_id", Whole, primary_key=True, autoincrement=False),
    Column("orders", Whole, nullable=False),
    Column("net_minor", Whole, nullable=False),
)


def _add(facts: Facts, insert: Insert) -> UpdateBase:
    row = facts.interactions.c
    sums = (
        select(
            row.recorded_for.label("customer_id"),
            func.count(),
            # PostgreSQL adds 64-bit integers up to numeric.
            cast(func.sum(func.coalesce(row.amount_base_minor, 0)), Whole),
        )
        .where(row.kind == "order.placed")
        .group_by(row.recorded_for)
    )
    new = insert(account).from_select(list(account.c.keys()), sums)
    statement: UpdateBase = new.on_conflict_do_update(
        index_elements=[account.c.customer_id],
        set_={
            "orders": account.c.orders + new.excluded.orders,
            "net_minor": account.c.net_minor + new.excluded.net_minor,
        },
    )
    return statement


ADD: Final = Fold(_add)


@define(eq=False)
class Purchases(Plugin):
    """Adds up what customers buy."""

    name: ClassVar[str] = "purchases"
    tables: ClassVar[tuple[PluginTable, ...]] = (
        PluginTable(account, derived=True, merge="recompute", erase="delete"),
    )

    @hookimpl
    @override
    def register_traits(self) -> Iterable[Trait[Any]]:
        return [
            Trait(
                "purchases.net_minor",
                type=int,
                default=0,
                table=account,
                value=lambda now: account.c.net_minor,
                description="worth of all orders, in minor units",
            )
        ]

    @hookimpl
    @override
    def on_interactions_recorded(self, ctx: Context, event: InteractionsRecorded) -> None:
        if "order.placed" in event.kinds:
            ctx.fold(ADD, event)

    @hookimpl
    @override
    def recompute_customers(self, ctx: Context, event: CustomersRecompute) -> None:
        ctx.clear(account, event)
        ctx.fold(ADD, event)
