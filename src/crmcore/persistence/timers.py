"""The table of timers."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Index, PrimaryKeyConstraint, Table
from sqlalchemy import text as sql

from crmcore.persistence.schema import metadata, text, whole

NOBODY: Final = 0
"""Stands for the customer of a timer that is the whole shop's; ids of customers start at 1."""

timer = Table(
    "crm_timer",
    metadata,
    text("plugin"),
    text("timer_key"),
    whole("customer_id"),
    whole("due_at"),  # what it was set for
    whole("run_at"),  # when it is tried next: later than due_at after a failure
    whole("attempt"),
    whole("parked_at", nullable=True),
    text("catch_up", server_default="late"),
    # After this instant a timer that catches up by skipping is not acted upon.
    whole("skip_after", nullable=True),
    PrimaryKeyConstraint("plugin", "timer_key", "customer_id"),
    Index(
        "crm_timer_run",
        "plugin",
        "run_at",
        sqlite_where=sql("parked_at IS NULL"),
        postgresql_where=sql("parked_at IS NULL"),
    ),
    sqlite_with_rowid=False,
)
