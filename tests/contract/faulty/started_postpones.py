"""Weekly: once a week it goes on record who has ordered, ever."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Final

from attrs import define, field
from sqlalchemy import (
    BigInteger,
    Column,
    Integer,
    MetaData,
    Table,
    UpdateBase,
    case,
    func,
    select,
)
from typing_extensions import override

from crmcore import (
    Context,
    CustomersRecompute,
    Draft,
    Facts,
    Fold,
    InteractionsRecorded,
    Kind,
    Plugin,
    PluginTable,
    Started,
    TimersDue,
    Trait,
    hookimpl,
    to_datetime,
    whole,
)
from crmcore.hooks.fold import Insert

Whole: Final = BigInteger().with_variant(Integer(), "sqlite")


KINDS: Final = ("order.placed",)

account = Table(
    "crm_weekly_order",
    MetaData(),
    Column("customer_id", Whole, primary_key=True, autoincrement=False),
    Column("orders", Whole, nullable=False),
    Column("last_at", Whole, nullable=False),
)


def _count(facts: Facts, insert: Insert) -> UpdateBase:
    row = facts.interactions.c
    counts = (
        select(row.customer_id, func.count(), func.max(row.occurred_at))
        .where(row.kind.in_(KINDS))
        .group_by(row.customer_id)
    )
    new = insert(account).from_select(list(account.c.keys()), counts)
    add = new.excluded
    statement: UpdateBase = new.on_conflict_do_update(
        index_elements=[account.c.customer_id],
        set_={
            "orders": account.c.orders + add.orders,
            "last_at": case(
                (add.last_at > account.c.last_at, add.last_at), else_=account.c.last_at
            ),
        },
    )
    return statement


COUNT: Final = Fold(_count)


def _last_seen(facts: Facts) -> Any:
    row = facts.interactions.c
    return (
        select(row.customer_id, func.max(row.occurred_at).label("last_at"))
        .where(row.kind.in_(KINDS))
        .group_by(row.customer_id)
    )


@define(eq=False)
class Weekly(Plugin):
    """Puts on record who is a customer."""

    name: ClassVar[str] = "weekly"
    tables: ClassVar[tuple[PluginTable, ...]] = (
        PluginTable(account, derived=True, merge="recompute", erase="delete"),
    )

    days: int = field(default=7, validator=whole(least=1))

    @hookimpl
    @override
    def register_kinds(self) -> Iterable[Kind]:
        return [Kind("weekly.noted")]

    @hookimpl
    @override
    def register_traits(self) -> Iterable[Trait[Any]]:
        return [
            Trait(
                "weekly.orders",
                type=int,
                default=0,
                table=account,
                value=lambda now: account.c.orders,
                description="orders placed",
            )
        ]

    @hookimpl
    @override
    def on_started(self, ctx: Context, event: Started) -> None:
        ctx.set_timer("look", ctx.calendar.midnight_after(ctx.clock.now(), days=self.days))

    @hookimpl
    @override
    def on_interactions_recorded(self, ctx: Context, event: InteractionsRecorded) -> None:
        if not event.kinds.isdisjoint(KINDS):
            ctx.fold(COUNT, event)

    @hookimpl
    @override
    def on_timers_due(self, ctx: Context, event: TimersDue) -> None:
        statement: Any = select(account.c.customer_id, account.c.last_at)
        if event.late or ctx.has_debt:
            statement = _last_seen(ctx.facts_until(event.due))
        ctx.record(
            *(
                Draft(
                    "weekly.noted",
                    customer=customer,
                    occurred_at=to_datetime(event.due),
                    source_key=f"week:{event.due}",
                )
                for customer, _ in sorted(ctx.execute(statement))
            )
        )
        ctx.set_timer("look", ctx.calendar.midnight_after(event.due, days=self.days))

    @hookimpl
    @override
    def recompute_customers(self, ctx: Context, event: CustomersRecompute) -> None:
        ctx.clear(account, event)
        ctx.fold(COUNT, event)
