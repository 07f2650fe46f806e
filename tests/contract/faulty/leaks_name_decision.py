"""Greetings: who tells us how to call them is greeted by that name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from attrs import define, field, frozen
from typing_extensions import override

from crmcore import (
    Context,
    Draft,
    Erased,
    InteractionsRecorded,
    Kind,
    Plugin,
    PluginTable,
    hookimpl,
    personal,
)


@frozen(kw_only=True)
class Called:
    """How a customer would like to be called."""

    name: str | Erased = personal()


@frozen(kw_only=True)
class Greeted:
    """The words that were chosen for a customer."""

    words: str


@define(eq=False)
class Greetings(Plugin):
    """Chooses the words by which customers are greeted."""

    name: ClassVar[str] = "greetings"
    tables: ClassVar[tuple[PluginTable, ...]] = ()

    opening: str = field(default="Dear")

    @hookimpl
    @override
    def register_kinds(self) -> Iterable[Kind]:
        return [Kind("greetings.called", payload=Called), Kind("greetings.chosen", payload=Greeted)]

    @hookimpl
    @override
    def on_interactions_recorded(self, ctx: Context, event: InteractionsRecorded) -> None:
        if "greetings.called" not in event.kinds:
            return
        for item in event:
            if item.kind != "greetings.called" or not isinstance(item.payload.name, str):
                continue
            ctx.record(
                Draft(
                    "greetings.chosen",
                    customer=item.customer_id,
                    occurred_at=item.occurred_at,
                    source_key=f"greeting:{item.source}/{item.source_key or item.occurred_instant}",
                    payload=Greeted(words=f"{self.opening} {item.payload.name},"),
                )
            )
