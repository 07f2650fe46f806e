"""The table of what staff are to do for customers."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Index, Table, UniqueConstraint
from sqlalchemy import text as sql

from crmcore.persistence.schema import ids, metadata, text, whole

task_ids: Final = ids("task")

_OPEN: Final = "done_at IS NULL"

task = Table(
    "crm_task",
    metadata,
    whole("task_id", primary_key=True, autoincrement=False),
    whole("customer_id"),
    text("plugin"),  # whose it is; empty: the shop's own
    text("task_key"),
    text("title"),
    text("note", nullable=True),  # personal: an erasure empties it
    text("owner", nullable=True),  # a member of staff, or a team; NULL: nobody's yet
    whole("recorded_at"),
    whole("due_at", nullable=True),
    # When it goes to `escalate_to`; NULL: never, or it has.
    whole("escalate_at", nullable=True),
    text("escalate_to", nullable=True),
    whole("escalated_at", nullable=True),
    whole("done_at", nullable=True),
    text("done_by", nullable=True),
    text("outcome", nullable=True),  # done, or dropped
    text("reason", nullable=True),
    whole("caused_by", nullable=True),
    UniqueConstraint("plugin", "task_key", "customer_id"),
    Index("crm_task_customer", "customer_id"),
    Index(
        "crm_task_owner",
        "owner",
        "due_at",
        sqlite_where=sql(_OPEN),
        postgresql_where=sql(_OPEN),
    ),
    Index(
        "crm_task_escalate",
        "escalate_at",
        sqlite_where=sql("escalate_at IS NOT NULL"),
        postgresql_where=sql("escalate_at IS NOT NULL"),
    ),
)
