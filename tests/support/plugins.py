"""Plugins to prove laws with: they fold, decide, guard, keep timers, and fail when told to."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any, ClassVar

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
    case,
    cast,
    func,
    select,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from typing_extensions import override

from crmcore import (
    ANY,
    AtLeast,
    Context,
    CustomerAsked,
    CustomersRecompute,
    Draft,
    Edge,
    ExchangeRateWanted,
    Facts,
    Fold,
    InteractionDrafted,
    InteractionsRecorded,
    Kind,
    Lifecycle,
    Plugin,
    PluginTable,
    Refuse,
    Report,
    ReportResult,
    Stage,
    StageChangeProposed,
    StagesChanged,
    Started,
    Stopping,
    TimersDue,
    hookimpl,
)
from crmcore.domain.clock import DAY, to_datetime
from crmcore.hooks.fold import Insert

Whole = BigInteger().with_variant(Integer(), "sqlite")
Words = Text().with_variant(Text(collation="C"), "postgresql")

REVIEW_DAYS = 30


@frozen(kw_only=True)
class Noted:
    """What the books say of an order."""

    order: str


@frozen(kw_only=True)
class Reviewed:
    """What the books say of a customer after a while."""

    entries: int
    net_minor: int


class counted(FunctionElement[str]):  # noqa: N801 - named as it is called in SQL
    """What a review counted, as its row says it, from the JSON of its payload."""

    type = Text()
    inherit_cache = True


@compiles(counted, "sqlite")
def _sqlite(element: counted, compiler: Any, **options: Any) -> str:
    json = compiler.process(element.clauses, **options)
    return f"json_extract({json}, '$.entries') || '/' || json_extract({json}, '$.net_minor')"


@compiles(counted, "postgresql")
def _postgresql(element: counted, compiler: Any, **options: Any) -> str:
    json = compiler.process(element.clauses, **options)
    return f"({json}::json ->> 'entries') || '/' || ({json}::json ->> 'net_minor')"


class Tables:
    """The tables of one plugin of `Books`; each name has its own."""

    def __init__(self, name: str) -> None:
        metadata = MetaData()
        self.entry = Table(
            f"crm_{name}_entry",
            metadata,
            Column("customer_id", Whole, primary_key=True, autoincrement=False),
            Column("entries", Whole, nullable=False),
            Column("net_minor", Whole, nullable=False),
            Column("first_at", Whole, nullable=False),
            Column("last_at", Whole, nullable=False),
        )
        self.product = Table(
            f"crm_{name}_product",
            metadata,
            Column("customer_id", Whole, nullable=False),
            Column("product", Words, nullable=False),
            Column("quantity", Whole, nullable=False),
            Column("net_minor", Whole, nullable=False),
            PrimaryKeyConstraint("customer_id", "product"),
        )
        self.review = Table(
            f"crm_{name}_review",
            metadata,
            Column("customer_id", Whole, nullable=False),
            Column("reviewed_at", Whole, nullable=False),
            Column("decision", Words, nullable=False),
            PrimaryKeyConstraint("customer_id", "reviewed_at"),
        )
        self.entries = Fold(self._add_entries)
        self.products = Fold(self._add_products)
        self.kept = tuple(
            PluginTable(table, derived=True, merge="recompute", erase="delete")
            for table in (self.entry, self.product, self.review)
        )

    def totals(self, interactions: Any) -> Any:
        row = interactions.c
        return (
            select(
                row.customer_id,
                func.count().label("entries"),
                # PostgreSQL adds 64-bit integers up to numeric.
                cast(func.sum(func.coalesce(row.amount_base_minor, 0)), Whole).label("net_minor"),
                func.min(row.occurred_at).label("first_at"),
                func.max(row.occurred_at).label("last_at"),
            )
            .where(row.origin == "observed")
            .group_by(row.customer_id)
        )

    def _add_entries(self, facts: Facts, insert: Insert) -> UpdateBase:
        table = self.entry
        new = insert(table).from_select(list(table.c.keys()), self.totals(facts.interactions))
        add = new.excluded
        statement: UpdateBase = new.on_conflict_do_update(
            index_elements=[table.c.customer_id],
            set_={
                "entries": table.c.entries + add.entries,
                "net_minor": table.c.net_minor + add.net_minor,
                "first_at": case(
                    (add.first_at < table.c.first_at, add.first_at), else_=table.c.first_at
                ),
                "last_at": case(
                    (add.last_at > table.c.last_at, add.last_at), else_=table.c.last_at
                ),
            },
        )
        return statement

    def _add_products(self, facts: Facts, insert: Insert) -> UpdateBase:
        table, row = self.product, facts.lines.c
        sums = (
            select(
                row.customer_id,
                row.product,
                func.sum(row.quantity * row.sign).label("quantity"),
                func.sum(func.coalesce(row.amount_base_minor, 0)).label("net_minor"),
            )
            .where(row.customer_id.is_not(None))  # SQLite's upsert needs a condition
            .group_by(row.customer_id, row.product)
        )
        new = insert(table).from_select(list(table.c.keys()), sums)
        statement: UpdateBase = new.on_conflict_do_update(
            index_elements=[table.c.customer_id, table.c.product],
            set_={
                "quantity": table.c.quantity + new.excluded.quantity,
                "net_minor": table.c.net_minor + new.excluded.net_minor,
            },
        )
        return statement


class BrokenError(Exception):
    """What a plugin that was told to fail raises."""


@define(eq=False)
class Books(Plugin):
    """
    Keeps books of what customers do: folds them, notes every order, and reviews by timer.

    Attributes:
        fails: Is asked with a hook's name whether the hook is to raise, when its work is done.
        reviews: Whether to review by timer.
        sql: Whether it fails by a statement that the database refuses.
    """

    name: ClassVar[str] = "books"
    kept: ClassVar[Tables] = Tables("books")
    tables: ClassVar[tuple[PluginTable, ...]] = kept.kept

    fails: Callable[[str], bool] = field(default=lambda hook: False)
    reviews: bool = True
    sql: bool = False

    def may_fail(self, ctx: Context, hook: str) -> None:
        if self.fails(hook):
            if self.sql:
                ctx.execute(select(Column("nothing")).select_from(Table("nowhere", MetaData())))
            raise BrokenError(hook)

    @hookimpl
    @override
    def register_kinds(self) -> Iterable[Kind]:
        return [
            Kind(f"{self.name}.noted", payload=Noted),
            Kind(f"{self.name}.reviewed", payload=Reviewed),
        ]

    @hookimpl
    @override
    def on_started(self, ctx: Context, event: Started) -> None:
        if self.reviews and ctx.find_timer("review") is None:
            ctx.set_timer("review", ctx.calendar.midnight_after(ctx.clock.now(), days=REVIEW_DAYS))

    @hookimpl
    @override
    def on_interactions_recorded(self, ctx: Context, event: InteractionsRecorded) -> None:
        ctx.fold(self.kept.entries, event)
        ctx.fold(self.kept.products, event)
        for item in event:
            if item.kind == "order.placed" and item.origin == "observed":
                ctx.record(
                    Draft(
                        f"{self.name}.noted",
                        customer=item.customer_id,
                        occurred_at=item.occurred_at,
                        source_key=f"noted:{item.source}/{item.source_key}",
                        payload=Noted(order=f"{item.source}/{item.source_key}"),
                        caused_by=item.id,
                    )
                )
        self.may_fail(ctx, "on_interactions_recorded")

    @hookimpl
    @override
    def on_timers_due(self, ctx: Context, event: TimersDue) -> None:
        table = self.kept.entry
        statement = select(table.c.customer_id, table.c.entries, table.c.net_minor)
        if event.late or ctx.has_debt:
            facts = ctx.facts_until(event.due)
            totals = self.kept.totals(facts.interactions).subquery()
            statement = select(totals.c.customer_id, totals.c.entries, totals.c.net_minor)
        rows = sorted(ctx.execute(statement))
        for customer, entries, net in rows:
            key = f"review:{event.due}"
            ctx.record(
                Draft(
                    f"{self.name}.reviewed",
                    customer=customer,
                    occurred_at=to_datetime(event.due),
                    source_key=key,
                    payload=Reviewed(entries=entries, net_minor=net),
                )
            )
        ctx.write(
            self.kept.review,
            [
                {"customer_id": c, "reviewed_at": event.due, "decision": f"{entries}/{net}"}
                for c, entries, net in rows
            ],
        )
        ctx.set_timer("review", ctx.calendar.midnight_after(event.due, days=REVIEW_DAYS))
        self.may_fail(ctx, "on_timers_due")

    @hookimpl
    @override
    def recompute_customers(self, ctx: Context, event: CustomersRecompute) -> None:
        for table in self.tables:
            ctx.clear(table.table, event)
        ctx.fold(self.kept.entries, event)
        ctx.fold(self.kept.products, event)
        ctx.fold(_REVIEWS[self.name], event)
        self.may_fail(ctx, "recompute_customers")


def _reviews_of(name: str, table: Table) -> Fold:
    def build(facts: Facts, insert: Insert) -> UpdateBase:
        row = facts.interactions.c
        decided = select(
            row.customer_id,
            row.occurred_at,
            counted(row.payload),
        ).where(row.kind == f"{name}.reviewed")
        statement: UpdateBase = (
            insert(table).from_select(list(table.c.keys()), decided).on_conflict_do_nothing()
        )
        return statement

    return Fold(build)


@define(eq=False)
class Ledgers(Books):
    """The same books under another name: what nobody else's failure may touch."""

    name: ClassVar[str] = "ledgers"
    kept: ClassVar[Tables] = Tables("ledgers")
    tables: ClassVar[tuple[PluginTable, ...]] = kept.kept


