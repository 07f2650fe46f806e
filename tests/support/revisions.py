"""Databases as an older crmcore left them, of either kind."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import Table, insert, inspect, text
from sqlalchemy.engine import make_url

from crmcore.persistence.database import Database
from crmcore.persistence.operations import apply
from crmcore.services.starting.revisions import core_revisions
from tests.support.databases import dsn

DUMP = Path(__file__).parents[1] / "data" / "revision-1.sql"
_MADE_ANEW = ("crm_revision", "crm_plugin_table")


def make_first_revision(url: str) -> None:
    """
    Fill the empty database at *url* with what crmcore made of a small history at revision 1.

    On PostgreSQL, where revision 1 never ran, its rows are put into the tables of that revision,
    but for those of the plugin.
    """
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(str(make_url(url).database))) as connection:
            connection.executescript(DUMP.read_text(encoding="utf-8"))
        return
    make_empty(url, upto=1)
    with closing(sqlite3.connect(":memory:")) as source, psycopg.connect(dsn(url)) as server:
        source.executescript(DUMP.read_text(encoding="utf-8"))
        names = "SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'crm_%'"
        for (table,) in source.execute(names).fetchall():
            if table in _MADE_ANEW or table.startswith("crm_notebook_"):
                continue
            rows = source.execute(f"SELECT * FROM {table}")
            columns = [column[0] for column in rows.description]
            values = ", ".join(["%s"] * len(columns))
            for row in rows:
                server.execute(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({values})", row)
        server.execute("INSERT INTO crm_revision VALUES ('crmcore', 1, 'of its tables', 1)")


def make_empty(url: str, *, upto: int | None = None) -> None:
    """Run the core's revisions on an empty database, up to one of them; the ledger stays empty."""
    database = Database(url)
    for revision in core_revisions()[:upto]:
        with database.begin() as connection:
            apply(connection, revision)
    database.close()


@contextmanager
def opened(url: str) -> Iterator[Any]:
    """Open a SQLAlchemy connection to *url*, in a transaction that is committed."""
    database = Database(url)
    try:
        with database.begin() as connection:
            yield connection.sqlalchemy
    finally:
        database.close()


def contents(url: str) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of every table, by its name, in some fixed order."""
    with opened(url) as connection:
        return {
            name: sorted(
                (dict(row._mapping) for row in connection.execute(text(f"SELECT * FROM {name}"))),
                key=repr,
            )
            for name in inspect(connection).get_table_names()
        }


def add_rows(url: str, table: Table, *rows: dict[str, Any]) -> None:
    with opened(url) as connection:
        connection.execute(insert(table), list(rows))
