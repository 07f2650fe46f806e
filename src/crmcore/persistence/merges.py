"""Tables of who turned out to be whom: merges, what they moved, proposals and relations."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Index, PrimaryKeyConstraint, Table

from crmcore.persistence.schema import ids, metadata, text, whole

merge_ids: Final = ids("merge")

merge = Table(
    "crm_merge",
    metadata,
    whole("merge_id", primary_key=True, autoincrement=False),
    whole("survivor_id"),
    whole("merged_id"),
    whole("recorded_at"),
    text("actor", nullable=True),
    text("reason", nullable=True),
    # Rows that the survivor's own stood in the way of, as JSON; they come back when it is undone.
    text("shelved"),
    whole("undone_at", nullable=True),
    text("undone_by", nullable=True),
    Index("crm_merge_survivor", "survivor_id"),
    Index("crm_merge_merged", "merged_id"),
)

# Interactions that a merge gave to its survivor; and those recorded for the survivor while it
# lasted of which nobody can say whose they are.
moved = Table(
    "crm_moved",
    metadata,
    whole("merge_id"),
    whole("interaction_id"),
    whole("customer_id"),
    text("how"),  # moved, or unclear
    PrimaryKeyConstraint("merge_id", "interaction_id", "customer_id"),
    sqlite_with_rowid=False,
)

# Two customers who may be one. The lesser id stands first.
match = Table(
    "crm_match",
    metadata,
    whole("customer_id"),
    whole("other_id"),
    text("status"),  # open, agreed, merged or rejected
    text("evidence"),
    whole("recorded_at"),
    whole("decided_at", nullable=True),
    text("actor", nullable=True),
    PrimaryKeyConstraint("customer_id", "other_id"),
    Index("crm_match_other", "other_id"),
    sqlite_with_rowid=False,
)

relation = Table(
    "crm_relation",
    metadata,
    whole("customer_id"),
    text("relation"),
    whole("other_id"),
    whole("recorded_at"),
    PrimaryKeyConstraint("customer_id", "relation", "other_id"),
    Index("crm_relation_other", "other_id"),
    sqlite_with_rowid=False,
)
