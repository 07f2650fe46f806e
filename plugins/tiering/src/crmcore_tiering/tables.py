"""The tables of tiering. All follow from the ledger: from orders, and from tiers decided."""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Subquery,
    Table,
    Text,
    func,
    select,
)

from crmcore import PluginTable

metadata = MetaData()

# SQLite converts values of columns declared otherwise on connections that ask for it.
Whole: Final = BigInteger().with_variant(Integer(), "sqlite")

# Compared byte by byte on PostgreSQL too, so that no tier depends on the database's collation.
Words: Final = Text().with_variant(Text(collation="C"), "postgresql")

total = Table(
    "crm_tiering_total",
    metadata,
    Column("customer_id", Whole, primary_key=True, autoincrement=False),
    Column("orders", Whole, nullable=False),  # placed less cancelled
    Column("net_minor", Whole, nullable=False),  # less refunds and cancellations
    Column("first_order_at", Whole),  # NULL: money moved, but no order was ever placed
    Column("last_order_at", Whole),
)

tier = Table(
    "crm_tiering_tier",
    metadata,
    Column("customer_id", Whole, primary_key=True, autoincrement=False),
    Column("tier", Words, nullable=False),
    Column("since", Whole, nullable=False),
    Column("scheme", Words, nullable=False),
    Column("position", Whole, nullable=False),  # when it was given; see TierChanged
    Column("place", Whole, nullable=False),  # among the shop's tiers: 0 is the best
    Column("override_key", Words),  # the source's key, where staff gave it
    Column("caused_by", Whole),
)

tier_change = Table(
    "crm_tiering_tier_change",
    metadata,
    Column("customer_id", Whole, nullable=False),
    Column("since", Whole, nullable=False),
    Column("tier", Words, nullable=False),
    Column("from_tier", Words, nullable=False),
    Column("scheme", Words, nullable=False),
    Column("position", Whole, nullable=False),
    Column("place", Whole, nullable=False),
    Column("override_key", Words),
    Column("a_from_minor", Whole),
    Column("b_from_minor", Whole),
    Column("more_from_minor", Words),  # of further tiers: a list as JSON
    Column("caused_by", Whole),
    PrimaryKeyConstraint("customer_id", "since"),
    Index("crm_tiering_tier_change_since", "since", "customer_id"),
    sqlite_with_rowid=False,
)

override = Table(
    "crm_tiering_override",
    metadata,
    Column("customer_id", Whole, primary_key=True, autoincrement=False),
    Column("since", Whole, nullable=False),
    Column("tier", Words),  # NULL: it was ended before its time
    Column("until_day", Words),  # the last day it is for, as ISO text
    Column("owner", Words),
    Column("override_key", Words),
    Column("caused_by", Whole),
)

warning = Table(
    "crm_tiering_warning",
    metadata,
    Column("customer_id", Whole, primary_key=True, autoincrement=False),
    Column("since", Whole, nullable=False),
    Column("is_open", Whole, nullable=False),  # 0: the tier was kept
    Column("tier", Words, nullable=False),
    Column("due_at", Whole, nullable=False),
    Column("gap_minor", Whole),  # NULL: money alone does not keep the tier
)


def _history() -> Subquery:
    # When a tier ends is not stored: it is when the next begins, whatever order they came in.
    ends = func.lead(tier_change.c.since).over(
        partition_by=tier_change.c.customer_id, order_by=tier_change.c.since
    )
    return select(
        tier_change.c.customer_id,
        tier_change.c.tier.label("value"),
        tier_change.c.since.label("from_instant"),
        ends.label("to_instant"),
        tier_change.c.caused_by,
    ).subquery("crm_tiering_tier_history")


tier_history: Final = _history()
"""One row per tier a customer ever had, with when it began and ended (NULL while it lasts)."""

TABLES: Final = tuple(
    PluginTable(table, derived=True, merge="recompute", erase="delete", personal=())
    for table in (total, tier, tier_change, override, warning)
)
