"""The contract: all laws, for one plugin."""

from __future__ import annotations

from crmcore.testing.laws.after import AfterLaws
from crmcore.testing.laws.answers import AnswersLaws
from crmcore.testing.laws.channels import ChannelLaws
from crmcore.testing.laws.failing import FailingLaws
from crmcore.testing.laws.memory import MemoryLaws
from crmcore.testing.laws.merging import MergingLaws
from crmcore.testing.laws.migrating import MigratingLaws
from crmcore.testing.laws.pairs import PairLaws
from crmcore.testing.laws.privacy import PrivacyLaws
from crmcore.testing.laws.replay import ReplayLaws
from crmcore.testing.laws.settings import SettingsLaws
from crmcore.testing.laws.shape import ShapeLaws
from crmcore.testing.laws.sources import SourceLaws
from crmcore.testing.laws.watched import WatchedLaws


class PluginContract(
    SettingsLaws,
    ShapeLaws,
    SourceLaws,
    AnswersLaws,
    ReplayLaws,
    MemoryLaws,
    FailingLaws,
    AfterLaws,
    MergingLaws,
    PrivacyLaws,
    ChannelLaws,
    PairLaws,
    WatchedLaws,
    MigratingLaws,
):
    """
    Everything that is promised of a plugin; a subclass in a test file runs it.

        class TestContract(PluginContract):
            plugin = Loyalty

    `crmcore.testing.laws.base.Laws` says what else can be given.
    """
