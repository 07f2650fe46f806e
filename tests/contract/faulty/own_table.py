"""Journal: what customers did is counted, and each day of it is written down."""

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
    UpdateBase,
    case,
    func,
    select,
    text,
)
from typing_extensions import override

from crmcore import (
    Context,
    CustomersRecompute,
    Facts,
    Fold,
    InteractionsRecorded,
    Plugin,
    PluginTable,
    Started,
    Trait,
    hookimpl,
)
from crmcore.hooks.fold import Insert

Whole: Final = BigInteger().with_variant(Integer(), "sqlite")

DAY: Final = 86_400 * 1_000_000


KINDS: Final = ("order.placed",)

account = Table(
    "crm_journal_count",
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

_entry: Final = Table(
    "crm_journal_entry",
    MetaData(),
    Column("customer_id", Whole, nullable=False),
    Column("day", Whole, nullable=False),
    PrimaryKeyConstraint("customer_id", "day"),
)
_CREATE: Final = text(
    "CREATE TABLE IF NOT EXISTS crm_journal_entry"
    " (customer_id BIGINT NOT NULL, day BIGINT NOT NULL, PRIMARY KEY (customer_id, day))"
)
_KNOWN: Final = select(_entry.c.customer_id, _entry.c.day)
_ADD: Final = _entry.insert()


@define(eq=False)
class Journal(Plugin):
    """Keeps a journal."""

    name: ClassVar[str] = "journal"
    tables: ClassVar[tuple[PluginTable, ...]] = (
        PluginTable(account, derived=True, merge="recompute", erase="delete"),
    )

    @hookimpl
    @override
    def register_traits(self) -> Iterable[Trait[Any]]:
        return [
            Trait(
                "journal.orders",
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
        ctx.execute_many(_CREATE, [{}])

    @hookimpl
    @override
    def on_interactions_recorded(self, ctx: Context, event: InteractionsRecorded) -> None:
        if event.kinds.isdisjoint(KINDS):
            return
        ctx.fold(COUNT, event)
        days = {
            (item.customer_id, item.occurred_instant // DAY) for item in event if item.kind in KINDS
        }
        known = set(ctx.execute(_KNOWN))
        ctx.execute_many(
            _ADD, [{"customer_id": customer, "day": day} for customer, day in sorted(days - known)]
        )

    @hookimpl
    @override
    def recompute_customers(self, ctx: Context, event: CustomersRecompute) -> None:
        ctx.clear(account, event)
        ctx.fold(COUNT, event)
