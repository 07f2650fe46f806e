"""Namedays: customers are remembered on the day of their name."""

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
    bindparam,
    select,
)
from typing_extensions import override

from crmcore import (
    Context,
    Draft,
    Erased,
    InteractionsRecorded,
    Kind,
    Plugin,
    PluginTable,
    TimersDue,
    hookimpl,
    personal,
    to_datetime,
)

Whole: Final = BigInteger().with_variant(Integer(), "sqlite")


@frozen(kw_only=True)
class Told:
    """The name whose day a customer keeps, and in how many days it is."""

    in_days: int
    name: str | Erased = personal()


day = Table(
    "crm_namedays_day",
    MetaData(),
    Column("customer_id", Whole, nullable=False),
    Column("due", Whole, nullable=False),
    PrimaryKeyConstraint("customer_id", "due"),
)

_THEIRS: Final = select(day.c.customer_id).where(day.c.due == bindparam("due", type_=Whole))


@define(eq=False)
class Namedays(Plugin):
    """Remembers customers on the day of their name."""

    name: ClassVar[str] = "namedays"
    tables: ClassVar[tuple[PluginTable, ...]] = (
        PluginTable(day, derived=False, merge="move", erase="delete"),
    )

    @hookimpl
    @override
    def register_kinds(self) -> Iterable[Kind]:
        return [Kind("namedays.told", payload=Told), Kind("namedays.remembered")]

    @hookimpl
    @override
    def on_interactions_recorded(self, ctx: Context, event: InteractionsRecorded) -> None:
        if "namedays.told" not in event.kinds:
            return
        for item in event:
            if item.kind != "namedays.told" or not isinstance(item.payload.name, str):
                continue
            days = max(1, min(item.payload.in_days, 366))
            due = ctx.calendar.midnight_after(ctx.clock.now() + 1, days=days)
            ctx.write(day, [{"customer_id": item.customer_id, "due": due}])
            ctx.set_timer(f"{days}:{item.payload.name}:{due}", due)

    @hookimpl
    @override
    def on_timers_due(self, ctx: Context, event: TimersDue) -> None:
        ctx.record(
            *(
                Draft(
                    "namedays.remembered",
                    customer=customer,
                    occurred_at=to_datetime(event.due),
                    source_key=f"nameday:{event.due}",
                )
                for (customer,) in sorted(ctx.execute(_THEIRS, due=event.due))
            )
        )
