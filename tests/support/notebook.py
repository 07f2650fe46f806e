"""A plugin with a table of either sort and timers: what an upgrade has to leave as it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from attrs import define, field
from sqlalchemy import BigInteger, Column, Integer, MetaData, Table, Text, UpdateBase, func, select

from crmcore import (
    CustomersRecompute,
    Facts,
    Fold,
    InteractionsRecorded,
    Plugin,
    PluginTable,
    Refuse,
    StageChangeProposed,
    hookimpl,
)
from crmcore.domain.clock import DAY, to_instant

Whole = BigInteger().with_variant(Integer(), "sqlite")

note = Table(
    "crm_notebook_note",
    MetaData(),
    Column("customer_id", Whole, primary_key=True, autoincrement=False),
    Column("note_number", Whole, primary_key=True, autoincrement=False),
    Column("words", Text, nullable=False),
)
tally = Table(
    "crm_notebook_tally",
    MetaData(),
    Column("customer_id", Whole, primary_key=True, autoincrement=False),
    Column("facts", Whole, nullable=False),
    Column("net_minor", Whole, nullable=False),
)


def _add(facts: Facts, insert: Callable[[Any], Any]) -> UpdateBase:
    row = facts.interactions.c
    sums = (
        select(row.customer_id, func.count(), func.sum(func.coalesce(row.amount_base_minor, 0)))
        .where(row.origin == "observed")
        .group_by(row.customer_id)
    )
    new = insert(tally).from_select(list(tally.c.keys()), sums)
    statement: UpdateBase = new.on_conflict_do_update(
        index_elements=[tally.c.customer_id],
        set_={
            "facts": tally.c.facts + new.excluded.facts,
            "net_minor": tally.c.net_minor + new.excluded.net_minor,
        },
    )
    return statement


TALLY = Fold(_add)


@define(eq=False)
class Notebook(Plugin):
    """Counts every customer's facts, notes their orders, and asks to be called a week later."""

    name: ClassVar[str] = "notebook"
    tables: ClassVar[tuple[PluginTable, ...]] = (
        PluginTable(note, derived=False, merge="keep_both", erase="delete"),
        PluginTable(tally, derived=True, merge="recompute", erase="delete"),
    )

    fails: Callable[[str], bool] = field(default=lambda kind: False)

    @hookimpl
    def on_interactions_recorded(self, ctx: Any, event: InteractionsRecorded) -> None:
        ctx.fold(TALLY, event)
        for item in event:
            if self.fails(item.kind):
                raise ValueError("told to fail")
            if item.kind == "order.placed":
                words = f"order {item.source_key}"
                ctx.write(
                    note,
                    [{"customer_id": item.customer_id, "note_number": item.id, "words": words}],
                )
                ctx.set_timer("look", to_instant(item.occurred_at) + 7 * DAY, item.customer_id)

    @hookimpl
    def guard_stage_change(self, ctx: Any, event: StageChangeProposed) -> Refuse | None:
        return Refuse("not the third") if event.customer_id == 3 else None

    @hookimpl
    def recompute_customers(self, ctx: Any, event: CustomersRecompute) -> None:
        ctx.clear(tally, event)
        ctx.fold(TALLY, event)
