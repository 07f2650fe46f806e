"""What the tables of a database are, as the database's own catalogue tells it."""

from __future__ import annotations

import re
import sqlite3
from typing import Any

import psycopg
from sqlalchemy.engine import make_url

from tests.support.databases import dsn


def schema(url: str) -> dict[str, Any]:
    """Return tables, their columns in any order, with types, defaults, keys and indexes."""
    if url.startswith("sqlite"):
        with sqlite3.connect(str(make_url(url).database)) as connection:
            found = _of_sqlite(connection)
        connection.close()
        return found
    with psycopg.connect(dsn(url)) as server:
        return _of_postgresql(server)


def _of_sqlite(connection: sqlite3.Connection) -> dict[str, Any]:
    found: dict[str, Any] = {}
    listed = connection.execute("PRAGMA table_list").fetchall()
    for _, name, kind, _, without_rowid, strict in listed:
        if kind == "table" and not name.startswith("sqlite_"):
            columns = connection.execute(f"PRAGMA table_xinfo({name})").fetchall()
            found[f"table {name}"] = (
                without_rowid,
                strict,
                sorted(column[1:] for column in columns),
                sorted(connection.execute(f"PRAGMA foreign_key_list({name})").fetchall()),
            )
    rows = "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE type <> 'table'"
    for kind, name, table, sql in connection.execute(rows):
        found[f"{kind} {name}"] = (table, " ".join((sql or "").split()))
    return found


_COLUMNS = """
    SELECT table_name, column_name, udt_name, is_nullable, column_default, collation_name,
           is_identity
    FROM information_schema.columns WHERE table_schema = current_schema()
"""
_INDEXES = (
    "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = current_schema()"
)
_KEYS = """
    SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
    WHERE connamespace = current_schema()::regnamespace
"""
_SEQUENCES = """
    SELECT sequencename, data_type::text, start_value, min_value, max_value, increment_by, cycle,
           cache_size
    FROM pg_sequences WHERE schemaname = current_schema()
"""
_RELATIONS = """
    SELECT relname, relkind::text, relpersistence::text, relispartition FROM pg_class
    WHERE relnamespace = current_schema()::regnamespace
"""


def _of_postgresql(server: psycopg.Connection[Any]) -> dict[str, Any]:
    (name,) = server.execute("SELECT current_schema()").fetchone() or ("",)
    found = {}
    for what, query in (
        ("columns", _COLUMNS),
        ("indexes", _INDEXES),
        ("keys", _KEYS),
        ("sequences", _SEQUENCES),
        ("relations", _RELATIONS),
    ):
        rows = server.execute(query).fetchall()
        found[what] = sorted(re.sub(rf"\b{name}\.", "", repr(row)) for row in rows)
    return found
