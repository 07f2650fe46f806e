"""Thanks: each order is thanked for, in words that go on from the last."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from attrs import define, frozen
from sqlalchemy import (
    func,
    select,
)
from typing_extensions import override

from crmcore import (
    Context,
    Draft,
    Facts,
    InteractionsRecorded,
    Kind,
    Plugin,
    PluginTable,
    hookimpl,
)


@frozen(kw_only=True)
class Thanked:
    """Which thanks it was."""

    number: int


def _said(facts: Facts) -> Any:
    row = facts.interactions.c
    return (
        select(row.customer_id, func.count())
        .where(row.kind == "thanks.said")
        .group_by(row.customer_id)
    )


@define(eq=False)
class Thanks(Plugin):
    """Thanks for orders, when they are safely there."""

    name: ClassVar[str] = "thanks"
    tables: ClassVar[tuple[PluginTable, ...]] = ()

    @hookimpl
    @override
    def register_kinds(self) -> Iterable[Kind]:
        return [Kind("thanks.said", payload=Thanked)]

    @hookimpl
    @override
    def after_interactions_recorded(self, ctx: Context, event: InteractionsRecorded) -> None:
        if "order.placed" not in event.kinds:
            return
        said = dict(ctx.execute(_said(ctx.facts_until(ctx.clock.now() + 1))))
        for item in event:
            if item.kind != "order.placed":
                continue
            number = said[item.customer_id] = said.get(item.customer_id, 0) + 1
            ctx.record(
                Draft(
                    "thanks.said",
                    customer=item.customer_id,
                    occurred_at=item.recorded_at,
                    source_key=f"thanks:{number}",
                    payload=Thanked(number=number),
                )
            )
