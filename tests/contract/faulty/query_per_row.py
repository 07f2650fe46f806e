"""Baskets: how often customers change their mind before they order."""

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


KINDS: Final = ("cart.changed", "checkout.started")

account = Table(
    "crm_baskets_change",
    MetaData(),
    Column("customer_id", Whole, primary_key=True, autoincrement=False),
    Column("changes", Whole, nullable=False),
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
            "changes": account.c.changes + add.changes,
            "last_at": case(
                (add.last_at > account.c.last_at, add.last_at), else_=account.c.last_at
            ),
        },
    )
    return statement


COUNT: Final = Fold(_count)

_HELD: Final = select(account.c.changes, account.c.last_at).where(
    account.c.customer_id == bindparam("customer", type_=Whole)
)


@define(eq=False)
class Baskets(Plugin):
    """Counts changes of baskets."""

    name: ClassVar[str] = "baskets"
    tables: ClassVar[tuple[PluginTable, ...]] = (
        PluginTable(account, derived=True, merge="recompute", erase="delete"),
    )

    @hookimpl
    @override
    def register_traits(self) -> Iterable[Trait[Any]]:
        return [
            Trait(
                "baskets.changes",
                type=int,
                default=0,
                table=account,
                value=lambda now: account.c.changes,
                description="changes of baskets",
            )
        ]

    @hookimpl
    @override
    def on_interactions_recorded(self, ctx: Context, event: InteractionsRecorded) -> None:
        for item in event:
            if item.kind not in KINDS:
                continue
            held = ctx.execute(_HELD, customer=item.customer_id)
            changes, last_at = held[0] if held else (0, item.occurred_instant)
            ctx.write(
                account,
                [
                    {
                        "customer_id": item.customer_id,
                        "changes": changes + 1,
                        "last_at": max(last_at, item.occurred_instant),
                    }
                ],
            )

    @hookimpl
    @override
    def recompute_customers(self, ctx: Context, event: CustomersRecompute) -> None:
        ctx.clear(account, event)
        ctx.fold(COUNT, event)
