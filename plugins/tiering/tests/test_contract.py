"""Tiering keeps the contract of plugins."""

from crmcore_tiering import Tiering

from crmcore.testing.contract import PluginContract


class TestContract(PluginContract):
    """Everything that is promised of a plugin."""

    plugin = Tiering
