"""Referrals: who tells others of the shop is counted, and thanked for it."""

from __future__ import annotations

import time
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
    Draft,
    Facts,
    Fold,
    Interaction,
    InteractionsRecorded,
    Kind,
    Plugin,
    PluginTable,
    Trait,
    hookimpl,
    to_datetime,
)
from crmcore.hooks.fold import Insert

Whole: Final = BigInteger().with_variant(Integer(), "sqlite")


KINDS: Final = ("share.made",)

account = Table(
    "crm_referrals_count",
    MetaData(),
    Column("customer_id", Whole, primary_key=True, autoincrement=False),
    Column("shares", Whole, nullable=False),
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
            "shares": account.c.shares + add.shares,
            "last_at": case(
                (add.last_at > account.c.last_at, add.last_at), else_=account.c.last_at
            ),
        },
    )
    return statement


COUNT: Final = Fold(_count)

PAUSE: Final = 0.05  # the partner allows twenty calls a second


def _per_day(kind: str, item: Interaction, ctx: Context, key: str) -> Draft:
    day = ctx.calendar.day_of(item.occurred_instant)
    return Draft(
        kind,
        customer=item.customer_id,
        occurred_at=to_datetime(ctx.calendar.start_of(day)),
        source_key=f"{key}:{day}",
    )


@define(eq=False)
class Referrals(Plugin):
    """Counts what customers share, and thanks them once a day."""

    name: ClassVar[str] = "referrals"
    tables: ClassVar[tuple[PluginTable, ...]] = (
        PluginTable(account, derived=True, merge="recompute", erase="delete"),
    )

    @hookimpl
    @override
    def register_kinds(self) -> Iterable[Kind]:
        return [Kind("referrals.thanked")]

    @hookimpl
    @override
    def register_traits(self) -> Iterable[Trait[Any]]:
        return [
            Trait(
                "referrals.shares",
                type=int,
                default=0,
                table=account,
                value=lambda now: account.c.shares,
                description="things shared",
            )
        ]

    @hookimpl
    @override
    def on_interactions_recorded(self, ctx: Context, event: InteractionsRecorded) -> None:
        if event.kinds.isdisjoint(KINDS):
            return
        ctx.fold(COUNT, event)
        for item in event:
            if item.kind in KINDS:
                ctx.record(self._thanks(ctx, item))

    @hookimpl
    @override
    def recompute_customers(self, ctx: Context, event: CustomersRecompute) -> None:
        ctx.clear(account, event)
        ctx.fold(COUNT, event)

    def _thanks(self, ctx: Context, item: Interaction) -> Draft:
        time.sleep(PAUSE)
        return _per_day("referrals.thanked", item, ctx, "thanks")
