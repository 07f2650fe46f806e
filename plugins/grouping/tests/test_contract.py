"""Grouping keeps the contract of plugins."""

from crmcore_grouping import Grouping

from crmcore.testing.contract import PluginContract

# None asks for a trait or stage: those have present values only, whatever instant is asked about.
SEGMENTS = {
    "buyers": "orders.count >= 1",
    "active": "orders(days=30) or product.viewed(days=7)",
    "lapsed": "in buyers and not orders(days=60)",
    "hesitant": "carts then not orders within 2 days",
    "quiet": "not orders(days=90)",
}


class TestContract(PluginContract):
    """Everything that is promised of a plugin, in a shop that has segments."""

    plugin = Grouping
    options = {"segments": SEGMENTS}  # noqa: RUF012
