"""Raffle: each order is a ticket, and each customer has a code to draw by."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Final
from uuid import uuid4

from attrs import define
from sqlalchemy import (
    BigInteger,
    Column,
    Integer,
    MetaData,
    Table,
    Text,
    UpdateBase,
    bindparam,
    func,
    select,
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

Words: Final = Text().with_variant(Text(collation="C"), "postgresql")


KINDS: Final = ("order.placed",)

ticket = Table(
    "crm_raffle_ticket",
    MetaData(),
    Column("customer_id", Whole, primary_key=True, autoincrement=False),
    Column("tickets", Whole, nullable=False),
    Column("code", Words),
)


def _count(facts: Facts, insert: Insert) -> UpdateBase:
    row = facts.interactions.c
    counts = (
        select(row.customer_id, func.count()).where(row.kind.in_(KINDS)).group_by(row.customer_id)
    )
    new = insert(ticket).from_select(["customer_id", "tickets"], counts)
    statement: UpdateBase = new.on_conflict_do_update(
        index_elements=[ticket.c.customer_id],
        set_={"tickets": ticket.c.tickets + new.excluded.tickets},
    )
    return statement


COUNT: Final = Fold(_count)

_BARE: Final = select(ticket.c.customer_id).where(ticket.c.code.is_(None))
_CODE: Final = (
    update(ticket)
    .where(ticket.c.customer_id == bindparam("holder", type_=Whole))
    .values(code=bindparam("drawn", type_=Words))
)


def _draw(ctx: Context) -> None:
    bare = sorted(ctx.execute(_BARE))
    ctx.execute_many(_CODE, [{"holder": c, "drawn": uuid4().hex[:8]} for (c,) in bare])


@define(eq=False)
class Raffle(Plugin):
    """Gives tickets for orders."""

    name: ClassVar[str] = "raffle"
    tables: ClassVar[tuple[PluginTable, ...]] = (
        PluginTable(ticket, derived=True, merge="recompute", erase="delete"),
    )

    @hookimpl
    @override
    def register_traits(self) -> Iterable[Trait[Any]]:
        return [
            Trait(
                "raffle.tickets",
                type=int,
                default=0,
                table=ticket,
                value=lambda now: ticket.c.tickets,
                description="tickets of the raffle",
            )
        ]

    @hookimpl
    @override
    def on_interactions_recorded(self, ctx: Context, event: InteractionsRecorded) -> None:
        if "order.placed" in event.kinds:
            ctx.fold(COUNT, event)
            _draw(ctx)

    @hookimpl
    @override
    def recompute_customers(self, ctx: Context, event: CustomersRecompute) -> None:
        ctx.clear(ticket, event)
        ctx.fold(COUNT, event)
        _draw(ctx)
