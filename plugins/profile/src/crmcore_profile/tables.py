"""The tables of profile. All follow from the ledger, whatever the settings are."""

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

# Compared byte by byte on PostgreSQL too, so that no order depends on the database's collation.
Words: Final = Text().with_variant(Text(collation="C"), "postgresql")

statement = Table(
    "crm_profile_statement",
    metadata,
    Column("customer_id", Whole, nullable=False),
    Column("interaction_id", Whole, nullable=False),
    Column("attribute", Words, nullable=False),
    Column("origin", Words, nullable=False),  # declared, observed, inferred or withdrawn
    Column("value", Words, nullable=False),  # empty: all values are taken back
    Column("confidence", Whole, nullable=False),  # percent
    Column("as_of", Whole, nullable=False),
    Column("stated_at", Whole, nullable=False),
    Column("source", Words, nullable=False),
    Column("source_key", Words),
    PrimaryKeyConstraint("customer_id", "interaction_id"),
    Index("crm_profile_statement_attribute", "attribute", "customer_id"),
    sqlite_with_rowid=False,
)

question = Table(
    "crm_profile_question",
    metadata,
    Column("customer_id", Whole, nullable=False),
    Column("attribute", Words, nullable=False),  # empty: somebody asked something else
    Column("times", Whole, nullable=False),
    Column("asked_at", Whole, nullable=False),  # the last time
    Column("told_at", Whole),  # the last time other than by a message
    PrimaryKeyConstraint("customer_id", "attribute"),
    sqlite_with_rowid=False,
)

contribution = Table(
    "crm_profile_contribution",
    metadata,
    Column("customer_id", Whole, nullable=False),
    Column("subject", Words, nullable=False),  # empty: what belongs to none
    Column("net_minor", Whole, nullable=False),  # less refunds and cancellations
    Column("cost_minor", Whole, nullable=False),  # of lines, less what came back
    Column("orders", Whole, nullable=False),
    Column("first_order_at", Whole),
    Column("last_order_at", Whole),
    Column("dropped", Whole, nullable=False),  # cancelled as a whole
    Column("shipments", Whole, nullable=False),
    Column("returns", Whole, nullable=False),
    Column("cases", Whole, nullable=False),
    Column("call_seconds", Whole, nullable=False),
    PrimaryKeyConstraint("customer_id", "subject"),
    sqlite_with_rowid=False,
)

channel = Table(
    "crm_profile_channel",
    metadata,
    Column("customer_id", Whole, nullable=False),
    Column("channel", Words, nullable=False),
    Column("week", Whole, nullable=False),  # since 1900-01-01
    Column("contacts", Whole, nullable=False),
    PrimaryKeyConstraint("customer_id", "channel", "week"),
    sqlite_with_rowid=False,
)

hour = Table(
    "crm_profile_hour",
    metadata,
    Column("customer_id", Whole, nullable=False),
    Column("hour_of_day", Whole, nullable=False),  # 0 to 23, in the shop's zone
    Column("contacts", Whole, nullable=False),
    PrimaryKeyConstraint("customer_id", "hour_of_day"),
    sqlite_with_rowid=False,
)

category = Table(
    "crm_profile_category",
    metadata,
    Column("customer_id", Whole, nullable=False),
    Column("category", Words, nullable=False),  # empty: of lines without one
    Column("net_minor", Whole, nullable=False),
    PrimaryKeyConstraint("customer_id", "category"),
    sqlite_with_rowid=False,
)

TABLES: Final = tuple(
    PluginTable(table, derived=True, merge="recompute", erase="delete")
    for table in (statement, question, contribution, channel, hour, category)
)
