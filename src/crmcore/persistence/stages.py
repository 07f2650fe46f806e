"""Tables of lifecycles: where each customer stands, and how they came there. Both are derived."""

from __future__ import annotations

from sqlalchemy import Index, PrimaryKeyConstraint, Table
from sqlalchemy import text as sql

from crmcore.persistence.schema import metadata, text, whole

stage = Table(
    "crm_stage",
    metadata,
    whole("customer_id"),
    text("lifecycle"),
    text("subject"),
    text("stage"),
    whole("entered_at", nullable=True),
    text("before_phase", nullable=True),
    text("reason", nullable=True),
    whole("caused_by", nullable=True),
    text("counts"),
    # The order of the last fact folded: an earlier one makes the customer be folded anew.
    whole("last_at"),
    whole("last_rank"),
    text("last_source"),
    text("last_source_key"),
    whole("last_interaction_id"),
    whole("changes"),
    whole("next_at", nullable=True),
    # The stage that automation was last told of. A rebuild leaves it.
    text("announced"),
    PrimaryKeyConstraint("customer_id", "lifecycle", "subject"),
    Index(
        "crm_stage_next",
        "next_at",
        sqlite_where=sql("next_at IS NOT NULL"),
        postgresql_where=sql("next_at IS NOT NULL"),
    ),
    sqlite_with_rowid=False,
)

change = Table(
    "crm_stage_change",
    metadata,
    whole("customer_id"),
    text("lifecycle"),
    text("subject"),
    whole("step"),
    text("from_stage"),
    text("to_stage"),
    whole("effective_at"),
    whole("recorded_at"),
    text("reason"),
    whole("caused_by", nullable=True),
    text("evidence"),
    PrimaryKeyConstraint("customer_id", "lifecycle", "subject", "step"),
    sqlite_with_rowid=False,
)
