"""Hand: a statement of ours beside the one that somebody writes by hand, on either database."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Self

import psycopg
from attrs import frozen

from bench.postgres import both, pid_of
from bench.sample import compare, timed
from bench.table import Line
from crmcore import Crm
from crmcore.persistence.connection import Connection

GOAL = 1.2
_ALONE = "SET max_parallel_workers_per_gather = 0"  # whose CPU time nobody would see
Seconds = Callable[[Callable[[], object]], float]


@frozen
class Database:
    """
    A database that is asked by hand, and by the library.

    Attributes:
        name: Of the kind.
        fetched: Returns the rows of a statement with named values, such as `:at`.
        bare_seconds: Returns the CPU seconds of work that asks by hand.
        seconds: The same of work that asks through the library.
    """

    name: str
    fetched: Callable[..., list[Any]]
    bare_seconds: Seconds
    seconds: Seconds

    @classmethod
    def sqlite(cls, held: sqlite3.Connection) -> Self:
        """Return the one that *held* is a connection of the driver to."""

        def fetched(sql: str, values: Any = ()) -> list[Any]:
            return held.execute(sql, values).fetchall()

        return cls("SQLite", fetched, timed, timed)

    @classmethod
    def postgresql(cls, held: psycopg.Connection[Any], crm: Crm) -> Self:
        """Return the one that *held* is a connection of the driver to, and *crm* uses."""
        held.execute(_ALONE)
        one, other = held.info.backend_pid, pid_of(crm)

        def fetched(sql: str, values: Any = None) -> list[Any]:
            return held.execute(sql, values).fetchall()

        return cls(
            "PostgreSQL",
            fetched,
            lambda work: both(one, work),
            lambda work: both(other, work),
        )

    def alone(self, connection: Connection) -> None:
        """Let the library's connection work in one process only."""
        if self.name == "PostgreSQL":
            connection.sqlalchemy.exec_driver_sql(_ALONE)


def millions(size: tuple[int, int]) -> str:
    """Return how large a ledger is, in a few characters."""
    return f"{size[1] / 1e6:g} M"


def beside_hand(
    title: str,
    rounds: int,
    database: Database,
    ours: Callable[[], list[Any]],
    theirs: Callable[[], list[Any]],
    *,
    times: int = 1,
) -> Line:
    """
    Return the line that compares two statements, run *times* in a sample.

    Raises:
        RuntimeError: If they find different rows, or none.
    """
    rows = ours()
    if not rows or _plain(rows) != _plain(theirs()):
        raise RuntimeError(f"{title}: the statement by hand finds something else")
    return Line(
        title=f"{title}, {len(rows):,} rows",
        beside="the statement by hand",
        items=times,
        comparison=compare(
            rounds,
            lambda _: database.bare_seconds(lambda: [theirs() for _ in range(times)]),
            lambda _: database.seconds(lambda: [ours() for _ in range(times)]),
        ),
        goal=GOAL,
    )


def _plain(rows: list[Any]) -> list[Any]:
    """Return rows in some order of their own; sums of PostgreSQL are decimals."""
    plain = [tuple(int(v) if isinstance(v, Decimal) else v for v in row) for row in rows]
    return sorted(plain, key=repr)
