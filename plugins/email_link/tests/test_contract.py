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
    recorded = (
        "email_link.captured",
        "email_link.blocked",
        "email_link.reported",
        "email_link.tracking_allowed",
        "email_link.tracking_refused",
        "email_link.opened",
        "email_link.clicked",
    )
    unreached: ClassVar = {
        "crm_email_link_request": "people sign up on a page, which no history of the kit shows",
        "crm_email_link_received": "mails and providers come by a page, as people do",
    }
    held: ClassVar = {"instant": "the shop's clock, which tells when a request is signed"}


class TestContractOfTracking(TestContract):
    """The same where opens and clicks are seen, of who allows it."""

    settings: ClassVar = {**TestContract.settings, "tracking": "opens_and_clicks"}
    databases: ClassVar = ("sqlite",)
