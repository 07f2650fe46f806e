"""Loyalty: points for orders, and some for registering."""

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
    "crm_loyalty_account",
    MetaData(),
    Column("customer_id", Whole, primary_key=True, autoincrement=False),
    Column("points", Whole, nullable=False),
)


def _fold_of(kind: str, points: int) -> Fold:
    def build(facts: Facts, insert: Insert) -> UpdateBase:
        row = facts.interactions.c
        sums = (
            select(row.customer_id, func.count() * points)
            .where(row.kind == kind)
            .group_by(row.customer_id)
        )
        new = insert(account).from_select(list(account.c.keys()), sums)
        statement: UpdateBase = new.on_conflict_do_update(
            index_elements=[account.c.customer_id],
            set_={"points": account.c.points + new.excluded.points},
        )
        return statement

    return Fold(build)


ORDERS: Final = _fold_of("order.placed", 10)
WELCOME: Final = _fold_of("account.registered", 50)


@define(eq=False)
class Loyalty(Plugin):
    """Keeps an account of points."""

    name: ClassVar[str] = "loyalty"
    tables: ClassVar[tuple[PluginTable, ...]] = (
        PluginTable(account, derived=True, merge="recompute", erase="delete"),
    )

    @hookimpl
    @override
    def register_traits(self) -> Iterable[Trait[Any]]:
        return [
            Trait(
                "loyalty.points",
                type=int,
                default=0,
                table=account,
                value=lambda now: account.c.points,
                description="points collected",
            )
        ]

    @hookimpl
    @override
    def on_interactions_recorded(self, ctx: Context, event: InteractionsRecorded) -> None:
        if "order.placed" in event.kinds:
            ctx.fold(ORDERS, event)
        if "account.registered" in event.kinds:
            ctx.fold(WELCOME, event)

    @hookimpl
    @override
    def recompute_customers(self, ctx: Context, event: CustomersRecompute) -> None:
        ctx.clear(account, event)
        ctx.fold(ORDERS, event)
