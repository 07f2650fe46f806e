"""A neighbour: a plugin with a table of either sort, which no other plugin may touch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Final

from attrs import define
from sqlalchemy import BigInteger, Column, Integer, MetaData, Table, UpdateBase, case, func, select
from typing_extensions import override

from crmcore.hooks import (
    Context,
    CustomersRecompute,
    Facts,
    Fold,
    InteractionsRecorded,
    Plugin,
    PluginTable,
    hookimpl,
)

Whole: Final = BigInteger().with_variant(Integer(), "sqlite")
SOURCES: Final = ("shop", "till")
"""From which histories of the kit come."""

tally = Table(
    "crm_neighbour_tally",
    MetaData(),
    Column("customer_id", Whole, primary_key=True, autoincrement=False),
    Column("facts", Whole, nullable=False),
    Column("last_at", Whole, nullable=False),
)
visit = Table(
    "crm_neighbour_visit",
    MetaData(),
    Column("customer_id", Whole, primary_key=True, autoincrement=False),
    Column("visited_at", Whole, primary_key=True, autoincrement=False),
)


def _tally(facts: Facts, insert: Callable[[Any], Any]) -> UpdateBase:
    row = facts.interactions.c
    new = insert(tally).from_select(
        list(tally.c.keys()),
        select(row.customer_id, func.count(), func.max(row.occurred_at))
        .where(row.source.in_(SOURCES))
        .group_by(row.customer_id),
    )
    later = new.excluded.last_at
    statement: UpdateBase = new.on_conflict_do_update(
        index_elements=[tally.c.customer_id],
        set_={
            "facts": tally.c.facts + new.excluded.facts,
            "last_at": case((later > tally.c.last_at, later), else_=tally.c.last_at),
        },
    )
    return statement


def _visits(facts: Facts, insert: Callable[[Any], Any]) -> UpdateBase:
    row = facts.interactions.c
    new = insert(visit).from_select(
        list(visit.c.keys()),
        select(row.customer_id, row.occurred_at).where(row.source.in_(SOURCES)).distinct(),
    )
    statement: UpdateBase = new.on_conflict_do_nothing()
    return statement


TALLY: Final = Fold(_tally)
VISITS: Final = Fold(_visits)


@define(eq=False)
class Neighbour(Plugin):
    """Counts what happens, and notes when: rows that only it may write."""

    name: ClassVar[str] = "neighbour"
    tables: ClassVar[tuple[PluginTable, ...]] = (
        PluginTable(tally, derived=True, merge="recompute", erase="delete"),
        PluginTable(visit, derived=False, merge="keep_both", erase="delete"),
    )

    @hookimpl
    @override
    def on_interactions_recorded(self, ctx: Context, event: InteractionsRecorded) -> None:
        ctx.fold(TALLY, event)
        ctx.fold(VISITS, event)

    @hookimpl
    @override
    def recompute_customers(self, ctx: Context, event: CustomersRecompute) -> None:
        ctx.clear(tally, event)
        ctx.fold(TALLY, event)
