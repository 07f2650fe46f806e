"""Tables of what the shop wants to say, to whom, and what became of it."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Index, PrimaryKeyConstraint, Table, UniqueConstraint
from sqlalchemy import text as sql

from crmcore.persistence.schema import ids, metadata, text, whole

message_ids: Final = ids("message")

_WAITING: Final = "state IN ('planned', 'deferred')"
_LEASED: Final = "state IN ('claimed', 'handed')"

message = Table(
    "crm_message",
    metadata,
    whole("message_id", primary_key=True, autoincrement=False),
    whole("customer_id"),
    # Whom it was planned for; a merge leaves it.
    whole("recorded_for"),
    text("plugin"),  # whose it is; empty: the shop's own
    text("message_key"),
    text("purpose"),
    text("channel"),
    whole("asks"),  # 1 where it asks the customer for something
    whole("priority"),
    text("state"),
    # Why it is withheld, waits, or failed: the gate that said so, and what it said.
    text("gate", nullable=True),
    text("reason", nullable=True),
    whole("planned_at"),
    whole("not_before"),
    # What was asked for, where gates have put it off since; NULL: when it was planned.
    whole("earliest", nullable=True),
    whole("not_after", nullable=True),
    text("point", nullable=True),  # the keyed hash of where it goes
    whole("attempt"),
    text("lease", nullable=True),
    whole("leased_until", nullable=True),
    whole("handed_at", nullable=True),
    whole("settled_at", nullable=True),
    text("provider_reference", nullable=True),
    whole("caused_by", nullable=True),
    text("content", nullable=True),  # personal: an erasure empties it
    UniqueConstraint("customer_id", "plugin", "message_key", "recorded_for"),
    # When something is to be claimed next; and what of it first.
    Index(
        "crm_message_waiting",
        "channel",
        "not_before",
        sqlite_where=sql(_WAITING),
        postgresql_where=sql(_WAITING),
    ),
    Index(
        "crm_message_order",
        "channel",
        sql("priority DESC"),
        "message_id",
        sqlite_where=sql(_WAITING),
        postgresql_where=sql(_WAITING),
    ),
    Index(
        "crm_message_leased",
        "leased_until",
        sqlite_where=sql(_LEASED),
        postgresql_where=sql(_LEASED),
    ),
    Index("crm_message_customer", "customer_id", "handed_at"),
    Index("crm_message_key", "message_key", "plugin"),
)

# What was planned for many at once: its audience is counted then, and never again.
broadcast = Table(
    "crm_broadcast",
    metadata,
    text("plugin"),
    text("message_key"),
    text("purpose"),
    text("channel"),
    whole("audience"),
    whole("planned_at"),
    whole("stopped_at", nullable=True),
    text("actor", nullable=True),
    text("content"),
    whole("paused_at", nullable=True),
    PrimaryKeyConstraint("plugin", "message_key"),
    sqlite_with_rowid=False,
)

# Committed before a provider is called, so that nothing is handed over without a trace.
attempt = Table(
    "crm_attempt",
    metadata,
    whole("message_id"),
    whole("attempt"),
    whole("customer_id"),
    text("idempotency_key"),
    whole("handed_at"),
    whole("settled_at", nullable=True),
    text("outcome", nullable=True),  # accepted, deferred, failed or unknown
    text("detail", nullable=True),
    text("provider_reference", nullable=True),
    PrimaryKeyConstraint("message_id", "attempt", "customer_id"),
    sqlite_with_rowid=False,
)