_REVIEWS = {cls.name: _reviews_of(cls.name, cls.kept.review) for cls in (Books, Ledgers)}


@define(eq=False)
class Echo(Plugin):
    """Answers each note of the books with one of its own, so that rounds are needed."""

    name: ClassVar[str] = "echo"

    @hookimpl
    @override
    def register_kinds(self) -> Iterable[Kind]:
        return [Kind("echo.heard", payload=Noted)]

    @hookimpl
    @override
    def on_interactions_recorded(self, ctx: Context, event: InteractionsRecorded) -> None:
        if "books.noted" not in event.kinds:
            return
        ctx.record(
            *(
                Draft(
                    "echo.heard",
                    customer=item.customer_id,
                    occurred_at=item.occurred_at,
                    source_key=f"heard:{item.payload.order}",
                    payload=Noted(order=item.payload.order),
                    caused_by=item.id,
                )
                for item in event
                if item.kind == "books.noted"
            )
        )


CASE = Lifecycle(
    "case",
    stages=(
        Stage("unknown", "pre-sale"),
        Stage("waiting", "in-sale"),
        Stage("overdue", "in-sale"),
        Stage("done", "post-sale"),
        Stage("trouble", "post-sale"),
    ),
    counters={"complaints": {"order.returned": 1, "order.refunded": 1}},
    edges=(
        Edge(source="unknown", target="waiting", on={"order.placed"}, reason="placed"),
        Edge(source="waiting", target="overdue", quiet_days=5, reason="no word for 5 days"),
        Edge(
            source=ANY,
            target="trouble",
            on={"order.returned", "order.refunded"},
            when=AtLeast("complaints", 2),
            reason="came back twice",
        ),
        Edge(source=ANY, target="done", on={"order.delivered"}, reason="delivered"),
        Edge(source="overdue", target="waiting", on={"order.shipped"}, reason="under way again"),
        Edge(source="trouble", target="done", quiet_days=20, reason="no more trouble"),
    ),
    per_subject=True,
)
"""A lifecycle of each order, to prove that subjects of one customer are kept apart."""


