"""All tables of the core, so that whoever makes or checks them misses none."""

from __future__ import annotations

from crmcore.persistence import (
    catalogue,
    consent,
    cursors,
    customers,
    faults,
    ledger,
    merges,
    messages,
    privacy,
    stages,
    tasks,
    timers,
)
from crmcore.persistence.schema import metadata

__all__ = [
    "catalogue",
    "consent",
    "cursors",
    "customers",
    "faults",
    "ledger",
    "merges",
    "messages",
    "metadata",
    "privacy",
    "stages",
    "tasks",
    "timers",
]
