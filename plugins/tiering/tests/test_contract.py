"""Tiering keeps the contract of plugins, as it comes and with everything it can do."""

from typing import ClassVar

import pytest
from crmcore_tiering import Tiering

from crmcore.testing.contract import PluginContract

RECORDED = ("tier.overridden", "tier.override_ended")


def overrides(*tiers):
    """Return what staff may say, by kind."""
    reason = {"reason": "made good for a mistake", "owner": "staff:grace"}
    days = ("2024-02-29", "2024-07-01", "2025-03-15")
    given = [{"tier": tier, "until": day, **reason} for tier, day in zip(tiers, days, strict=True)]
    return {"tier.overridden": given, "tier.override_ended": [reason]}


class TestContract(PluginContract):
    """Everything that is promised of a plugin."""

    plugin = Tiering
    recorded = RECORDED
    payloads = overrides("A", "B", "C")
    unreached = dict.fromkeys(
        ("crm_tiering_warning", "tier.warned", "tier.kept"), "nobody is warned by default"
    )


@pytest.mark.slow
class TestContractOfMore(PluginContract):
    """The same of a shop with tiers of its own, that warns before it demotes, by the margin."""

    plugin = Tiering
    settings: ClassVar = {
        "basis": "margin",
        "period_days": 60,
        "review_every_days": 10,
        "dwell_days": 10,
        "grace_days": 15,
        "tiers": [
            {"name": "gold", "percent": 40, "benefits": {"shipping": "free", "points": 2}},
            {"name": "silver", "percent": 70, "cost_minor": 500},
            {"name": "bronze", "percent": 90},
            {"name": "plain", "most_contacts": 1},
        ],
    }
    recorded = RECORDED
    payloads = overrides("gold", "bronze", "plain")
    unreached: ClassVar = {
        "tier.kept": "somebody has to fall, and to buy just enough until the next review but one"
    }
