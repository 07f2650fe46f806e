"""The plugin: its settings, and the hooks that call the services."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any, ClassVar, Final

import attrs
from attrs import define, field
from sqlalchemy import FromClause, Select
from typing_extensions import override

from crmcore import (
    Context,
    CustomerAsked,
    CustomersRecompute,
    Hold,
    InteractionsRecorded,
    Kind,
    MessagesProposed,
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
from crmcore_tiering.contacts import capped, holds
from crmcore_tiering.demotions import Demotions, next_review
from crmcore_tiering.domain import Basis, Scheme
from crmcore_tiering.history import PRESENT_TIERS, TIER_CHANGES
from crmcore_tiering.method import Method
from crmcore_tiering.overrides import OVERRIDE_KINDS, OVERRIDES
from crmcore_tiering.past import PastReview, past_review
from crmcore_tiering.predicted import Model, Predictor, check_extra
from crmcore_tiering.registered import KINDS, TRAITS
from crmcore_tiering.reports import report_of
from crmcore_tiering.reviews import TIMER, Reviews
from crmcore_tiering.standing import describe
from crmcore_tiering.tables import TABLES
from crmcore_tiering.tiers import (
    LETTERS,
    Benefit,
    Borders,
    Tier,
    as_tiers,
    check_borders,
    check_tiers,
    find_tier,
)
from crmcore_tiering.totals import ORDER_KINDS, TOTALS
from crmcore_tiering.warned import WARNINGS
from crmcore_tiering.what_if import WhatIf, what_if

_FOLDS: Final = (TOTALS, TIER_CHANGES, PRESENT_TIERS, OVERRIDES, WARNINGS)


@define(eq=False)
class Tiering(Plugin):
    """
    Grades customers by what they bring, so that each grade can be looked after.

    Attributes:
        scheme: `pareto` grades by the place in the shop's revenue, `rfm` by recency, frequency
            and monetary value, `predicted` by the place in what customers are expected to bring.
        basis: Pareto and RFM: `revenue`, or the `margin` that is left of it when the cost of the
            lines is taken off.
        period_days: Pareto and RFM: over how many days before a review orders count; 0: over all
            time.
        review_every_days: Days between reviews, 1 to 3650; 0 reviews only when asked to.
        tiers: The shop's own tiers, best first, each a table: see `Tier`. None: A, B and C.
        a_percent: Pareto and predicted: tier A goes on until this share of the revenue is reached.
        b_percent: The same for tier B.
        band_percent: Pareto and predicted: how far beyond a border a customer must be to change
            tier.
        a_score: RFM: the score, 3 to 15, from which tier A begins.
        b_score: RFM: the same for tier B.
        band_score: RFM: how far beyond a border a customer must be to change tier.
        dwell_days: How many days a tier is kept at least before it can get worse.
        grace_days: How many days before a demotion a customer is warned; 0: not at all.
        model: Predicted: how often somebody buys, by `bg_nbd` or `pareto_nbd`.
        horizon_days: Predicted: how many days ahead.
    """

    name: ClassVar[str] = "tiering"
    tables: ClassVar[tuple[PluginTable, ...]] = TABLES

    scheme: Scheme = field(default="pareto", validator=choice("pareto", "rfm", "predicted"))
    review_every_days: int = field(default=30, validator=whole())
    a_percent: int = field(default=80, validator=whole())
    b_percent: int = field(default=95, validator=whole())
    band_percent: int = field(default=2, validator=whole())
    a_score: int = field(default=13, validator=whole())
    b_score: int = field(default=8, validator=whole())
    band_score: int = field(default=1, validator=whole())
    basis: Basis = field(default="revenue", validator=choice("revenue", "margin"))
    period_days: int = field(default=0, validator=whole(least=0, most=36_500))
    tiers: list[Tier] = field(factory=list, converter=as_tiers)
    dwell_days: int = field(default=0, validator=whole(least=0, most=3650))
    grace_days: int = field(default=0, validator=whole(least=0, most=3650))
    model: Model = field(default="bg_nbd", validator=choice("bg_nbd", "pareto_nbd"))
    horizon_days: int = field(default=365, validator=whole(least=1, most=3650))

    def __attrs_post_init__(self) -> None:
        self._check()
        # No fields, as they are no settings.
        self._tiers = {tier.name: tier for tier in self.tiers or map(_lettered, LETTERS)}
        borders = self._borders()
        predictor = None
        if self.scheme == "predicted":
            predictor = Predictor(model=self.model, horizon_days=self.horizon_days, borders=borders)
        self._reviews = Reviews(
            Method(
                scheme=self.scheme,
                borders=borders,
                basis=self.basis,
                period_days=self.period_days,
                predictor=predictor,
            ),
            Demotions(
                dwell_days=self.dwell_days,
                grace_days=self.grace_days,
                every_days=max(0, self.review_every_days),
            ),
        )
        self._capped = capped(self._tiers.values())
        self._report = report_of(self._reviews, self._tiers)

    def _borders(self) -> Borders:
        by_score = self.scheme == "rfm"
        setting = "score" if by_score else "percent"
        plain = (self.a_score, self.b_score) if by_score else (self.a_percent, self.b_percent)
        if self.tiers:
            plain = tuple(getattr(tier, setting) for tier in self.tiers[:-1])
        return Borders(
            tiers=tuple(self._tiers),
            plain=plain,
            lenience=-self.band_score if by_score else self.band_percent,
        )

    def _check(self) -> None:
        if not 0 <= self.review_every_days <= 3650:
            raise ConfigurationError(
                f"review_every_days is {self.review_every_days}; 1 to 3650, or 0 for no reviews, "
                "is expected"
            )
        self._check_letters()
        self._check_own_tiers()
        if self.scheme == "predicted":
            self._check_predicted()

    def _check_letters(self) -> None:
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

    def _check_own_tiers(self) -> None:
        if self.tiers:
            check_tiers(self.tiers)
            self._tiers = {tier.name: tier for tier in self.tiers}
            setting, least, most = ("score", 3, 15) if self.scheme == "rfm" else ("percent", 0, 100)
            check_borders(self.tiers, setting, self._borders(), least=least, most=most)

    def _check_predicted(self) -> None:
        check_extra()
        for name in ("basis", "period_days"):
            if getattr(self, name) != getattr(attrs.fields(type(self)), name).default:
                raise ConfigurationError(
                    f"{name} is {getattr(self, name)!r}, but the scheme 'predicted' knows revenue "
                    "over all time only; leave it out"
                )

    # -- for the shop ------------------------------------------------------------------------

    def review_now(self, ctx: Context, at: int) -> int:
        """
        Review everyone as of the instant *at*, and return how many changed tier.

        What was recorded up to *at* counts. A tier given at *at* or later stays as it is.
        """
        late = at < ctx.clock.now()
        return self._reviews.run(ctx, at, recorded_before=at + 1, late=late)

    def changes(self, totals: FromClause) -> Select[Any]:
        """Return the statement that finds who changes tier, over a table such as that of totals."""
        return self._reviews.changes(totals)

    def benefits(self, tier: str) -> Mapping[str, Benefit]:
        """
        Return what a tier brings, as the shop has set it.

        Raises:
            InputError: If there is no such tier, with the nearest.
        """
        return dict(find_tier(self._tiers, tier).benefits)

    def what_if(self, ctx: Context, *, at: int | None = None, **settings: Any) -> WhatIf:
        """
        Return who would move in a review by other settings, now or at a past instant.

        Such as `tiering.what_if(ctx, a_percent=70)`. Nothing is written.

        Args:
            ctx: The transaction, as `Transaction.acting` gives it.
            at: An instant in microseconds; None: now.
            settings: Those that should be others.

        Raises:
            ConfigurationError: For a setting that makes no sense.
        """
        other = attrs.evolve(self, **settings)
        now = ctx.clock.now()
        is_past = at is not None and at < now
        # A tier given just now could still be another one.
        moment = now + 1 if at is None else at
        return what_if(ctx, other._reviews, other._tiers, moment, is_past=is_past)

    def past_review(self, ctx: Context, at: int | date) -> PastReview:
        """
        Return a past review as it was decided, and made anew from the ledger, side by side.

        Args:
            ctx: The transaction, as `Transaction.acting` gives it.
            at: Its instant in microseconds, or its day in the shop's zone.
        """
        instant = ctx.calendar.start_of(at) if isinstance(at, date) else at
        return past_review(ctx, instant, self._reviews.demotions)

    # -- hooks -------------------------------------------------------------------------------

    @hookimpl
    @override
    def register_kinds(self) -> Iterable[Kind]:
        return KINDS

    @hookimpl
    @override
    def register_traits(self) -> Iterable[Trait[Any]]:
        return TRAITS

    @hookimpl
    @override
    def register_reports(self) -> Iterable[Report]:
        return [self._report]

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
        if not event.kinds.isdisjoint(OVERRIDE_KINDS):
            for fold in (TIER_CHANGES, PRESENT_TIERS, OVERRIDES):
                ctx.fold(fold, event)

    @hookimpl
    @override
    def on_timers_due(self, ctx: Context, event: TimersDue) -> None:
        self._reviews.run(ctx, event.due, recorded_before=event.due, late=event.late)
        if self.review_every_days:
            ctx.set_timer(TIMER, self._after(ctx, event.due))

    @hookimpl
    @override
    def guard_message(self, ctx: Context, event: MessagesProposed) -> Iterable[Hold] | None:
        return list(holds(ctx, event, self._capped))

    @hookimpl
    @override
    def recompute_customers(self, ctx: Context, event: CustomersRecompute) -> None:
        for table in self.tables:
            ctx.clear(table.table, event)
        for fold in _FOLDS:
            ctx.fold(fold, event)

    @hookimpl
    @override
    def describe_customer(self, ctx: Context, event: CustomerAsked) -> Mapping[str, Any] | None:
        return describe(ctx, event.customer_id, self._reviews.method, self._tiers)

    def _after(self, ctx: Context, instant: int) -> int:
        return next_review(ctx.calendar, instant, every_days=self.review_every_days)


def _lettered(name: str) -> Tier:
    return Tier(name=name)
