"""Opinions: after a delivery the customer is asked what they think."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Final

from attrs import define
from typing_extensions import override

from crmcore import (
    Context,
    Draft,
    InteractionsRecorded,
    Kind,
    Plugin,
    PluginTable,
    hookimpl,
)

_ASKED: Final = "opinions.asked"


@define(eq=False)
class Opinions(Plugin):
    """Asks for an opinion after each delivery."""

    name: ClassVar[str] = "opinions"
    tables: ClassVar[tuple[PluginTable, ...]] = ()

    @hookimpl
    @override
    def register_kinds(self) -> Iterable[Kind]:
        return [Kind(_ASKED)]

    @hookimpl
    @override
    def on_interactions_recorded(self, ctx: Context, event: InteractionsRecorded) -> None:
        if "order.delivered" not in event.kinds:
            return
        ctx.record(
            *(
                Draft(
                    _ASKED,
                    customer=item.customer_id,
                    occurred_at=item.occurred_at,
                    source_key=f"opinion:{item.id}",
                )
                for item in event
                if item.kind == "order.delivered"
            )
        )
