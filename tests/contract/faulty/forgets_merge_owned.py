"""Credits: what comes back is paid with a credit note."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Final

from attrs import define
from sqlalchemy import (
    BigInteger,
    Column,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    cast,
    func,
    select,
)
from typing_extensions import override

from crmcore import (
    Context,
    Interaction,
    InteractionsRecorded,
    Plugin,
    PluginTable,
    Trait,
    hookimpl,
)

Whole: Final = BigInteger().with_variant(Integer(), "sqlite")

Words: Final = Text().with_variant(Text(collation="C"), "postgresql")


note = Table(
    "crm_credits_note",
    MetaData(),
    Column("customer_id", Whole, nullable=False),
    Column("number", Words, nullable=False),
    Column("minor", Whole, nullable=False),
    PrimaryKeyConstraint("customer_id", "number"),
)

balance = (
    select(note.c.customer_id, cast(func.sum(note.c.minor), Whole).label("minor"))
    .group_by(note.c.customer_id)
    .subquery("crm_credits_balance")
)


def _number(item: Interaction) -> str:
    return f"{item.source}/{item.source_key or item.occurred_instant}"


@define(eq=False)
class Credits(Plugin):
    """Writes a credit note for what customers return."""

    name: ClassVar[str] = "credits"
    tables: ClassVar[tuple[PluginTable, ...]] = (
        PluginTable(note, derived=False, merge="keep_both", erase="delete"),
    )

    @hookimpl
    @override
    def register_traits(self) -> Iterable[Trait[Any]]:
        return [
            Trait(
                "credits.open_minor",
                type=int,
                default=0,
                table=balance,
                value=lambda now: balance.c.minor,
                description="credit left, in minor units",
            )
        ]

    @hookimpl
    @override
    def on_interactions_recorded(self, ctx: Context, event: InteractionsRecorded) -> None:
        if "order.returned" not in event.kinds:
            return
        ctx.write(
            note,
            [
                {
                    "customer_id": item.customer_id,
                    "number": _number(item),
                    "minor": abs(item.amount_base_minor or 0),
                }
                for item in event
                if item.kind == "order.returned"
            ],
        )
