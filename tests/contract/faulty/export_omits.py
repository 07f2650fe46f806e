"""Sizes: which sizes a customer wears, as they told us."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Final

from attrs import define, frozen
from sqlalchemy import (
    BigInteger,
    Column,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    bindparam,
    select,
)
from typing_extensions import override

from crmcore import (
    Context,
    CustomerExported,
    Erased,
    InteractionsRecorded,
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
    """The size of one kind of garment, in the customer's own words."""

    garment: str
    words: str | Erased = personal()


size = Table(
    "crm_sizes_size",
    MetaData(),
    Column("customer_id", Whole, nullable=False),
    Column("told_at", Whole, nullable=False),
    Column("garment", Words, nullable=False),
    Column("words", Words, nullable=False),
    PrimaryKeyConstraint("customer_id", "told_at", "garment", "words"),
)
_THEIRS: Final = select(size.c.garment, size.c.told_at).where(
    size.c.customer_id == bindparam("customer", type_=Whole)
)


@define(eq=False)
class Sizes(Plugin):
    """Remembers sizes."""

    name: ClassVar[str] = "sizes"
    tables: ClassVar[tuple[PluginTable, ...]] = (
        PluginTable(size, derived=False, merge="move", erase="delete", export=False),
    )

    @hookimpl
    @override
    def register_kinds(self) -> Iterable[Kind]:
        return [Kind("sizes.told", payload=Told)]

    @hookimpl
    @override
    def on_interactions_recorded(self, ctx: Context, event: InteractionsRecorded) -> None:
        if "sizes.told" not in event.kinds:
            return
        ctx.write(
            size,
            [
                {
                    "customer_id": item.customer_id,
                    "told_at": item.occurred_instant,
                    "garment": item.payload.garment,
                    "words": item.payload.words,
                }
                for item in event
                if item.kind == "sizes.told" and isinstance(item.payload.words, str)
            ],
        )

    @hookimpl
    @override
    def export_customer(self, ctx: Context, event: CustomerExported) -> Mapping[str, Any] | None:
        rows = sorted(ctx.execute(_THEIRS, customer=event.customer_id))
        return {"sizes": [{"garment": garment, "told_at": told_at} for garment, told_at in rows]}
