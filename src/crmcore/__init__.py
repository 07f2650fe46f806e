"""CRM for e-commerce: a small core of hooks, and every strategy a plugin."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crmcore.app import Crm
    from crmcore.domain.clock import (
        Calendar,
        Clock,
        SystemClock,
        VirtualClock,
        to_datetime,
        to_instant,
    )
    from crmcore.domain.customer import Customer
    from crmcore.domain.identity import Identifier, IdentitySettings, Scheme, normalise
    from crmcore.domain.interaction import Draft, Interaction, Line
    from crmcore.domain.kind import Kind, personal
    from crmcore.domain.lifecycle import ANY, PREVIOUS, AtLeast, AtMost, Edge, Lifecycle, Stage
    from crmcore.domain.money import Money
    from crmcore.domain.relationship import RelationshipSettings
    from crmcore.domain.structuring import ERASED, Erased
    from crmcore.domain.timer import HOUR, Timer
    from crmcore.domain.trait import Trait
    from crmcore.errors import CrmError
    from crmcore.hooks import (
        Context,
        Curve,
        CustomerAsked,
        CustomersRecompute,
        ExchangeRateWanted,
        Facts,
        Fold,
        InteractionDrafted,
        InteractionsRecorded,
        Keep,
        Plugin,
        PluginTable,
        Refuse,
        Report,
        ReportResult,
        StageChanged,
        StageChangeProposed,
        StagesChanged,
        Started,
        Stopping,
        TimersDue,
        hookimpl,
    )
    from crmcore.persistence.autogenerate import include_name, include_object
    from crmcore.persistence.borrowed import Joinable
    from crmcore.services.merging import Merge, Unmerged
    from crmcore.services.migrations import MigrationPlan, MigrationStep, migrate, plan_migration
    from crmcore.services.transaction import Transaction
    from crmcore.services.worker import Worker

__all__ = [
    "ANY",
    "ERASED",
    "HOUR",
    "PREVIOUS",
    "AtLeast",
    "AtMost",
    "Calendar",
    "Clock",
    "Context",
    "Crm",
    "CrmError",
    "Curve",
    "Customer",
    "CustomerAsked",
    "CustomersRecompute",
    "Draft",
    "Edge",
    "Erased",
    "ExchangeRateWanted",
    "Facts",
    "Fold",
    "Identifier",
    "IdentitySettings",
    "Interaction",
    "InteractionDrafted",
    "InteractionsRecorded",
    "Joinable",
    "Keep",
    "Kind",
    "Lifecycle",
    "Line",
    "Merge",
    "MigrationPlan",
    "MigrationStep",
    "Money",
    "Plugin",
    "PluginTable",
    "Refuse",
    "RelationshipSettings",
    "Report",
    "ReportResult",
    "Scheme",
    "Stage",
    "StageChangeProposed",
    "StageChanged",
    "StagesChanged",
    "Started",
    "Stopping",
    "SystemClock",
    "Timer",
    "TimersDue",
    "Trait",
    "Transaction",
    "Unmerged",
    "VirtualClock",
    "Worker",
    "hookimpl",
    "include_name",
    "include_object",
    "migrate",
    "normalise",
    "personal",
    "plan_migration",
    "to_datetime",
    "to_instant",
]

# Names are found when they are first used, so that `crm --help` need not import a database.
_HOMES: dict[str, tuple[str, ...]] = {
    "crmcore.app": ("Crm",),
    "crmcore.domain.clock": (
        "Calendar",
        "Clock",
        "SystemClock",
        "VirtualClock",
        "to_datetime",
        "to_instant",
    ),
    "crmcore.domain.customer": ("Customer",),
    "crmcore.domain.identity": (
        "Identifier",
        "IdentitySettings",
        "Scheme",
        "normalise",
    ),
    "crmcore.domain.interaction": (
        "Draft",
        "Interaction",
        "Line",
    ),
    "crmcore.domain.kind": (
        "Kind",
        "personal",
    ),
    "crmcore.domain.lifecycle": (
        "ANY",
        "PREVIOUS",
        "AtLeast",
        "AtMost",
        "Edge",
        "Lifecycle",
        "Stage",
    ),
    "crmcore.domain.money": ("Money",),
    "crmcore.domain.relationship": ("RelationshipSettings",),
    "crmcore.domain.timer": (
        "HOUR",
        "Timer",
    ),
    "crmcore.domain.structuring": (
        "ERASED",
        "Erased",
    ),
    "crmcore.domain.trait": ("Trait",),
    "crmcore.errors": ("CrmError",),
    "crmcore.hooks": (
        "Context",
        "Curve",
        "CustomerAsked",
        "CustomersRecompute",
        "ExchangeRateWanted",
        "Facts",
        "Fold",
        "InteractionDrafted",
        "InteractionsRecorded",
        "Keep",
        "Plugin",
        "PluginTable",
        "Refuse",
        "Report",
        "ReportResult",
        "StageChanged",
        "StageChangeProposed",
        "StagesChanged",
        "Started",
        "Stopping",
        "TimersDue",
        "hookimpl",
    ),
    "crmcore.persistence.borrowed": ("Joinable",),
    "crmcore.persistence.autogenerate": (
        "include_name",
        "include_object",
    ),
    "crmcore.services.migrations": (
        "MigrationPlan",
        "MigrationStep",
        "migrate",
        "plan_migration",
    ),
    "crmcore.services.merging": (
        "Merge",
        "Unmerged",
    ),
    "crmcore.services.transaction": ("Transaction",),
    "crmcore.services.worker": ("Worker",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
