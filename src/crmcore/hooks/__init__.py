"""The contract between the core and its plugins: typed hooks, by theme."""

from __future__ import annotations

from typing import ClassVar

from crmcore.domain.holdout import PRIME, Arm
from crmcore.domain.settings import choice, whole
from crmcore.domain.timer import CatchUp
from crmcore.hooks.context import Context, Mode
from crmcore.hooks.customer import CustomerAsked, CustomerHooks
from crmcore.hooks.fold import Facts, Fold
from crmcore.hooks.interaction import InteractionDrafted, InteractionHooks, InteractionsRecorded
from crmcore.hooks.lifecycle import (
    LifecycleHooks,
    Refuse,
    StageChanged,
    StageChangeProposed,
    StagesChanged,
)
from crmcore.hooks.markers import hookimpl, hookspec
from crmcore.hooks.message import (
    Audience,
    DeliveriesChanged,
    DeliveryChanged,
    Hold,
    MessageClaimed,
    MessageHooks,
    MessagesClaimed,
    MessagesProposed,
)
from crmcore.hooks.payload import payload_text, payload_truth, payload_whole
from crmcore.hooks.plugin import (
    Curve,
    CustomersRecompute,
    PluginHooks,
    Report,
    ReportResult,
    Started,
    Stopping,
)
from crmcore.hooks.privacy import CustomerErased, CustomerExported, Erasure, PrivacyHooks
from crmcore.hooks.segments import NamedSegment, SegmentHooks, Segments
from crmcore.hooks.selection import CustomerList, Everyone, IdList, IdRange, Selected, Selection
from crmcore.hooks.shop import ExchangeRateWanted, ShopHooks
from crmcore.hooks.tables import Keep, PluginTable
from crmcore.hooks.timer import TimerHooks, TimersDue

SPECS = (
    PluginHooks,
    CustomerHooks,
    InteractionHooks,
    LifecycleHooks,
    SegmentHooks,
    MessageHooks,
    PrivacyHooks,
    TimerHooks,
    ShopHooks,
)


class Plugin(
    PluginHooks,
    CustomerHooks,
    InteractionHooks,
    LifecycleHooks,
    SegmentHooks,
    MessageHooks,
    PrivacyHooks,
    TimerHooks,
    ShopHooks,
):
    """
    The base class of every plugin; a subclass is an attrs class of its own settings.

    Override the hooks you need, each with `@hookimpl`, and with `@override` so that a type
    checker finds a misspelt name. Objects keep no state of customers: that is what tables are for.
    """

    name: ClassVar[str]
    """Its own; tables, kinds, traits and settings are named after it."""

    requires: ClassVar[tuple[str, ...]] = ()
    """Plugins that must be there, and come first."""

    after: ClassVar[tuple[str, ...]] = ()
    """Plugins that come first if they are there."""

    tables: ClassVar[tuple[PluginTable, ...]] = ()

    version: ClassVar[str] = "1"
    """Of what it derives: another version than before is rebuilt from the ledger."""

    migrations: ClassVar[str | None] = None
    """A package of revisions for the tables it owns, such as `crmcore_notes.migrations`."""


__all__ = [
    "PRIME",
    "SPECS",
    "Arm",
    "Audience",
    "CatchUp",
    "Context",
    "Curve",
    "CustomerAsked",
    "CustomerErased",
    "CustomerExported",
    "CustomerHooks",
    "CustomerList",
    "CustomersRecompute",
    "DeliveriesChanged",
    "DeliveryChanged",
    "Erasure",
    "Everyone",
    "ExchangeRateWanted",
    "Facts",
    "Fold",
    "Hold",
    "IdList",
    "IdRange",
    "InteractionDrafted",
    "InteractionHooks",
    "InteractionsRecorded",
    "Keep",
    "LifecycleHooks",
    "MessageClaimed",
    "MessageHooks",
    "MessagesClaimed",
    "MessagesProposed",
    "Mode",
    "NamedSegment",
    "Plugin",
    "PluginHooks",
    "PluginTable",
    "PrivacyHooks",
    "Refuse",
    "Report",
    "ReportResult",
    "SegmentHooks",
    "Segments",
    "Selected",
    "Selection",
    "ShopHooks",
    "StageChangeProposed",
    "StageChanged",
    "StagesChanged",
    "Started",
    "Stopping",
    "TimerHooks",
    "TimersDue",
    "choice",
    "hookimpl",
    "hookspec",
    "payload_text",
    "payload_truth",
    "payload_whole",
    "whole",
]
