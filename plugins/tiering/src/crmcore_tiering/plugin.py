"""The plugin: its settings, and the hooks that call the services."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from attrs import define, field
from typing_extensions import override

from crmcore import (
    Context,
    CustomerAsked,
    CustomersRecompute,
    InteractionsRecorded,
    Kind,
    Plugin,
    PluginTable,
    Report,
    Started,
    TimersDue,
    Trait,
    choice,
    hookimpl,
    whole,
)
from crmcore.errors import ConfigurationError
from crmcore_tiering.domain import TIER_CHANGED, UNGRADED, Borders, Scheme, TierChanged
from crmcore_tiering.history import PRESENT_TIERS, TIER_CHANGES
from crmcore_tiering.reports import REPORT
from crmcore_tiering.reviews import TIMER, Reviews, next_review
from crmcore_tiering.standing import describe
from crmcore_tiering.tables import TABLES, tier, tier_history, total
from crmcore_tiering.totals import ORDER_KINDS, TOTALS


@define(eq=False)
class Tiering(Plugin):
    """
    Grades customers A, B or C by what they bring, so that each grade can be looked after.

    Attributes:
        scheme: `pareto` grades by the place in the shop's revenue, `rfm` by recency, frequency
            and monetary value.
        review_every_days: Days between reviews, 1 to 3650; 0 reviews only when asked to.
        a_percent: Pareto: tier A goes on until this share of the revenue is reached.
        b_percent: Pareto: the same for tier B.
        band_percent: Pareto: how far beyond a border a customer must be to change tier.
        a_score: RFM: the score, 3 to 15, from which tier A begins.
        b_score: RFM: the same for tier B.
        band_score: RFM: how far beyond a border a customer must be to change tier.
    """

    name: ClassVar[str] = "tiering"
    tables: ClassVar[tuple[PluginTable, ...]] = TABLES

    scheme: Scheme = field(default="pareto", validator=choice("pareto", "rfm"))
    review_every_days: int = field(default=30, validator=whole())
    a_percent: int = field(default=80, validator=whole())
    b_percent: int = field(default=95, validator=whole())
    band_percent: int = field(default=2, validator=whole())
    a_score: int = field(default=13, validator=whole())
    b_score: int = field(default=8, validator=whole())
    band_score: int = field(default=1, validator=whole())

    def __attrs_post_init__(self) -> None:
        self._check()
        borders = (
            Borders(a=self.a_percent, b=self.b_percent, lenience=self.band_percent)
            if self.scheme == "pareto"
            else Borders(a=self.a_score, b=self.b_score, lenience=-self.band_score)
        )
        self._reviews = Reviews(self.scheme, borders)  # no field, as it is no setting

    def _check(self) -> None:
        if not 0 <= self.review_every_days <= 3650:
            raise ConfigurationError(
                f"review_every_days is {self.review_every_days}; 1 to 3650, or 0 for no reviews, "
                "is expected"
            )
        a, b, band = self.a_percent, self.b_percent, self.band_percent
        if not (band >= 0 and 0 < a - band and a + band < b - band and b + band <= 100):
            raise ConfigurationError(
                f"a_percent {a}, b_percent {b} and band_percent {band} do not fit: from 0 to 100 "
                "percent, a must come before b, and their bands must neither touch nor stick out"
            )
        a, b, band = self.a_score, self.b_score, self.band_score
        if not (band >= 0 and 3 < b - band and b + band < a - band and a + band <= 15):
            raise ConfigurationError(
                f"a_score {a}, b_score {b} and band_score {band} do not fit: from 3 to 15, "
                "b must come before a, and their bands must neither touch nor stick out"
            )

    def review_now(self, ctx: Context, at: int) -> int:
        """
        Review everyone as of the instant *at*, and return how many changed tier.

        What was recorded up to *at* counts. A tier given at *at* or later stays as it is.
        """
        late = at < ctx.clock.now()
        return self._reviews.run(ctx, at, recorded_before=at + 1, late=late)

    @hookimpl
    @override
    def register_kinds(self) -> Iterable[Kind]:
        return [
            Kind(
                TIER_CHANGED,
                payload=TierChanged,
                description="A review moved a customer to another tier.",
            )
        ]

    @hookimpl
    @override
    def register_traits(self) -> Iterable[Trait[Any]]:
        return [
            Trait(
                "tiering.tier",
                type=str,
                default=UNGRADED,
                table=tier,
                value=lambda now: tier.c.tier,
                history=tier_history,
                description="A, B or C; none before the first review",
            ),
            Trait(
                "tiering.net_minor",
                type=int,
                default=0,
                table=total,
                value=lambda now: total.c.net_minor,
                description="orders less refunds and cancellations, in minor units",
            ),
            Trait(
                "tiering.orders",
                type=int,
                default=0,
                table=total,
                value=lambda now: total.c.orders,
                description="orders placed less those cancelled",
            ),
        ]

    @hookimpl
    @override
    def register_reports(self) -> Iterable[Report]:
        return [REPORT]

    @hookimpl
    @override
    def on_started(self, ctx: Context, event: Started) -> None:
        if not self.review_every_days:
            ctx.cancel_timer(TIMER)
            return
        now, due = ctx.clock.now(), ctx.find_timer(TIMER)
        # A review that is overdue stays due; one to come follows the present settings.
        if due is None or due > now:
            ctx.set_timer(TIMER, self._after(ctx, now))

    @hookimpl
    @override
    def on_interactions_recorded(self, ctx: Context, event: InteractionsRecorded) -> None:
        if not event.kinds.isdisjoint(ORDER_KINDS):
            ctx.fold(TOTALS, event)

    @hookimpl
    @override
    def on_timers_due(self, ctx: Context, event: TimersDue) -> None:
        self._reviews.run(ctx, event.due, recorded_before=event.due, late=event.late)
        if self.review_every_days:
            ctx.set_timer(TIMER, self._after(ctx, event.due))

    @hookimpl
    @override
    def recompute_customers(self, ctx: Context, event: CustomersRecompute) -> None:
        for table in self.tables:
            ctx.clear(table.table, event)
        for fold in (TOTALS, TIER_CHANGES, PRESENT_TIERS):
            ctx.fold(fold, event)

    @hookimpl
    @override
    def describe_customer(self, ctx: Context, event: CustomerAsked) -> Mapping[str, Any] | None:
        return describe(ctx, event.customer_id, self.scheme)

    def _after(self, ctx: Context, instant: int) -> int:
        return next_review(ctx.calendar, instant, every_days=self.review_every_days)
