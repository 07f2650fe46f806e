"""Patience: nobody is called lost on the day on which they were still buying."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Final

from attrs import define, field
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
    Refuse,
    StageChangeProposed,
    Trait,
    hookimpl,
    whole,
)
from crmcore.hooks.fold import Insert

Whole: Final = BigInteger().with_variant(Integer(), "sqlite")


KINDS: Final = ("order.placed",)

account = Table(
    "crm_patience_order",
    MetaData(),
    Column("customer_id", Whole, primary_key=True, autoincrement=False),
    Column("orders", Whole, nullable=False),
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
            "orders": account.c.orders + add.orders,
            "last_at": case(
                (add.last_at > account.c.last_at, add.last_at), else_=account.c.last_at
            ),
        },
    )
    return statement


COUNT: Final = Fold(_count)

STEPS: Final = {
    "anonymous": 0,
    "known": 1,
    "engaged": 2,
    "shopping": 3,
    "ordering": 4,
    "new": 5,
    "repeat": 6,
    "loyal": 7,
}


@define(eq=False)
class Patience(Plugin):
    """Holds back steps that skip too much."""

    name: ClassVar[str] = "patience"
    tables: ClassVar[tuple[PluginTable, ...]] = (
        PluginTable(account, derived=True, merge="recompute", erase="delete"),
    )

    most: int = field(default=9, validator=whole(least=1))

    @hookimpl
    @override
    def register_traits(self) -> Iterable[Trait[Any]]:
        return [
            Trait(
                "patience.orders",
                type=int,
                default=0,
                table=account,
                value=lambda now: account.c.orders,
                description="orders placed",
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
    def guard_stage_change(self, ctx: Context, event: StageChangeProposed) -> Refuse | None:
        if event.subject:
            return None
        steps = STEPS[event.to_stage] - STEPS[event.from_stage]
        return Refuse("too much at once") if steps > self.most else None
