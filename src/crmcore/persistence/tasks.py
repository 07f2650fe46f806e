"""The table of what staff are to do for customers."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Index, Table, UniqueConstraint
from sqlalchemy import text as sql

from crmcore.persistence.schema import ids, metadata, text, whole

task_ids: Final = ids("task")

_OPEN: Final = "done_at IS NULL"
_ESCALATES: Final = "escalate_at IS NOT NULL AND done_at IS NULL"

task = Table(
    "crm_task",
    metadata,
    whole("task_id", primary_key=True, autoincrement=False),
    whole("customer_id"),
    # Whom it was added for; a merge leaves it, so that it can be undone.
    whole("recorded_for"),
    text("plugin"),  # whose it is; empty: the shop's own
    text("task_key"),
    text("title"),  # personal
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
    # `done`, or what staff say of it; `dropped`; or `merged`: the survivor has one of this key.
    text("outcome", nullable=True),
    text("reason", nullable=True),  # personal
    whole("caused_by", nullable=True),
    whole("step"),  # how many facts there are of it in the ledger
    # Which customer has one of a key is looked up under their lock; a merge may give them two.
    UniqueConstraint("plugin", "task_key", "recorded_for", "customer_id"),
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
        sqlite_where=sql(_ESCALATES),
        postgresql_where=sql(_ESCALATES),
    ),
)
