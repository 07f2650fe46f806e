"""Tables of tracking: what customers said of it, and what was opened and followed."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, Index, PrimaryKeyConstraint, Table

from crmcore import PluginTable
from crmcore_email_link.tables import Whole, Words, metadata

# Every word of it, so that it can be told for any instant who was tracked then.
said = Table(
    "crm_email_link_tracking",
    metadata,
    Column("customer_id", Whole, nullable=False),
    Column("at", Whole, nullable=False),
    Column("is_allowed", Whole, nullable=False),  # 0: they said no
    PrimaryKeyConstraint("customer_id", "at", "is_allowed"),
    sqlite_with_rowid=False,
)

# All of it is key: what is told twice is one row, and no order of arrival matters.
hit = Table(
    "crm_email_link_hit",
    metadata,
    Column("customer_id", Whole, nullable=False),
    Column("plugin", Words, nullable=False),  # whose message it was; empty: the shop's own
    Column("message_key", Words, nullable=False),
    Column("what", Words, nullable=False),  # opened or clicked
    Column("at", Whole, nullable=False),
    Column("place", Whole, nullable=False),  # of the link within its mail; 0: not known, or none
    Column("links", Whole, nullable=False),  # how many there are
    Column("seen_as", Words, nullable=False),  # what the request alone told
    Column("link", Words, nullable=False),
    PrimaryKeyConstraint(
        "customer_id",
        "plugin",
        "message_key",
        "what",
        "at",
        "place",
        "links",
        "seen_as",
        "link",
    ),
    Index("crm_email_link_hit_message", "message_key", "plugin", "customer_id"),
    sqlite_with_rowid=False,
)

TRACKING_TABLES: Final = (
    PluginTable(said, derived=True, merge="recompute", erase="delete", personal=()),
    PluginTable(hit, derived=True, merge="recompute", erase="delete", personal=()),
)
