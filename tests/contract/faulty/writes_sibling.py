"""Patrons: who orders often is to stand well with tiering, too."""

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
    bindparam,
    case,
    column,
    func,
    select,
    table,
    update,
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


KINDS: Final = ("order.placed",)

account = Table(
    "crm_patrons_order",
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

_total: Final = table("crm_tiering_total", column("customer_id"), column("orders"))
_tables: Final = table("crm_plugin_table", column("table_name"))
_THERE: Final = select(_tables.c.table_name).where(_tables.c.table_name == _total.name)
_PRAISE: Final = (
    update(_total)
    .where(_total.c.customer_id == bindparam("patron", type_=Whole))
    .values(orders=_total.c.orders + 1)
)


@define(eq=False)
class Patrons(Plugin):
    """Lets patrons stand well."""

    name: ClassVar[str] = "patrons"
    tables: ClassVar[tuple[PluginTable, ...]] = (
        PluginTable(account, derived=True, merge="recompute", erase="delete"),
    )
    after: ClassVar[tuple[str, ...]] = ("tiering",)

    @hookimpl
    @override
    def register_traits(self) -> Iterable[Trait[Any]]:
        return [
            Trait(
                "patrons.orders",
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
        if event.kinds.isdisjoint(KINDS):
            return
        ctx.fold(COUNT, event)
        if ctx.execute(_THERE):
            patrons = sorted({item.customer_id for item in event if item.kind in KINDS})
            ctx.execute_many(_PRAISE, [{"patron": customer} for customer in patrons])

    @hookimpl
    @override
    def recompute_customers(self, ctx: Context, event: CustomersRecompute) -> None:
        ctx.clear(account, event)
        ctx.fold(COUNT, event)
