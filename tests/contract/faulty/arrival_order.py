"""Reach: by which channel a customer was last seen."""

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
    Text,
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

Words: Final = Text().with_variant(Text(collation="C"), "postgresql")


seen = Table(
    "crm_reach_channel",
    MetaData(),
    Column("customer_id", Whole, primary_key=True, autoincrement=False),
    Column("channel", Words, nullable=False),
    Column("seen_at", Whole, nullable=False),
)


def _see(facts: Facts, insert: Insert) -> UpdateBase:
    row = facts.interactions.c
    place = func.row_number().over(partition_by=row.customer_id, order_by=row.interaction_id.desc())
    numbered = (
        select(
            row.customer_id,
            func.coalesce(row.channel, "shop").label("channel"),
            row.occurred_at,
            place.label("place"),
        )
        .where(row.origin == "observed")
        .subquery("numbered")
    )
    newest = select(numbered.c.customer_id, numbered.c.channel, numbered.c.occurred_at).where(
        numbered.c.place == 1
    )
    new = insert(seen).from_select(list(seen.c.keys()), newest)
    statement: UpdateBase = new.on_conflict_do_update(
        index_elements=[seen.c.customer_id],
        set_={"channel": new.excluded.channel, "seen_at": new.excluded.seen_at},
    )
    return statement


SEE: Final = Fold(_see)


@define(eq=False)
class Reach(Plugin):
    """Knows by which channel customers were last seen."""

    name: ClassVar[str] = "reach"
    tables: ClassVar[tuple[PluginTable, ...]] = (
        PluginTable(seen, derived=True, merge="recompute", erase="delete"),
    )

    @hookimpl
    @override
    def register_traits(self) -> Iterable[Trait[Any]]:
        return [
            Trait(
                "reach.channel",
                type=str,
                default="none",
                table=seen,
                value=lambda now: seen.c.channel,
                description="the channel last used",
            )
        ]

    @hookimpl
    @override
    def on_interactions_recorded(self, ctx: Context, event: InteractionsRecorded) -> None:
        ctx.fold(SEE, event)

    @hookimpl
    @override
    def recompute_customers(self, ctx: Context, event: CustomersRecompute) -> None:
        ctx.clear(seen, event)
        ctx.fold(SEE, event)
