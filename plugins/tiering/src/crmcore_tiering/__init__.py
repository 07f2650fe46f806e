"""Tiering: customers graded by what they bring, so that each can be looked after accordingly."""

from crmcore_tiering.domain import TierChanged
from crmcore_tiering.plugin import Tiering

__all__ = ["TierChanged", "Tiering"]
