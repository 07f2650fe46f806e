"""A right plugin, small enough that each faulty one differs from it in one place."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from attrs import define, frozen
from sqlalchemy import BigInteger, Column, Integer, MetaData, Table, func, select

from crmcore import (
    Context,
    CustomersRecompute,
    Draft,
    Fold,
    InteractionsRecorded,
    Kind,
    Plugin,
    PluginTable,
    hookimpl,
)
from crmcore.domain.kind import personal
from crmcore.domain.structuring import Erased

Whole = BigInteger().with_variant(Integer(), "sqlite")


@frozen(kw_only=True)
class Thanked:
    """What was said to a customer."""

    words: str = ""
    name: str | Erased | None = personal(default=None)


def table(name: str, *columns: Column[Any]) -> Table:
    """Return a table with a row of each customer, and these columns."""
    customer = Column("customer_id", Whole, primary_key=True, autoincrement=False)
    return Table(f"crm_tally_{name}", MetaData(), customer, *columns)


def counted(to: Table, column: str = "orders") -> Fold:
    """Return a fold that counts orders."""

    def build(facts: Any, insert: Any) -> Any:
        row = facts.interactions.c
        orders = select(row.customer_id, func.count().label(column))
        orders = orders.where(row.kind == "order.placed").group_by(row.customer_id)
        new = insert(to).from_select(["customer_id", column], orders)
        return new.on_conflict_do_update(
            index_elements=[to.c.customer_id], set_={column: to.c[column] + new.excluded[column]}
        )

    return Fold(build)


COUNT = table("count", Column("orders", Whole, nullable=False))
ORDERS = counted(COUNT)


@define(eq=False)
class Tally(Plugin):
    """Counts the orders of each customer, and thanks for each; a right plugin."""

    name: ClassVar[str] = "tally"
    tables: ClassVar[tuple[PluginTable, ...]] = (
        PluginTable(COUNT, derived=True, merge="recompute", erase="delete"),
    )

    @hookimpl
    def register_kinds(self) -> Iterable[Kind]:
        return [Kind("tally.thanked", payload=Thanked)]

    @hookimpl
    def on_interactions_recorded(self, ctx: Context, event: InteractionsRecorded) -> None:
        ctx.fold(ORDERS, event)
        for item in event:
            if item.kind == "order.placed":
                ctx.record(self.thanks(item))

    def thanks(self, item: Any) -> Draft:
        return Draft(
            "tally.thanked",
            customer=item.customer_id,
            occurred_at=item.occurred_at,
            source_key=f"thanked:{item.source}/{item.source_key}",
            payload=Thanked(words="Thank you"),
            caused_by=item.id,
        )

    @hookimpl
    def recompute_customers(self, ctx: Context, event: CustomersRecompute) -> None:
        ctx.clear(COUNT, event)
        ctx.fold(ORDERS, event)
