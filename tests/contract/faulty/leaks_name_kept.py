"""Birthdays: customers who say when theirs is get a card."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Final

from attrs import define, frozen
from sqlalchemy import (
    BigInteger,
    Column,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
)
from typing_extensions import override

from crmcore import (
    Context,
    Erased,
    InteractionsRecorded,
    Keep,
    Kind,
    Plugin,
    PluginTable,
    hookimpl,
    personal,
)

Whole: Final = BigInteger().with_variant(Integer(), "sqlite")

Words: Final = Text().with_variant(Text(collation="C"), "postgresql")


@frozen(kw_only=True)
class Told:
    """What a customer says of their birthday: the day, such as `05-17`, and who they are."""

    day: str
    name: str | Erased = personal(default="")


card = Table(
    "crm_birthdays_card",
    MetaData(),
    Column("customer_id", Whole, nullable=False),
    Column("told_at", Whole, nullable=False),
    Column("day", Words, nullable=False),
    Column("name", Words, nullable=False),
    PrimaryKeyConstraint("customer_id", "told_at", "day", "name"),
)


@define(eq=False)
class Birthdays(Plugin):
    """Keeps a list of the cards to be written."""

    name: ClassVar[str] = "birthdays"
    tables: ClassVar[tuple[PluginTable, ...]] = (
        PluginTable(
            card,
            derived=False,
            merge="move",
            erase=Keep("the printer of the cards is paid by this list"),
        ),
    )

    @hookimpl
    @override
    def register_kinds(self) -> Iterable[Kind]:
        return [Kind("birthdays.told", payload=Told)]

    @hookimpl
    @override
    def on_interactions_recorded(self, ctx: Context, event: InteractionsRecorded) -> None:
        if "birthdays.told" not in event.kinds:
            return
        ctx.write(
            card,
            [
                {
                    "customer_id": item.customer_id,
                    "told_at": item.occurred_instant,
                    "day": item.payload.day,
                    "name": item.payload.name if isinstance(item.payload.name, str) else "",
                }
                for item in event
                if item.kind == "birthdays.told"
            ],
        )
