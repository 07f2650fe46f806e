"""Tiering: customers graded by what they bring, so that each can be looked after accordingly."""

from crmcore_tiering.domain import TierChanged
from crmcore_tiering.overrides import OverrideEnded, TierOverridden
from crmcore_tiering.past import PastReview
from crmcore_tiering.plugin import Tiering
from crmcore_tiering.tiers import Tier
from crmcore_tiering.warned import TierKept, TierWarned
from crmcore_tiering.what_if import Move, Mover, WhatIf

__all__ = [
    "Move",
    "Mover",
    "OverrideEnded",
    "PastReview",
    "Tier",
    "TierChanged",
    "TierKept",
    "TierOverridden",
    "TierWarned",
    "Tiering",
    "WhatIf",
]
