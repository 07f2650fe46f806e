"""Bare: the driver alone, writing rows that are ready, on the same tables with the same pragmas."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import define, field, frozen

from crmcore.persistence.customers import customer, identifier
from crmcore.persistence.database import Database
from crmcore.persistence.ledger import dedupe, interaction, line
from crmcore.persistence.schema import metadata

CORE = (customer, identifier, dedupe, interaction, line)

Rows = Sequence[tuple[Any, ...]]

INSERTS = {
    table.name: f"INSERT INTO {table.name} VALUES ({', '.join('?' * len(table.columns))})"
    for table in CORE
}


@contextmanager
def opened(path: Path, *, durable: bool = False) -> Iterator[sqlite3.Connection]:
    """Hold one connection of the driver to *path*, set up as crmcore sets up its own."""
    database = Database(f"sqlite:///{path}", durable=durable)
    metadata.create_all(database.engine, tables=CORE)
    held = database.engine.raw_connection()
    try:
        connection = held.driver_connection
        if not isinstance(connection, sqlite3.Connection):
            raise TypeError(f"{connection!r} is not a connection of sqlite3")
        yield connection
    finally:
        held.close()
        database.close()


@frozen
class Portion:
    """The core's rows of some interactions, by table, in the order in which they were written."""

    rows: dict[str, Rows]

    @property
    def size(self) -> int:
        return sum(map(len, self.rows.values()))

    @property
    def calls(self) -> int:
        """How many statements `write` runs, those of the transaction included."""
        return 2 + sum(1 for rows in self.rows.values() if rows)

    def only(self, name: str) -> Portion:
        return Portion({name: self.rows[name]})

    def statements(self) -> list[tuple[str, tuple[Any, ...]]]:
        """Return one insert for each row."""
        return [(INSERTS[name], row) for name, rows in self.rows.items() for row in rows]


@define
class Source:
    """A database that crmcore filled, from which portions are taken in order."""

    connection: sqlite3.Connection
    _customer: int = field(default=0, init=False)
    _interaction: int = field(default=0, init=False)

    def take(self, until: int) -> Portion:
        """Return the core's rows of the next interactions, up to the id *until*."""
        fetch = self.connection.execute
        after, self._interaction = self._interaction, until
        (newest,) = fetch(
            "SELECT max(recorded_for) FROM crm_interaction WHERE interaction_id BETWEEN ? AND ?",
            (after + 1, until),
        ).fetchone()
        known, self._customer = self._customer, max(self._customer, newest or 0)
        people, facts = (known + 1, self._customer), (after + 1, until)
        ranges = {
            customer.name: ("customer_id", people, "customer_id"),
            identifier.name: ("customer_id", people, "customer_id, scheme"),
            dedupe.name: ("interaction_id", facts, "interaction_id"),
            interaction.name: ("interaction_id", facts, "interaction_id"),
            line.name: ("interaction_id", facts, "interaction_id, line_number"),
        }
        return Portion(
            {
                name: fetch(
                    f"SELECT * FROM {name} WHERE {key} BETWEEN ? AND ? ORDER BY {order}", ends
                ).fetchall()
                for name, (key, ends, order) in ranges.items()
            }
        )


def write(connection: sqlite3.Connection, portion: Portion) -> None:
    """Write a portion in one transaction, table by table."""
    connection.execute("BEGIN IMMEDIATE")
    for name, rows in portion.rows.items():
        if rows:
            connection.executemany(INSERTS[name], rows)
    connection.execute("COMMIT")
