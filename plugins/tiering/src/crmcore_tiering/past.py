"""Past: a review made anew from the ledger, beside what was decided in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import cattrs
from attrs import frozen
from sqlalchemy import literal, select

from crmcore import Context
from crmcore_tiering.demotions import Demotions
from crmcore_tiering.domain import OVERRIDE, SOURCE, TIER_CHANGED, Cuts, Rules, TierChanged
from crmcore_tiering.method import DEFAULTS, Method, Moment
from crmcore_tiering.predicted import Predictor
from crmcore_tiering.reviews import Reviews
from crmcore_tiering.tables import Whole
from crmcore_tiering.tiers import Borders

_EVER: Final = 2**63 - 1


@frozen(kw_only=True)
class PastReview:
    """
    A review as it was decided, and as the ledger makes it anew.

    Attributes:
        at: The instant it was for, in microseconds.
        scheme: By which it graded; None where it moved nobody, so that nothing is on record.
        rules: The same.
        customers: How many were reviewed.
        cuts: RFM: where the quintiles began, as they went on record.
        decided: Whom it moved to which tier, by customer.
        found: The same, from what had been recorded before it, by its rules.
        found_cuts: RFM: where the quintiles begin, from what had been recorded before it.
        scores: RFM: the scores that the recorded cut points give to whom it moved.
        positions: Those on record of them.
    """

    at: int
    scheme: str | None = None
    rules: Rules | None = None
    customers: int = 0
    cuts: Cuts | None = None
    decided: Mapping[int, str] = {}
    found: Mapping[int, str] = {}
    found_cuts: Cuts | None = None
    scores: Mapping[int, int] = {}
    positions: Mapping[int, int] = {}

    @property
    def differs(self) -> tuple[int, ...]:
        """Whom it would move otherwise now: who was merged since, or erased."""
        everyone = self.decided.keys() | self.found.keys()
        return tuple(
            sorted(
                who
                for who in everyone
                if self.decided.get(who) != self.found.get(who)
                or self.scores.get(who) != (self.positions.get(who) if self.cuts else None)
            )
        )

    @property
    def is_reproduced(self) -> bool:
        """Whether the ledger makes of it what was decided, to the last customer and cut point."""
        return not self.differs and self.cuts == self.found_cuts


def past_review(ctx: Context, at: int, demotions: Demotions) -> PastReview:
    """
    Return the review of an instant as it was decided, and made anew from the ledger.

    By the rules that went on record with it, whatever the settings are now.
    """
    payloads = _payloads(ctx, at)
    if not payloads:
        return PastReview(at=at)
    (one, *_) = payloads.values()
    rules = one.rules or DEFAULTS[one.scheme]
    reviews = Reviews(
        _method(one, rules),
        Demotions(
            dwell_days=rules.dwell_days,
            grace_days=rules.grace_days,
            every_days=demotions.every_days,
        ),
    )
    at_midnight = ctx.calendar.start_of(ctx.calendar.day_of(at)) == at
    moment = reviews.moment(ctx, at, recorded_before=at if at_midnight else at + 1, as_of=True)
    by_staff = reviews.overridden(ctx, moment)
    outcome = reviews.outcome(ctx, moment, by_staff)
    return PastReview(
        at=at,
        scheme=one.scheme,
        rules=rules,
        customers=one.customers,
        cuts=one.cuts,
        decided={who: each.to_tier for who, each in payloads.items()},
        found={each.customer_id: each.to_tier for each in outcome.moves},
        found_cuts=reviews.method.cuts(ctx, moment),
        scores={} if one.cuts is None else _scores(ctx, moment, one.cuts, payloads),
        positions={who: each.position for who, each in payloads.items()},
    )


def _payloads(ctx: Context, at: int) -> dict[int, TierChanged]:
    """Return what was decided at an instant, by customer; not what only followed staff."""
    row = ctx.facts_until(_EVER).interactions.c
    statement = (
        select(row.customer_id, row.payload)
        .where(
            row.kind == TIER_CHANGED,
            row.source == SOURCE,
            row.occurred_at == literal(at, Whole),
        )
        .order_by(row.customer_id, row.source_key)
    )
    found = {
        who: cattrs.structure(json.loads(text), TierChanged) for who, text in ctx.execute(statement)
    }
    return {who: each for who, each in found.items() if each.scheme != OVERRIDE}


def _method(told: TierChanged, rules: Rules) -> Method:
    """Return the method that a decision was made by."""
    scheme: Any = told.scheme
    by_score = scheme == "rfm"
    borders = Borders(
        tiers=tuple(rules.tiers),
        plain=tuple(rules.borders),
        lenience=-rules.band if by_score else rules.band,
    )
    basis: Any = rules.basis
    forecast, predictor = told.forecast, None
    if forecast is not None:
        model: Any = forecast.model
        predictor = Predictor(model=model, horizon_days=forecast.horizon_days, borders=borders)
    return Method(
        scheme=scheme,
        borders=borders,
        basis=basis,
        period_days=rules.period_days,
        predictor=predictor,
    )


def _scores(
    ctx: Context, moment: Moment, cuts: Cuts, payloads: Mapping[int, TierChanged]
) -> dict[int, int]:
    """Return the scores by the cut points on record of those whom the review moved."""
    row = moment.totals.c
    statement = select(row.customer_id, row.last_order_at, row.orders, row.net_minor).where(
        row.first_order_at.is_not(None)
    )
    return {
        who: cuts.score(last, int(orders), int(net))
        for who, last, orders, net in ctx.execute(statement, **moment.values())
        if who in payloads
    }
