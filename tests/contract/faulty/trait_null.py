"""Lately: when a customer last ordered, beside how often they looked."""

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
    case,
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
    "crm_lately_account",
    MetaData(),
    Column("customer_id", Whole, primary_key=True, autoincrement=False),
    Column("views", Whole, nullable=False),
    Column("ordered_at", Whole),
)

KINDS: Final = ("product.viewed", "order.placed")


def _look(facts: Facts, insert: Insert) -> UpdateBase:
    row = facts.interactions.c
    sums = (
        select(
            row.customer_id,
            func.count(case((row.kind == "product.viewed", 1))),
            func.max(case((row.kind == "order.placed", row.occurred_at))),
        )
        .where(row.kind.in_(KINDS))
        .group_by(row.customer_id)
    )
    new = insert(account).from_select(list(account.c.keys()), sums)
    add = new.excluded
    statement: UpdateBase = new.on_conflict_do_update(
        index_elements=[account.c.customer_id],
        set_={
            "views": account.c.views + add.views,
            "ordered_at": case(
                (add.ordered_at > account.c.ordered_at, add.ordered_at),
                else_=func.coalesce(account.c.ordered_at, add.ordered_at),
            ),
        },
    )
    return statement


LOOK: Final = Fold(_look)


@define(eq=False)
class Lately(Plugin):
    """Knows when customers last ordered."""

    name: ClassVar[str] = "lately"
    tables: ClassVar[tuple[PluginTable, ...]] = (
        PluginTable(account, derived=True, merge="recompute", erase="delete"),
    )

    @hookimpl
    @override
    def register_traits(self) -> Iterable[Trait[Any]]:
        return [
            Trait(
                "lately.ordered_at",
                type=int,
                default=0,
                table=account,
                value=lambda now: account.c.ordered_at,
                description="when the last order was, in microseconds; 0: never",
            )
        ]

    @hookimpl
    @override
    def on_interactions_recorded(self, ctx: Context, event: InteractionsRecorded) -> None:
        if not event.kinds.isdisjoint(KINDS):
            ctx.fold(LOOK, event)

    @hookimpl
    @override
    def recompute_customers(self, ctx: Context, event: CustomersRecompute) -> None:
        ctx.clear(account, event)
        ctx.fold(LOOK, event)
