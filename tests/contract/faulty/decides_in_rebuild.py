"""Milestones: the tenth order is one, and the hundredth."""

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
    "crm_milestones_order",
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

_COUNTS: Final = select(account.c.customer_id, account.c.orders)


def _counts(facts: Facts) -> Any:
    row = facts.interactions.c
    return (
        select(row.customer_id, func.count().label("orders"))
        .where(row.kind.in_(KINDS))
        .group_by(row.customer_id)
    )


@define(eq=False)
class Milestones(Plugin):
    """Notes milestones."""

    name: ClassVar[str] = "milestones"
    tables: ClassVar[tuple[PluginTable, ...]] = (
        PluginTable(account, derived=True, merge="recompute", erase="delete"),
    )

    every: int = field(default=2, validator=whole(least=1))

    @hookimpl
    @override
    def register_kinds(self) -> Iterable[Kind]:
        return [Kind("milestones.reached")]

    @hookimpl
    @override
    def register_traits(self) -> Iterable[Trait[Any]]:
        return [
            Trait(
                "milestones.orders",
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
        if ctx.find_timer("look") is None:
            ctx.set_timer("look", ctx.calendar.midnight_after(ctx.clock.now(), days=7))

    @hookimpl
    @override
    def on_interactions_recorded(self, ctx: Context, event: InteractionsRecorded) -> None:
        if not event.kinds.isdisjoint(KINDS):
            ctx.fold(COUNT, event)

    @hookimpl
    @override
    def on_timers_due(self, ctx: Context, event: TimersDue) -> None:
        late = event.late or ctx.has_debt
        self._decide(ctx, event.due, _counts(ctx.facts_until(event.due)) if late else _COUNTS)
        ctx.set_timer("look", ctx.calendar.midnight_after(event.due, days=7))

    @hookimpl
    @override
    def recompute_customers(self, ctx: Context, event: CustomersRecompute) -> None:
        ctx.clear(account, event)
        ctx.fold(COUNT, event)
        self._decide(ctx, ctx.clock.now(), _COUNTS)

    def _decide(self, ctx: Context, at: int, counts: Any) -> None:
        ctx.record(
            *(
                Draft(
                    "milestones.reached",
                    customer=customer,
                    occurred_at=to_datetime(at),
                    source_key=f"milestone:{orders // self.every}",
                )
                for customer, orders in sorted(ctx.execute(counts))
                if orders >= self.every
            )
        )
