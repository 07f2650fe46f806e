"""The tables of the plugin: who asked for mail and is to confirm it, and what came back."""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
)

from crmcore import PluginTable

metadata = MetaData()

# SQLite converts values of columns declared otherwise on connections that ask for it.
Whole: Final = BigInteger().with_variant(Integer(), "sqlite")

# Compared byte by byte on PostgreSQL too, so that nothing depends on the database's collation.
Words: Final = Text().with_variant(Text(collation="C"), "postgresql")

# The ledger tells who asked for what; not from where, nor how often in the last hour.
request = Table(
    "crm_email_link_request",
    metadata,
    Column("customer_id", Whole, nullable=False),
    Column("point", Words, nullable=False),  # the keyed hash of the address
    Column("purpose", Words, nullable=False),
    Column("requested_at", Whole, nullable=False),
    Column("expires_at", Whole, nullable=False),
    Column("mail_domain", Words, nullable=False),  # of the address
    Column("source", Words, nullable=False),  # who asked, as the page saw it; empty: not said
    PrimaryKeyConstraint("customer_id", "point", "purpose"),
    # Limits of a domain and of a source are counted over the last while.
    Index("crm_email_link_request_domain", "mail_domain", "requested_at"),
    Index("crm_email_link_request_source", "source", "requested_at"),
    Index("crm_email_link_request_expiry", "expires_at"),
    sqlite_with_rowid=False,
)

# The ledger tells what it was taken for; not what it said.
received = Table(
    "crm_email_link_received",
    metadata,
    Column("customer_id", Whole, nullable=False),
    Column("source", Words, nullable=False),  # a provider, or "mail"
    Column("event", Words, nullable=False),  # a hash of what it is known again by
    Column("message_id", Whole, nullable=False),
    Column("received_at", Whole, nullable=False),
    Column("kind", Words, nullable=False),  # what it was taken for when it came
    Column("raw", Words, nullable=False),
    PrimaryKeyConstraint("customer_id", "source", "event"),
    Index("crm_email_link_received_message", "message_id"),
    Index("crm_email_link_received_age", "received_at"),
)

TABLES: Final = (
    PluginTable(
        request,
        derived=False,
        merge="move",
        erase="delete",
        personal=("point", "mail_domain", "source"),  # type: ignore[arg-type]  # optional(tuple)
    ),
    PluginTable(
        received,
        derived=False,
        merge="move",
        erase="delete",
        personal=("raw",),  # type: ignore[arg-type]  # optional(tuple)
    ),
)
