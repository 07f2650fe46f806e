"""All tables of the core, so that whoever makes or checks them misses none."""

from __future__ import annotations

from crmcore.persistence import (
    catalogue,
    cursors,
    customers,
    faults,
    ledger,
    merges,
    stages,
    timers,
)
from crmcore.persistence.schema import metadata

__all__ = [
    "catalogue",
    "cursors",
    "customers",
    "faults",
    "ledger",
    "merges",
    "metadata",
    "stages",
    "timers",
]
