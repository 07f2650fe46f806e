"""Tables of how far plugins have come with what was committed."""

from __future__ import annotations

from sqlalchemy import PrimaryKeyConstraint, Table

from crmcore.persistence.schema import metadata, text, whole

# A position is a transaction and an id, in the order of commits; on SQLite the transaction is 0.
cursor = Table(
    "crm_cursor",
    metadata,
    text("plugin"),
    text("hook"),
    whole("position_xid"),
    whole("position_id"),
    text("lease", nullable=True),
    whole("leased_until", nullable=True),
    PrimaryKeyConstraint("plugin", "hook"),
    sqlite_with_rowid=False,
)

# A customer whose rows a plugin failed with: they wait from this position on, nobody else does.
backlog = Table(
    "crm_backlog",
    metadata,
    text("plugin"),
    text("hook"),
    whole("customer_id"),
    whole("position_xid"),
    whole("position_id"),
    whole("attempt"),
    whole("run_at"),
    whole("parked_at", nullable=True),
    PrimaryKeyConstraint("plugin", "hook", "customer_id"),
    sqlite_with_rowid=False,
)
