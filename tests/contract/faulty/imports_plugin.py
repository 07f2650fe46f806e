"""Perks: what a customer may ask for, in the classes that tiering has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Final

from attrs import define, field
from crmcore_tiering.tiers import LETTERS
from sqlalchemy import (
    BigInteger,
    Column,
    Integer,
    MetaData,
    Table,
    UpdateBase,
    bindparam,
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
    whole,
)
from crmcore.hooks.fold import Insert

Whole: Final = BigInteger().with_variant(Integer(), "sqlite")


KINDS: Final = ("order.placed",)

account = Table(
    "crm_perks_order",
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

_ORDERS: Final = select(account.c.orders).where(
    account.c.customer_id == bindparam("customer", type_=Whole)
)


@define(eq=False)
class Perks(Plugin):
    """Tells staff what a customer may ask for."""

    name: ClassVar[str] = "perks"
    tables: ClassVar[tuple[PluginTable, ...]] = (
        PluginTable(account, derived=True, merge="recompute", erase="delete"),
    )
    after: ClassVar[tuple[str, ...]] = ("tiering",)
    step: int = field(default=5, validator=whole(least=1))

    @hookimpl
    @override
    def register_traits(self) -> Iterable[Trait[Any]]:
        return [
            Trait(
                "perks.orders",
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
    def describe_customer(self, ctx: Context, event: CustomerAsked) -> Mapping[str, Any] | None:
        held = ctx.execute(_ORDERS, customer=event.customer_id)
        steps = min(held[0][0] // self.step, len(LETTERS) - 1) if held else 0
        return {"perks": f"those of class {LETTERS[len(LETTERS) - 1 - steps]}"}
