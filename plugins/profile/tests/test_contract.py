"""Profile keeps the contract of plugins."""

from collections.abc import Mapping
from typing import Any, ClassVar

from crmcore_profile import Profile

from crmcore.testing.contract import PluginContract


def stated(*pairs):
    """Return payloads for attributes and values."""
    return [{"attribute": name, "value": value} for name, value in pairs]


class TestContract(PluginContract):
    """Everything that is promised of a plugin."""

    plugin = Profile
    recorded = (
        "profile.declared",
        "profile.observed",
        "profile.inferred",
        "profile.withdrawn",
        "profile.asked",
    )
    payloads: ClassVar[Mapping[str, Any]] = {
        "profile.declared": [
            *stated(("gender", "female"), ("birthday", "1984-02-29"), ("birthday", "--05-17")),
            *stated(("children", "2023-12-01"), ("children", "2012-07-31"), ("interests", "tea")),
            *stated(("preferred_channel", "email"), ("birthday", "somewhen")),
        ],
        "profile.observed": [
            *stated(("language", "de-CH"), ("interests", "tea"), ("interests", "cycling")),
            {"attribute": "city", "value": "Bern", "as_of": 1_700_000_000_000_000},
        ],
        "profile.inferred": [
            {"attribute": "gender", "value": "male", "confidence": 60},
            {"attribute": "occupation", "value": "teacher", "confidence": 30},
        ],
        "profile.withdrawn": [
            {"attribute": "gender"},
            {"attribute": "interests", "value": "tea"},
        ],
        "profile.asked": [{"attribute": "birthday"}, {"attribute": "occupation"}],
    }
