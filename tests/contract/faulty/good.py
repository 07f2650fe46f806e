"""Two correct plugins, which have to pass: a control of whoever finds faults."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Final

from attrs import define, field, frozen
from sqlalchemy import (
    BigInteger,
    Column,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UpdateBase,
    bindparam,
    case,
    func,
    select,
)
from typing_extensions import override

from crmcore import (
    Context,
    CustomerAsked,
    CustomersRecompute,
    Draft,
    Erased,
    Facts,
    Fold,
    InteractionsRecorded,
    Kind,
    Plugin,
    PluginTable,
    Started,
    TimersDue,
    Trait,
    choice,
    hookimpl,
    personal,
    to_datetime,
    whole,
)
from crmcore.hooks.fold import Insert

Whole: Final = BigInteger().with_variant(Integer(), "sqlite")

Words: Final = Text().with_variant(Text(collation="C"), "postgresql")

DAY: Final = 86_400 * 1_000_000


KINDS: Final = ("order.placed",)

account = Table(
    "crm_steps_order",
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
        select(row.customer_id, func.count().label("orders"), func.max(row.occurred_at))
        .where(row.kind.in_(KINDS))
        .group_by(row.customer_id)
    )


_HELD: Final = select(account.c.customer_id, account.c.orders, account.c.last_at)


@frozen(kw_only=True)
class Noticed:
    """What is known of a customer who has gone quiet."""

    orders: int
    last_at: int


@define(eq=False)
class Steps(Plugin):
    """
    Counts orders by a fold, and notices by a timer who has gone quiet.

    Attributes:
        after_days: After how many days without an order.
    """

    name: ClassVar[str] = "steps"
    tables: ClassVar[tuple[PluginTable, ...]] = (
        PluginTable(account, derived=True, merge="recompute", erase="delete"),
    )

    after_days: int = field(default=90, validator=whole(least=1))

    @hookimpl
    @override
    def register_kinds(self) -> Iterable[Kind]:
        return [Kind("steps.noticed", payload=Noticed)]

    @hookimpl
    @override
    def register_traits(self) -> Iterable[Trait[Any]]:
        return [
            Trait(
                "steps.orders",
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
        statement: Any = _HELD
        if event.late or ctx.has_debt:
            statement = _last_seen(ctx.facts_until(event.due))
        since = event.due - self.after_days * DAY
        ctx.record(
            *(
                Draft(
                    "steps.noticed",
                    customer=customer,
                    occurred_at=to_datetime(event.due),
                    source_key=f"quiet:{event.due}",
                    payload=Noticed(orders=orders, last_at=last_at),
                )
                for customer, orders, last_at in sorted(ctx.execute(statement))
                if last_at < since
            )
        )
        ctx.set_timer("look", ctx.calendar.midnight_after(event.due, days=7))

    @hookimpl
    @override
    def recompute_customers(self, ctx: Context, event: CustomersRecompute) -> None:
        ctx.clear(account, event)
        ctx.fold(COUNT, event)


@frozen(kw_only=True)
class Wished:
    """What a customer would like to hear of, and for whom, which is their own affair."""

    product: str
    recipient: str | Erased = personal(default="")


wish = Table(
    "crm_hopes_wish",
    MetaData(),
    Column("customer_id", Whole, nullable=False),
    Column("wished_at", Whole, nullable=False),
    Column("product", Words, nullable=False),
    Column("recipient", Words, nullable=False),
    PrimaryKeyConstraint("customer_id", "wished_at", "product", "recipient"),
)
held = (
    select(wish.c.customer_id, func.count().label("wishes"))
    .group_by(wish.c.customer_id)
    .subquery("crm_hopes_held")
)


@define(eq=False)
class Hopes(Plugin):
    """
    Owns what customers wish for, and notes each day on which one did.

    Attributes:
        style: Of what is said of a customer: `short` or `long`.
    """

    name: ClassVar[str] = "hopes"
    tables: ClassVar[tuple[PluginTable, ...]] = (
        PluginTable(wish, derived=False, merge="move", erase="delete"),
    )

    style: str = field(default="short", validator=choice("short", "long"))

    @hookimpl
    @override
    def register_kinds(self) -> Iterable[Kind]:
        return [Kind("hopes.told", payload=Wished), Kind("hopes.heard")]

    @hookimpl
    @override
    def register_traits(self) -> Iterable[Trait[Any]]:
        return [
            Trait(
                "hopes.wishes",
                type=int,
                default=0,
                table=held,
                value=lambda now: held.c.wishes,
                description="wishes told",
            )
        ]

    @hookimpl
    @override
    def on_interactions_recorded(self, ctx: Context, event: InteractionsRecorded) -> None:
        if "hopes.told" not in event.kinds:
            return
        told = [item for item in event if item.kind == "hopes.told"]
        ctx.write(
            wish,
            [
                {
                    "customer_id": item.customer_id,
                    "wished_at": item.occurred_instant,
                    "product": item.payload.product,
                    "recipient": item.payload.recipient,
                }
                for item in told
                if isinstance(item.payload.recipient, str)
            ],
        )
        days = sorted({(i.customer_id, ctx.calendar.day_of(i.occurred_instant)) for i in told})
        ctx.record(
            *(
                Draft(
                    "hopes.heard",
                    customer=customer,
                    occurred_at=to_datetime(ctx.calendar.start_of(day)),
                    source_key=f"heard:{day}",
                )
                for customer, day in days
            )
        )

    @hookimpl
    @override
    def describe_customer(self, ctx: Context, event: CustomerAsked) -> Mapping[str, Any] | None:
        mine = wish.c.customer_id == bindparam("customer", type_=Whole)
        statement = select(wish.c.product).where(mine).order_by(wish.c.product)
        found = [product for (product,) in ctx.execute(statement, customer=event.customer_id)]
        return (
            {"wishes": ", ".join(found) if self.style == "long" else len(found)} if found else None
        )
