"""Registered: the kinds and traits that tiering brings."""

from __future__ import annotations

from typing import Any, Final

from crmcore import Kind, Trait
from crmcore_tiering.domain import TIER_CHANGED, UNGRADED, TierChanged
from crmcore_tiering.overrides import (
    OVERRIDE_ENDED,
    TIER_OVERRIDDEN,
    OverrideEnded,
    TierOverridden,
)
from crmcore_tiering.tables import tier, tier_history, total
from crmcore_tiering.warned import TIER_KEPT, TIER_WARNED, TierKept, TierWarned

KINDS: Final = (
    Kind(
        TIER_CHANGED,
        payload=TierChanged,
        description="A review moved a customer to another tier.",
    ),
    Kind(
        TIER_WARNED,
        payload=TierWarned,
        description="A customer will lose a tier unless they bring more.",
    ),
    Kind(
        TIER_KEPT,
        payload=TierKept,
        description="A customer who had been warned kept their tier.",
    ),
    Kind(
        TIER_OVERRIDDEN,
        payload=TierOverridden,
        description="Staff gave a customer a tier, until the end of a day.",
    ),
    Kind(
        OVERRIDE_ENDED,
        payload=OverrideEnded,
        description="Staff ended an override before its time.",
    ),
)

TRAITS: Final[tuple[Trait[Any], ...]] = (
    Trait(
        "tiering.tier",
        type=str,
        default=UNGRADED,
        table=tier,
        value=lambda now: tier.c.tier,
        history=tier_history,
        description="A, B or C, or the shop's own; none before the first review",
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
)
