"""CRM for e-commerce: a small core of hooks, and every strategy a plugin."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crmcore.app import Crm
    from crmcore.app.desk import Desk
    from crmcore.domain.clock import (
        Calendar,
        Clock,
        SystemClock,
        VirtualClock,
        to_datetime,
        to_instant,
    )
    from crmcore.domain.customer import Customer
    from crmcore.domain.gate import Answer, Cap, GateSettings, Holdout
    from crmcore.domain.identity import Identifier, IdentitySettings, Scheme, normalise
    from crmcore.domain.interaction import Draft, Interaction, Line
    from crmcore.domain.kind import Kind, personal
    from crmcore.domain.lifecycle import ANY, PREVIOUS, AtLeast, AtMost, Edge, Lifecycle, Stage
    from crmcore.domain.message import (
        Accepted,
        Broadcast,
        Channel,
        Content,
        Deferred,
        Delivery,
        Failed,
        Message,
        MessageDraft,
        Outcome,
        Unknown,
    )
    from crmcore.domain.money import Money
    from crmcore.domain.privacy import (
        Certificate,
        ErasurePlan,
        Exported,
        JournalEntry,
        LegalHold,
    )
    from crmcore.domain.quiet import QuietHours
    from crmcore.domain.relationship import RelationshipSettings
    from crmcore.domain.retention import RetentionSettings
    from crmcore.domain.role import Grant, Role, RowRule, Staff
    from crmcore.domain.segments.measured import Measured, MeasuredColumn
    from crmcore.domain.segments.segment import Segment
    from crmcore.domain.snapshot import PluginNoted, SnapshotManifest, SnapshotTable
    from crmcore.domain.structuring import ERASED, Erased
    from crmcore.domain.task import Task, TaskDraft
    from crmcore.domain.timer import HOUR, Timer
    from crmcore.domain.trait import Trait
    from crmcore.errors import CrmError, SegmentError
    from crmcore.hooks import (
        Context,
        Curve,
        CustomerAsked,
        CustomerErased,
        CustomerExported,
        CustomersRecompute,
        DeliveriesChanged,
        DeliveryChanged,
        Erasure,
        ExchangeRateWanted,
        Facts,
        Fold,
        Hold,
        InteractionDrafted,
        InteractionsRecorded,
        Keep,
        MessageClaimed,
        MessagesClaimed,
        MessagesProposed,
        NamedSegment,
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
        choice,
        hookimpl,
        payload_text,
        payload_truth,
        payload_whole,
        whole,
    )
    from crmcore.persistence.autogenerate import include_name, include_object
    from crmcore.persistence.borrowed import Joinable
    from crmcore.services.background.worker import Worker
    from crmcore.services.merging.merging import Merge, Unmerged
    from crmcore.services.messaging.standings import Consent
    from crmcore.services.messaging.withholding import Withheld
    from crmcore.services.segments.why import Verdict
    from crmcore.services.snapshots.snapshot import Snapshot
    from crmcore.services.starting.migrations import (
        MigrationPlan,
        MigrationStep,
        migrate,
        plan_migration,
    )
    from crmcore.services.transaction import Transaction

__all__ = [
    "ANY",
    "ERASED",
    "HOUR",
    "PREVIOUS",
    "Accepted",
    "Answer",
    "AtLeast",
    "AtMost",
    "Broadcast",
    "Calendar",
    "Cap",
    "Certificate",
    "Channel",
    "Clock",
    "Consent",
    "Content",
    "Context",
    "Crm",
    "CrmError",
    "Curve",
    "Customer",
    "CustomerAsked",
    "CustomerErased",
    "CustomerExported",
    "CustomersRecompute",
    "Deferred",
    "DeliveriesChanged",
    "Delivery",
    "DeliveryChanged",
    "Desk",
    "Draft",
    "Edge",
    "Erased",
    "Erasure",
    "ErasurePlan",
    "ExchangeRateWanted",
    "Exported",
    "Facts",
    "Failed",
    "Fold",
    "GateSettings",
    "Grant",
    "Hold",
    "Holdout",
    "Identifier",
    "IdentitySettings",
    "Interaction",
    "InteractionDrafted",
    "InteractionsRecorded",
    "Joinable",
    "JournalEntry",
    "Keep",
    "Kind",
    "LegalHold",
    "Lifecycle",
    "Line",
    "Measured",
    "MeasuredColumn",
    "Merge",
    "Message",
    "MessageClaimed",
    "MessageDraft",
    "MessagesClaimed",
    "MessagesProposed",
    "MigrationPlan",
    "MigrationStep",
    "Money",
    "NamedSegment",
    "Outcome",
    "Plugin",
    "PluginNoted",
    "PluginTable",
    "QuietHours",
    "Refuse",
    "RelationshipSettings",
    "Report",
    "ReportResult",
    "RetentionSettings",
    "Role",
    "RowRule",
    "Scheme",
    "Segment",
    "SegmentError",
    "Snapshot",
    "SnapshotManifest",
    "SnapshotTable",
    "Staff",
    "Stage",
    "StageChangeProposed",
    "StageChanged",
    "StagesChanged",
    "Started",
    "Stopping",
    "SystemClock",
    "Task",
    "TaskDraft",
    "Timer",
    "TimersDue",
    "Trait",
    "Transaction",
    "Unknown",
    "Unmerged",
    "Verdict",
    "VirtualClock",
    "Withheld",
    "Worker",
    "choice",
    "hookimpl",
    "include_name",
    "include_object",
    "migrate",
    "normalise",
    "payload_text",
    "payload_truth",
    "payload_whole",
    "personal",
    "plan_migration",
    "to_datetime",
    "to_instant",
    "whole",
]

# Names are found when they are first used, so that `crm --help` need not import a database.
_HOMES: dict[str, tuple[str, ...]] = {
    "crmcore.app": ("Crm",),
    "crmcore.app.desk": ("Desk",),
    "crmcore.domain.clock": (
        "Calendar",
        "Clock",
        "SystemClock",
        "VirtualClock",
        "to_datetime",
        "to_instant",
    ),
    "crmcore.domain.customer": ("Customer",),
    "crmcore.domain.gate": (
        "Answer",
        "Cap",
        "GateSettings",
        "Holdout",
    ),
    "crmcore.domain.quiet": ("QuietHours",),
    "crmcore.services.messaging.standings": ("Consent",),
    "crmcore.services.messaging.withholding": ("Withheld",),
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
    "crmcore.domain.message": (
        "Accepted",
        "Broadcast",
        "Channel",
        "Content",
        "Deferred",
        "Delivery",
        "Failed",
        "Message",
        "MessageDraft",
        "Outcome",
        "Unknown",
    ),
    "crmcore.domain.money": ("Money",),
    "crmcore.domain.privacy": (
        "Certificate",
        "ErasurePlan",
        "Exported",
        "JournalEntry",
        "LegalHold",
    ),
    "crmcore.domain.relationship": ("RelationshipSettings",),
    "crmcore.domain.retention": ("RetentionSettings",),
    "crmcore.domain.role": (
        "Grant",
        "Role",
        "RowRule",
        "Staff",
    ),
    "crmcore.domain.task": (
        "Task",
        "TaskDraft",
    ),
    "crmcore.domain.timer": (
        "HOUR",
        "Timer",
    ),
    "crmcore.domain.segments.measured": (
        "Measured",
        "MeasuredColumn",
    ),
    "crmcore.domain.segments.segment": ("Segment",),
    "crmcore.domain.snapshot": (
        "PluginNoted",
        "SnapshotManifest",
        "SnapshotTable",
    ),
    "crmcore.domain.structuring": (
        "ERASED",
        "Erased",
    ),
    "crmcore.domain.trait": ("Trait",),
    "crmcore.errors": (
        "CrmError",
        "SegmentError",
    ),
    "crmcore.hooks": (
        "Context",
        "Curve",
        "CustomerAsked",
        "CustomerErased",
        "CustomerExported",
        "CustomersRecompute",
        "DeliveriesChanged",
        "DeliveryChanged",
        "Erasure",
        "ExchangeRateWanted",
        "Facts",
        "Fold",
        "Hold",
        "InteractionDrafted",
        "InteractionsRecorded",
        "Keep",
        "MessageClaimed",
        "MessagesClaimed",
        "MessagesProposed",
        "NamedSegment",
        "Plugin",
        "PluginTable",
        "Refuse",
        "Report",
        "ReportResult",
        "StageChangeProposed",
        "StageChanged",
        "StagesChanged",
        "Started",
        "Stopping",
        "TimersDue",
        "choice",
        "hookimpl",
        "payload_text",
        "payload_truth",
        "payload_whole",
        "whole",
    ),
    "crmcore.persistence.borrowed": ("Joinable",),
    "crmcore.persistence.autogenerate": (
        "include_name",
        "include_object",
    ),
    "crmcore.services.starting.migrations": (
        "MigrationPlan",
        "MigrationStep",
        "migrate",
        "plan_migration",
    ),
    "crmcore.services.merging.merging": (
        "Merge",
        "Unmerged",
    ),
    "crmcore.services.segments.why": ("Verdict",),
    "crmcore.services.snapshots.snapshot": ("Snapshot",),
    "crmcore.services.transaction": ("Transaction",),
    "crmcore.services.background.worker": ("Worker",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
