"""Tiers: the grades, the borders between them, and what goes on record when a customer moves."""

from __future__ import annotations

from typing import Final, Literal

from attrs import frozen

Scheme = Literal["pareto", "rfm"]

TIERS: Final = ("A", "B", "C")
"""Best first, so that a better tier sorts before a worse one."""

UNGRADED: Final = "none"
"""Of a customer whom no review has graded yet."""

TIER_CHANGED: Final = "tier.changed"
SOURCE: Final = "plugin:tiering"
"""What the core writes as the source of the plugin's decisions."""

MILLION: Final = 1_000_000


@frozen(kw_only=True)
class Borders:
    """
    Where tiers A and B end, and the band that keeps customers near a border from flapping.

    Attributes:
        a: Between A and B. Pareto: percent of the revenue; RFM: the score.
        b: Between B and C.
        lenience: What is added to a border for customers who are above it, and taken off for
            those below: the band, with the sign of the direction that is worse.
    """

    a: int
    b: int
    lenience: int

    def up(self, tier: str) -> int:
        """Return the border that a customer from below must pass to enter *tier*."""
        return (self.a if tier == "A" else self.b) - self.lenience

    def down(self, tier: str) -> int:
        """Return the border that a customer from above must pass to fall into *tier*."""
        return (self.a if tier == "B" else self.b) + self.lenience

    def passed(self, from_tier: str, to_tier: str) -> int | None:
        """Return the last border passed on the way; None for a first grading, which has none."""
        if from_tier == UNGRADED:
            return None
        return self.up(to_tier) if to_tier < from_tier else self.down(to_tier)


@frozen(kw_only=True)
class TierChanged:
    """
    A review moved a customer to another tier; these numbers made it.

    Attributes:
        from_tier: `none` when it is the first grading.
        position: Pareto: how much of the revenue customers with more revenue bring, in parts per
            million, rounded down; a million while there is no revenue. RFM: the score, 3 to 15,
            which is the sum of the three quintiles.
        border: The border passed, its band included: percent of the revenue, or a score.
        orders: Placed less cancelled.
        net_minor: What the customer spent, less refunds and cancellations.
        customers: How many were reviewed: those with a purchase.
        reviewed_at: Microseconds UTC.
        above_minor: Pareto: what customers with more revenue bring together.
        revenue_minor: Pareto: what all bring; customers below zero count as zero.
        a_from_minor: Pareto: the least net revenue that stood in tier A, past its band.
        b_from_minor: Pareto: the same for tier B.
        recency: RFM: quintile from 1 to 5, which is the best fifth. Equal customers share it.
        frequency: RFM: of the number of orders.
        monetary: RFM: of the net revenue.
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
    above_minor: int | None = None
    revenue_minor: int | None = None
    a_from_minor: int | None = None
    b_from_minor: int | None = None
    recency: int | None = None
    frequency: int | None = None
    monetary: int | None = None

    def __str__(self) -> str:
        """Say what the numbers mean, as `crm why` shows it."""
        if self.scheme == "rfm":
            quintiles = (
                f"recency {self.recency}, frequency {self.frequency}, monetary {self.monetary}"
            )
            place = f"score {self.position} of 15 ({quintiles})"
            border = "" if self.border is None else f", past the border of {self.border}"
        else:
            percent = (
                f"{self.position // (MILLION // 100)}.{self.position // (MILLION // 1000) % 10}"
            )
            place = f"customers with more revenue bring {percent} % of it"
            border = "" if self.border is None else f", past the border of {self.border} %"
        orders = "1 order" if self.orders == 1 else f"{self.orders} orders"
        return f"after {orders}: {place}{border}"
