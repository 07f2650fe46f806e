"""Vouchers: who returns something gets a voucher for the next time."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import ClassVar

from attrs import define, frozen
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


@frozen(kw_only=True)
class Issued:
    """The code by which a voucher is redeemed."""

    code: str


@define(eq=False)
class Vouchers(Plugin):
    """Issues vouchers for returns."""

    name: ClassVar[str] = "vouchers"
    tables: ClassVar[tuple[PluginTable, ...]] = ()

    @hookimpl
    @override
    def register_kinds(self) -> Iterable[Kind]:
        return [Kind("vouchers.issued", payload=Issued)]

    @hookimpl
    @override
    def on_interactions_recorded(self, ctx: Context, event: InteractionsRecorded) -> None:
        if "order.returned" not in event.kinds:
            return
        for item in event:
            if item.kind == "order.returned":
                code = secrets.token_hex(4).upper()
                ctx.record(
                    Draft(
                        "vouchers.issued",
                        customer=item.customer_id,
                        occurred_at=item.occurred_at,
                        source_key=f"voucher:{code}",
                        payload=Issued(code=code),
                        caused_by=item.id,
                    )
                )
