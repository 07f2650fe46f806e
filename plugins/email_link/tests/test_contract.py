"""The plugin keeps the contract of plugins."""

from typing import ClassVar

from crmcore_email_link import EmailLink

from crmcore import Accepted
from crmcore.testing.contract import PluginContract
from plugins.email_link.tests.shops import SETTINGS


class Nowhere:
    """Takes every mail and remembers none."""

    idempotent = False

    def send(self, envelopes):
        return [Accepted(each.idempotency_key) for each in envelopes]

    def close(self):
        pass


class TestContract(PluginContract):
    """Everything that is promised of a plugin."""

    plugin = EmailLink
    settings: ClassVar = {**SETTINGS, "carrier": Nowhere()}
    recorded = ("email_link.captured", "email_link.blocked")
    unreached: ClassVar = {
        "crm_email_link_request": "people sign up on a page, which no history of the kit shows"
    }
    held: ClassVar = {"instant": "the shop's clock, which tells when a request is signed"}
