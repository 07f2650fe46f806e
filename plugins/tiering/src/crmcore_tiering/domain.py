"""Tiers decided: the words of a review, and what goes on record when a customer moves."""

from __future__ import annotations

from typing import Final, Literal

from attrs import frozen

Scheme = Literal["pareto", "rfm", "predicted"]
Basis = Literal["revenue", "margin"]

UNGRADED: Final = "none"
"""Of a customer whom no review has graded yet."""

TIER_CHANGED: Final = "tier.changed"
SOURCE: Final = "plugin:tiering"
"""What the core writes as the source of the plugin's decisions."""

OVERRIDE: Final = "override"
"""The scheme of a tier that staff gave, and no review."""

MILLION: Final = 1_000_000


@frozen(kw_only=True)
class Rules:
    """
    What a review graded by.

    Attributes:
        tiers: Their names, best first.
        borders: Between each tier and the next one: percent of the revenue, or scores.
        band: How far beyond a border a customer had to be to change tier.
        basis: What was counted: `revenue`, or the `margin` that is left of it.
        period_days: Over how many days it was counted; 0: over all time.
        dwell_days: How long a tier was kept at least.
        grace_days: How long a customer was warned before a demotion.
    """

    tiers: list[str]
    borders: list[int]
    band: int
    basis: str = "revenue"
    period_days: int = 0
    dwell_days: int = 0
    grace_days: int = 0


@frozen(kw_only=True)
class Cuts:
    """
    Where the fifths of a review by RFM began: a value from the n-th on lies in fifth n + 1.

    Attributes:
        recency: Of the latest order, in microseconds: where fifths 2, 3, 4 and 5 began.
        frequency: Of the number of orders.
        monetary: Of what counted, in minor units.
    """

    recency: list[int]
    frequency: list[int]
    monetary: list[int]

    def score(self, last_order_at: int, orders: int, net_minor: int) -> int:
        """Return the score, 3 to 15, that such a customer had in the review."""
        measures = (
            (self.recency, last_order_at),
            (self.frequency, orders),
            (self.monetary, net_minor),
        )
        return sum(1 + sum(value >= cut for cut in cuts) for cuts, value in measures)


@frozen(kw_only=True)
class Forecast:
    """
    The models that a review by `predicted` fitted, and what they expect of one customer.

    Attributes:
        model: Which tells how often somebody buys: `bg_nbd` or `pareto_nbd`.
        version: Of the plugin whose models these are.
        horizon_days: How far ahead they looked.
        purchases: What is expected of the customer within that time.
        value_minor: What each of these is expected to be worth.
        parameters: Of both models, by name; times are in days, money in minor units.
    """

    model: str
    version: str
    horizon_days: int
    purchases: float
    value_minor: float
    parameters: dict[str, float]


@frozen(kw_only=True)
class TierChanged:
    """
    A review moved a customer to another tier; these numbers made it.

    Attributes:
        from_tier: `none` when it is the first grading.
        scheme: As it is set; `override` where staff had given the tier.
        position: Pareto: how much of the revenue customers with more revenue bring, in parts per
            million, rounded down; a million while there is no revenue. RFM: the score, 3 to 15,
            which is the sum of the three quintiles. Predicted: as Pareto, of what is expected.
        border: The border passed, its band included: percent of the revenue, or a score.
        orders: Placed less cancelled, within the period that counts.
        net_minor: What the customer spent, less refunds and cancellations; where the basis is the
            margin, less the cost of what they bought, too.
        customers: How many were reviewed: those with a purchase.
        reviewed_at: Microseconds UTC.
        place: Of the new tier among the shop's: 0 is the best one.
        above_minor: Pareto: what customers with more revenue bring together.
        revenue_minor: Pareto: what all bring; customers below zero count as zero.
        a_from_minor: Pareto: the least net revenue that stood in the best tier, past its band.
        b_from_minor: Pareto: the same for the second tier, where it is not the last.
        more_from_minor: Pareto: the same for all further ones but the last, where there are any.
        recency: RFM: quintile from 1 to 5, which is the best fifth. Equal customers share it.
        frequency: RFM: of the number of orders.
        monetary: RFM: of the net revenue.
        rules: What the review graded by, where that was not the default: pareto at 80 and 95, or
            rfm at 13 and 8, over all revenue, with the bands 2 and 1.
        cuts: RFM: where the quintiles began.
        forecast: Predicted: the models, and what they expect of the customer.
    """

    from_tier: str
    to_tier: str
    scheme: str
    position: int
    border: int | None
    orders: int
    net_minor: int
    customers: int
    reviewed_at: int
    place: int = 0
    above_minor: int | None = None
    revenue_minor: int | None = None
    a_from_minor: int | None = None
    b_from_minor: int | None = None
    more_from_minor: list[int | None] | None = None
    recency: int | None = None
    frequency: int | None = None
    monetary: int | None = None
    rules: Rules | None = None
    cuts: Cuts | None = None
    forecast: Forecast | None = None

    def __str__(self) -> str:
        """Say what the numbers mean, as `crm why` shows it."""
        orders = "1 order" if self.orders == 1 else f"{self.orders} orders"
        if self.scheme == OVERRIDE:
            return f"after {orders}: staff had overridden the tier"
        border = "" if self.border is None else f", past the border of {self.border}"
        if self.scheme == "rfm":
            quintiles = (
                f"recency {self.recency}, frequency {self.frequency}, monetary {self.monetary}"
            )
            return f"after {orders}: score {self.position} of 15 ({quintiles}){border}"
        percent = f"{percent_of(self.position)} %"
        border = f"{border} %" if border else ""
        if self.forecast is None:
            basis = "revenue" if self.rules is None else self.rules.basis
            return f"after {orders}: customers with more {basis} bring {percent} of it{border}"
        days, purchases = self.forecast.horizon_days, self.forecast.purchases
        return (
            f"after {orders}: {purchases:.2f} purchases expected within {days} days, and "
            f"customers of whom more is expected bring {percent} of it{border}"
        )


def percent_of(position: int) -> str:
    """Return parts per million as percent, with one digit, rounded down."""
    return f"{position // (MILLION // 100)}.{position // (MILLION // 1000) % 10}"
