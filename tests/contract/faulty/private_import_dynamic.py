"""Habits: on how many occasions a customer did something."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
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
    CustomerAsked,
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


KINDS: Final = ("order.placed", "product.viewed")

account = Table(
    "crm_habits_count",
    MetaData(),
    Column("customer_id", Whole, primary_key=True, autoincrement=False),
    Column("times", Whole, nullable=False),
    Column("last_at", Whole, nullable=False),
)


def _count(facts: Facts, insert: Insert) -> UpdateBase:
    row = facts.interactions.c
    counts = (
        select(row.customer_id, func.count(), func.max(row.occurred_at))
        .where(row.kind.in_(KINDS))
        .group_by(row.customer_id)
    )
    new = insert(account).from_select(list(account.c.keys()), counts)
    add = new.excluded
    statement: UpdateBase = new.on_conflict_do_update(
        index_elements=[account.c.customer_id],
        set_={
            "times": account.c.times + add.times,
            "last_at": case(
                (add.last_at > account.c.last_at, add.last_at), else_=account.c.last_at
            ),
        },
    )
    return statement


COUNT: Final = Fold(_count)


@define(eq=False)
class Habits(Plugin):
    """Counts habits, and shows the facts behind them."""

    name: ClassVar[str] = "habits"
    tables: ClassVar[tuple[PluginTable, ...]] = (
        PluginTable(account, derived=True, merge="recompute", erase="delete"),
    )

    @hookimpl
    @override
    def register_traits(self) -> Iterable[Trait[Any]]:
        return [
            Trait(
                "habits.times",
                type=int,
                default=0,
                table=account,
                value=lambda now: account.c.times,
                description="orders and views",
            )
        ]

    @hookimpl
    @override
    def on_interactions_recorded(self, ctx: Context, event: InteractionsRecorded) -> None:
        if not event.kinds.isdisjoint(KINDS):
            ctx.fold(COUNT, event)

    @hookimpl
    @override
    def recompute_customers(self, ctx: Context, event: CustomersRecompute) -> None:
        ctx.clear(account, event)
        ctx.fold(COUNT, event)

    @hookimpl
    @override
    def describe_customer(self, ctx: Context, event: CustomerAsked) -> Mapping[str, Any] | None:
        ledger = importlib.import_module(".".join(("crmcore", "persistence", "ledger"))).interaction
        statement = select(func.count()).where(ledger.c.customer_id == event.customer_id)
        ((known,),) = ctx.execute(statement)
        return {"facts": known}
