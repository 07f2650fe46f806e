"""Tables of the ledger: interactions, their lines, and the keys by which each is recorded once."""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    DDL,
    ColumnElement,
    Index,
    PrimaryKeyConstraint,
    Table,
    event,
    func,
    literal_column,
)

from crmcore.domain.shadow import SHADOW
from crmcore.persistence.schema import ids, metadata, text, whole

interaction_ids: Final = ids("interaction")

interaction = Table(
    "crm_interaction",
    metadata,
    whole("interaction_id", primary_key=True, autoincrement=False),
    text("kind"),
    whole("kind_version"),
    whole("customer_id"),
    whole("recorded_for"),
    whole("occurred_at"),
    whole("recorded_at"),
    text("origin"),
    text("source"),
    text("source_key", nullable=True),
    text("channel", nullable=True),
    text("actor", nullable=True),
    text("subject", nullable=True),
    text("thread", nullable=True),
    text("touch", nullable=True),
    whole("amount_minor", nullable=True),
    text("currency", nullable=True),
    whole("amount_base_minor", nullable=True),
    whole("caused_by", nullable=True),
    text("payload"),
    text("personal", nullable=True),
    Index("crm_interaction_customer", "customer_id", "occurred_at"),
)

# By transaction and id: the order of commits, for cursors that must not skip a late one. On
# SQLite ids are given under the write lock, so they are that order.
for statement in (
    "ALTER TABLE crm_interaction ADD COLUMN xid xid8 NOT NULL DEFAULT pg_current_xact_id()",
    "CREATE INDEX crm_interaction_commit ON crm_interaction (xid, interaction_id)",
    "CREATE INDEX crm_interaction_recorded ON crm_interaction USING brin (recorded_at)",
):
    on_postgresql = DDL(statement).execute_if(dialect="postgresql")  # type: ignore[no-untyped-call]
    event.listen(interaction, "after_create", on_postgresql)

line = Table(
    "crm_line",
    metadata,
    whole("interaction_id"),
    whole("line_number"),
    whole("customer_id"),
    text("line_key", nullable=True),
    text("undoes", nullable=True),
    text("product"),
    text("variant", nullable=True),
    text("category", nullable=True),
    whole("sign"),
    whole("quantity"),
    whole("amount_minor"),
    whole("amount_base_minor", nullable=True),
    whole("cost_minor", nullable=True),
    PrimaryKeyConstraint("interaction_id", "line_number", "customer_id"),
    sqlite_with_rowid=False,
)

dedupe = Table(
    "crm_dedupe",
    metadata,
    text("source"),
    text("source_key"),
    whole("interaction_id"),
    PrimaryKeyConstraint("source", "source_key"),
    sqlite_with_rowid=False,
)

in_shadow: Final[ColumnElement[bool]] = func.substr(
    interaction.c.source, literal_column("1"), literal_column(str(len(SHADOW)))
) == literal_column(f"'{SHADOW}'")
"""Whether a plugin in shadow decided it: then nobody acts on it."""
