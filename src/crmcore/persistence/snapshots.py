"""Reading whole tables for a snapshot: what there is, and its rows, a part of them at a time."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final

from sqlalchemy import MetaData, Table, select
from sqlalchemy.exc import DBAPIError

from crmcore.persistence.catalogue import plugin_table, setting
from crmcore.persistence.connection import Connection, translated
from crmcore.persistence.tables import metadata

SIZE: Final = 5_000  # rows that are in memory as Python has them

_catalogue = select(plugin_table.c.table_name, plugin_table.c.plugin).order_by(
    plugin_table.c.table_name
)


def core_tables() -> list[Table]:
    """Return the core's tables, by name."""
    return [table for _, table in sorted(metadata.tables.items())]


def plugin_tables(connection: Connection) -> dict[str, str]:
    """Return whose the tables of plugins are that are there, be these switched on or not."""
    there = set(connection.inspector.get_table_names())
    return {name: plugin for name, plugin in connection.execute(_catalogue) if name in there}


def reflected(connection: Connection, name: str) -> Table:
    """Return a table that nobody declares any more as the database has it."""
    return Table(name, MetaData(), autoload_with=connection.sqlalchemy, resolve_fks=False)


def read(
    connection: Connection, table: Table, columns: Collection[str]
) -> Iterator[Sequence[Sequence[Any]]]:
    """
    Yield the rows of a table with these *columns*, in lists.

    The server keeps what was not asked for yet: a cursor of the driver's own would fetch all.
    """
    rows = select(*(table.c[name] for name in columns))
    if table is setting:
        # Whoever has it can tell whom a keyed hash is of.
        rows = rows.where(setting.c.setting != "secret")
    try:
        found = connection.sqlalchemy.execute(rows.execution_options(yield_per=SIZE))
        with found:
            yield from found.partitions()
    except DBAPIError as error:
        raise translated(error.orig or error, str(rows)) from error
