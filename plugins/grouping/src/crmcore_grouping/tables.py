"""The tables of grouping: who is in which group, and was; both follow from what was decided."""

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

member = Table(
    "crm_grouping_member",
    metadata,
    Column("customer_id", Whole, nullable=False),
    Column("group_name", Words, nullable=False),
    Column("since", Whole, nullable=False),
    Column("caused_by", Whole),
    PrimaryKeyConstraint("customer_id", "group_name"),
    Index("crm_grouping_member_group", "group_name", "customer_id"),
    sqlite_with_rowid=False,
)
"""One row for each customer and group they are in."""

history = Table(
    "crm_grouping_history",
    metadata,
    Column("customer_id", Whole, nullable=False),
    Column("group_name", Words, nullable=False),
    Column("from_instant", Whole, nullable=False),
    Column("to_instant", Whole),  # NULL while it lasts; not a member at that instant any more
    Column("caused_by", Whole),
    PrimaryKeyConstraint("customer_id", "group_name", "from_instant"),
    Index("crm_grouping_history_group", "group_name", "from_instant"),
    sqlite_with_rowid=False,
)
"""One row for each time that a customer was in a group."""

look = Table(
    "crm_grouping_look",
    metadata,
    Column("customer_id", Whole, primary_key=True, autoincrement=False),
    Column("looked_at", Whole, nullable=False),
    Column("flips_at", Whole),  # the fixed instant at which time alone may change a group
)
"""How far each customer has been looked at, which nothing that is decided tells."""

TABLES: Final = (
    *(
        PluginTable(table, derived=True, merge="recompute", erase="delete")
        for table in (member, history)
    ),
    PluginTable(look, derived=False, merge="move", erase="delete"),
)