@define(eq=False)
class Cases(Plugin):
    """Brings a lifecycle of orders."""

    name: ClassVar[str] = "cases"

    @hookimpl
    @override
    def register_lifecycles(self) -> Iterable[Lifecycle]:
        return [CASE]


@define(eq=False)
class Strict(Plugin):
    """Refuses some steps: which ones follows from the step alone, so that all runs agree."""

    name: ClassVar[str] = "strict"
    of_ten: int = 3

    @hookimpl
    @override
    def guard_stage_change(self, ctx: Context, event: StageChangeProposed) -> Refuse | None:
        step = (event.lifecycle, event.subject, event.from_stage, event.to_stage)
        text = "/".join((*step, str(event.effective_at // DAY)))
        chance = int(hashlib.sha256(text.encode()).hexdigest(), 16) % 10
        return Refuse("not today") if chance < self.of_ten else None


@define(eq=False)
class Rates(Plugin):
    """The shop, asked for exchange rates; they change from week to week."""

    name: ClassVar[str] = "rates"

    @hookimpl
    @override
    def choose_exchange_rate(self, ctx: Context, event: ExchangeRateWanted) -> Decimal | None:
        if event.currency not in {"USD", "JPY"}:
            return None
        week = event.at // (7 * DAY) % 10
        return {"USD": Decimal("0.91"), "JPY": Decimal("0.0061")}[event.currency] + week * Decimal(
            "0.0003"
        )


@define(eq=False)
class Raising(Books):
    """Books with every other hook too, each of which may fail."""

    name: ClassVar[str] = "books"

    @hookimpl
    @override
    def register_reports(self) -> Iterable[Report]:
        return [Report("books.report", description="of the books", run=self._report)]

    def _report(self, ctx: Context) -> ReportResult:
        self.may_fail(ctx, "report")
        return ReportResult(figures={"entries": 1})

    @hookimpl
    @override
    def prepare_interaction(self, ctx: Context, event: InteractionDrafted) -> Draft | None:
        self.may_fail(ctx, "prepare_interaction")
        return None

    @hookimpl
    @override
    def guard_stage_change(self, ctx: Context, event: StageChangeProposed) -> Refuse | None:
        self.may_fail(ctx, "guard_stage_change")
        return None

    @hookimpl
    @override
    def choose_exchange_rate(self, ctx: Context, event: ExchangeRateWanted) -> Decimal | None:
        self.may_fail(ctx, "choose_exchange_rate")
        return None

    @hookimpl
    @override
    def on_stages_changed(self, ctx: Context, event: StagesChanged) -> None:
        self.may_fail(ctx, "on_stages_changed")

    @hookimpl
    @override
    def describe_customer(self, ctx: Context, event: CustomerAsked) -> Mapping[str, Any] | None:
        self.may_fail(ctx, "describe_customer")
        return {"books": "kept"}

    @hookimpl
    @override
    def on_stopping(self, ctx: Context, event: Stopping) -> None:
        self.may_fail(ctx, "on_stopping")
