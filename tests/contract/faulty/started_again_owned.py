"""Stars: customers get one for each return of the shop's own fault, and one from the start."""

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
    func,
    select,
)
from typing_extensions import override

from crmcore import (
    Context,
    InteractionsRecorded,
    Plugin,
    PluginTable,
    Started,
    Trait,
    hookimpl,
)

Whole: Final = BigInteger().with_variant(Integer(), "sqlite")

Words: Final = Text().with_variant(Text(collation="C"), "postgresql")


star = Table(
    "crm_stars_star",
    MetaData(),
    Column("customer_id", Whole, nullable=False),
    Column("reason", Words, nullable=False),
    PrimaryKeyConstraint("customer_id", "reason"),
)
held = (
    select(star.c.customer_id, func.count().label("stars"))
    .group_by(star.c.customer_id)
    .subquery("crm_stars_held")
)
_HELD: Final = select(held.c.customer_id, held.c.stars)


@define(eq=False)
class Stars(Plugin):
    """Gives stars."""

    name: ClassVar[str] = "stars"
    tables: ClassVar[tuple[PluginTable, ...]] = (
        PluginTable(star, derived=False, merge="move", erase="delete"),
    )

    @hookimpl
    @override
    def register_traits(self) -> Iterable[Trait[Any]]:
        return [
            Trait(
                "stars.stars",
                type=int,
                default=0,
                table=held,
                value=lambda now: held.c.stars,
                description="stars given",
            )
        ]

    @hookimpl
    @override
    def on_started(self, ctx: Context, event: Started) -> None:
        ctx.write(
            star,
            [
                {"customer_id": customer, "reason": f"opening {number}"}
                for customer, number in sorted(ctx.execute(_HELD))
            ],
        )

    @hookimpl
    @override
    def on_interactions_recorded(self, ctx: Context, event: InteractionsRecorded) -> None:
        if "order.cancelled" not in event.kinds:
            return
        ctx.write(
            star,
            [
                {
                    "customer_id": item.customer_id,
                    "reason": f"cancelled {item.source}/{item.source_key or item.occurred_instant}",
                }
                for item in event
                if item.kind == "order.cancelled"
            ],
        )
