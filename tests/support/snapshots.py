"""Snapshots: what tests of them share."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Float,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    Table,
    Text,
    select,
)

from crmcore import Crm, PluginTable, VirtualClock
from crmcore.persistence.catalogue import setting
from tests.support.databases import shop_file
from tests.support.histories import START, instant
from tests.support.making import plugin as made

Whole = BigInteger().with_variant(Integer(), "sqlite")
HIGHEST = 2**63 - 1


def thing(**options: Any) -> tuple[Table, Any]:
    """Return a table with a column of each sort, and the plugin that keeps it."""
    table = Table(
        "crm_things_thing",
        MetaData(),
        Column("customer_id", Whole, primary_key=True, autoincrement=False),
        Column("whole", Whole),
        Column("words", Text),
        Column("is_so", Boolean),
        Column("ratio", Float),
        Column("price", Numeric(12, 2)),
        Column("picture", LargeBinary),
        Column("said_at", DateTime),
        Column("born_on", Date),
        Column("notes", JSON),
    )
    kept = PluginTable(table, derived=False, merge="move", erase="delete", **options)
    return table, made("things", tables=(kept,))


def rows_of(crm: Crm, table: Table) -> list[tuple[Any, ...]]:
    """Return a table's rows as SQLAlchemy reads them, but for the database's secret."""
    asked = select(*table.columns)
    if table is setting:
        asked = asked.where(setting.c.setting != "secret")
    with crm.runtime.database.engine.connect() as connection:
        return sorted(map(tuple, connection.execute(asked)), key=repr)


def open_crm(folder: Path, *plugins: Any) -> Crm:
    return Crm(
        shop_file(folder), plugins=plugins, clock=VirtualClock(instant(START)), durable=False
    )


@contextmanager
def asked(path: Path):
    """Open the files as anybody would, without crmcore; gives a function that asks them."""
    with duckdb.connect(":memory:") as duck:
        yield lambda name, what="*": duck.sql(f"SELECT {what} FROM '{path}/{name}.parquet'")
