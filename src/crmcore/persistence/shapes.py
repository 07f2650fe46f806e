"""What the tables of a database look like, so that one can tell whether any has changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Table, inspect, text
from sqlalchemy.types import TypeEngine

from crmcore.persistence.connection import Connection

Shapes = Mapping[str, frozenset[str]]

_ON_SQLITE: Final = text("SELECT tbl_name, sql FROM sqlite_master WHERE sql IS NOT NULL")
_ON_POSTGRESQL: Final = text(
    "SELECT table_name, column_name || ' ' || data_type || ' ' || is_nullable || ' ' "
    "|| coalesce(column_default, '') FROM information_schema.columns "
    "WHERE table_schema = current_schema() "
    "UNION ALL SELECT tablename, indexdef FROM pg_indexes WHERE schemaname = current_schema()"
)


def shapes(connection: Connection) -> Shapes:
    """Return what each table consists of, by its name: columns and indexes, as text."""
    found: dict[str, set[str]] = {}
    statement = _ON_SQLITE if connection.database.portable.is_sqlite else _ON_POSTGRESQL
    for table, part in connection.execute(statement):
        found.setdefault(table, set()).add(part)
    return {table: frozenset(parts) for table, parts in found.items()}


def columns(connection: Connection, table: str) -> Mapping[str, bool]:
    """Return the columns of a table, each with whether it may be empty."""
    found = inspect(connection.sqlalchemy).get_columns(table)
    return {column["name"]: column["nullable"] for column in found}


def differences(connection: Connection, table: Table) -> list[str]:
    """Return in what the columns of a table are declared otherwise than the database has them."""
    there = {each["name"]: each for each in inspect(connection.sqlalchemy).get_columns(table.name)}
    told = []
    for column in table.columns:
        found = there.pop(column.name, None)
        if found is None:
            told.append(f"column {column.name!r} is declared and not there")
            continue
        declared = _told(connection, column.type, nullable=bool(column.nullable))
        present = _told(connection, found["type"], nullable=found["nullable"])
        if declared != present:
            told.append(f"column {column.name!r} is declared {declared} and is {present}")
    return [*told, *(f"column {name!r} is there and not declared" for name in there)]


def _told(connection: Connection, of: TypeEngine[Any], *, nullable: bool) -> str:
    # How text is compared is not told by every database.
    name = of.compile(connection.database.dialect).partition(" COLLATE")[0]
    return name if nullable else f"{name} NOT NULL"
