"""Tags: words that customers are known by among staff, from what they told the shop."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Final

from attrs import define, frozen
from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
)
from typing_extensions import override

from crmcore import (
    Context,
    InteractionsRecorded,
    Kind,
    Plugin,
    PluginTable,
    hookimpl,
)

Whole: Final = BigInteger().with_variant(Integer(), "sqlite")

Words: Final = Text().with_variant(Text(collation="C"), "postgresql")


@frozen(kw_only=True)
class Tagged:
    """The word that was chosen."""

    word: str


tag = Table(
    "crm_tags_tag",
    MetaData(),
    Column("customer_id", Whole, nullable=False),
    Column("word", Words, nullable=False),
    Column("colour", Words, nullable=False, server_default="grey"),
    PrimaryKeyConstraint("customer_id", "word"),
    Index("crm_tags_tag_word", "word"),
)


@define(eq=False)
class Tags(Plugin):
    """Keeps tags."""

    name: ClassVar[str] = "tags"
    tables: ClassVar[tuple[PluginTable, ...]] = (
        PluginTable(tag, derived=False, merge="move", erase="delete"),
    )
    migrations: ClassVar[str | None] = "tests.contract.faulty.migration_differs.migrations"

    @hookimpl
    @override
    def register_kinds(self) -> Iterable[Kind]:
        return [Kind("tags.tagged", payload=Tagged)]

    @hookimpl
    @override
    def on_interactions_recorded(self, ctx: Context, event: InteractionsRecorded) -> None:
        if "tags.tagged" not in event.kinds:
            return
        ctx.write(
            tag,
            [
                {"customer_id": item.customer_id, "word": item.payload.word, "colour": "grey"}
                for item in event
                if item.kind == "tags.tagged"
            ],
        )
