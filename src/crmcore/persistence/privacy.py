"""Tables of who looked at whom, and of whom the shop has forgotten."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Index, PrimaryKeyConstraint, Table

from crmcore.persistence.schema import ids, metadata, text, whole

access_ids: Final = ids("access")
erasure_ids: Final = ids("erasure")

access = Table(
    "crm_access",
    metadata,
    whole("access_id", primary_key=True, autoincrement=False),
    whole("recorded_at"),
    text("actor"),
    text("role"),
    text("action"),  # see crmcore.domain.role
    text("outcome"),  # allowed or refused
    whole("customer_id"),  # 0: nobody in particular
    # Whom it was about then; a merge leaves it, so that it can be undone.
    whole("recorded_for"),
    text("fields"),  # names only, never values
    text("reason", nullable=True),
    Index("crm_access_customer", "customer_id", "recorded_at"),
    Index("crm_access_actor", "actor", "recorded_at"),
)

# What stays of an erasure: that it happened, and by keyed hashes whom it has to be done to again
# where an older backup brings them back.
erasure = Table(
    "crm_erasure",
    metadata,
    whole("erasure_id", primary_key=True, autoincrement=False),
    whole("customer_id"),
    whole("recorded_at"),
    text("actor", nullable=True),
    text("reason", nullable=True),
    text("points"),  # keyed hashes, as JSON
    text("outcome"),  # what became of each table's rows, as JSON
    whole("verified_at", nullable=True),
    Index("crm_erasure_customer", "customer_id"),
)

# CPU time that plugins took, so that slow ones can be named.
hook_time = Table(
    "crm_hook_time",
    metadata,
    text("plugin"),
    text("hook"),
    whole("calls"),
    whole("items"),
    whole("microseconds"),
    whole("slowest"),
    PrimaryKeyConstraint("plugin", "hook"),
    sqlite_with_rowid=False,
)
