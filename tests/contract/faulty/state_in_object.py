"""Searches: how often customers look for something."""

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


KINDS: Final = ("catalog.searched", "product.viewed")

account = Table(
    "crm_searches_count",
    MetaData(),
    Column("customer_id", Whole, primary_key=True, autoincrement=False),
    Column("looks", Whole, nullable=False),
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
            "looks": account.c.looks + add.looks,
            "last_at": case(
                (add.last_at > account.c.last_at, add.last_at), else_=account.c.last_at
            ),
        },
    )
    return statement


COUNT: Final = Fold(_count)

_ALL: Final = select(account.c.customer_id, account.c.looks, account.c.last_at)


@define(eq=False)
class Searches(Plugin):
    """Counts what customers look for."""

    name: ClassVar[str] = "searches"
    tables: ClassVar[tuple[PluginTable, ...]] = (
        PluginTable(account, derived=True, merge="recompute", erase="delete"),
    )

    def __attrs_post_init__(self) -> None:
        self._held: dict[int, tuple[int, int]] | None = None  # spares a query for each batch

    @hookimpl
    @override
    def register_traits(self) -> Iterable[Trait[Any]]:
        return [
            Trait(
                "searches.looks",
                type=int,
                default=0,
                table=account,
                value=lambda now: account.c.looks,
                description="searches and views",
            )
        ]

    @hookimpl
    @override
    def on_interactions_recorded(self, ctx: Context, event: InteractionsRecorded) -> None:
        if event.kinds.isdisjoint(KINDS):
            return
        if self._held is None:
            self._held = {c: (looks, last_at) for c, looks, last_at in ctx.execute(_ALL)}
        changed = set()
        for item in event:
            if item.kind in KINDS:
                looks, last_at = self._held.get(item.customer_id, (0, item.occurred_instant))
                self._held[item.customer_id] = (looks + 1, max(last_at, item.occurred_instant))
                changed.add(item.customer_id)
        ctx.write(
            account,
            [
                {"customer_id": c, "looks": self._held[c][0], "last_at": self._held[c][1]}
                for c in sorted(changed)
            ],
        )

    @hookimpl
    @override
    def recompute_customers(self, ctx: Context, event: CustomersRecompute) -> None:
        ctx.clear(account, event)
        ctx.fold(COUNT, event)
