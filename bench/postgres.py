"""PostgreSQL: bulk beside COPY, and one interaction a commit beside psycopg alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg
from attrs import define, field
from crmcore_tiering import Tiering

from bench.bare import CORE, Portion
from bench.bulk import Bulk
from bench.history import History, advance, load
from bench.sample import compare, timed
from bench.single import Orders
from bench.sizes import Sizes
from bench.table import Line
from crmcore import Clock, Crm, Plugin
from tests.support.databases import drop_schema, dsn, new_schema

BULK_GOAL = 5.0
SINGLE_GOAL = 9
_TICKS = 100  # a second, in /proc; what Linux tells user space on every machine

COLUMNS = {table.name: ", ".join(column.name for column in table.columns) for table in CORE}
INSERTS = {
    table.name: (
        f"INSERT INTO {table.name} ({COLUMNS[table.name]}) "
        f"VALUES ({', '.join(['%s'] * len(table.columns))})"
    )
    for table in CORE
}


def server_seconds(pid: int) -> float:
    """Return the CPU seconds that one of the server's processes has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def both(pid: int, work: Callable[[], object]) -> float:
    """Return the CPU seconds of *work*, those of the server's process included."""
    before = server_seconds(pid)
    return timed(work) + server_seconds(pid) - before


@contextmanager
def schema() -> Iterator[str]:
    url = new_schema()
    try:
        yield url
    finally:
        drop_schema(url)


def opened(url: str, plugins: Sequence[type[Plugin]], clock: Clock) -> Crm:
    return Crm(url, plugins=[plugin() for plugin in plugins], clock=clock, durable=False)


def pid_of(crm: Crm) -> int:
    """Return the server's process for the application's only connection."""
    with crm.begin() as tx:
        return int(tx.connection.sqlalchemy.exec_driver_sql("SELECT pg_backend_pid()").scalar_one())


@contextmanager
def bare(url: str) -> Iterator[psycopg.Connection[Any]]:
    """Hold one connection of the driver to the core's tables, empty but for what is there."""
    with psycopg.connect(dsn(url), autocommit=True) as connection:
        connection.execute("SET synchronous_commit = off")
        yield connection


def copy(connection: psycopg.Connection[Any], portion: Portion) -> None:
    """Write a portion in one transaction, table by table."""
    with connection.transaction(), connection.cursor() as cursor:
        for name, rows in portion.rows.items():
            if rows:
                with cursor.copy(f"COPY {name} ({COLUMNS[name]}) FROM STDIN") as into:
                    for row in rows:
                        into.write_row(row)


@define
class Recorded:
    """One history, recorded into schemas that are empty each time."""

    bulk: Bulk
    portions: Sequence[Portion] = field(init=False)

    def __attrs_post_init__(self) -> None:
        source, _ = self.bulk.counted(())
        self.portions = list(self.bulk.portions(source))

    def bare(self, _: int) -> float:
        with schema() as url:
            opened(url, (), self.bulk.history.clock()).close()
            with bare(url) as connection:
                pid = connection.info.backend_pid
                return sum(both(pid, lambda p=p: copy(connection, p)) for p in self.portions)  # type: ignore[misc]

    def library(self, plugins: Sequence[type[Plugin]]) -> float:
        clock, seconds = self.bulk.history.clock(), 0.0
        with schema() as url, opened(url, plugins, clock) as crm:
            pid = pid_of(crm)
            for batch in self.bulk.history.batches(self.bulk.batch):
                advance(clock, batch)
                seconds += both(pid, lambda batch=batch: crm.record_many(batch))  # type: ignore[misc]
        return seconds


def _bulk(sizes: Sizes, folder: Path) -> Iterator[Line]:
    customers, interactions, batch = sizes.postgres
    history = History(customers=customers, interactions=interactions)
    recorded = Recorded(Bulk(history, batch, folder))
    for title, plugins in (("no plugin", ()), ("tiering", (Tiering,))):
        yield Line(
            title=f"PostgreSQL, bulk, {title}",
            beside="COPY of all core rows",
            items=interactions,
            comparison=compare(
                sizes.rounds,
                recorded.bare,
                lambda _, plugins=plugins: recorded.library(plugins),  # type: ignore[misc]
            ),
            goal=BULK_GOAL if plugins else None,
        )


def _single(sizes: Sizes, folder: Path) -> Iterator[Line]:
    customers, interactions, _ = sizes.postgres
    past = History(customers=customers, interactions=interactions)
    commits = sizes.commits
    for title, plugins in (("no plugin", ()), ("tiering", (Tiering,))):
        following = past.following(sizes.rounds * commits, newcomers=False)
        drafts = list(following.batches(commits))
        portions = _portions(past, following, plugins, folder)
        rounds = [portions[n * commits : (n + 1) * commits] for n in range(sizes.rounds)]
        with schema() as plain, schema() as url:
            with opened(plain, (), past.clock()) as crm:
                load(crm, past.clock(), past)
            clock = past.clock()
            with opened(url, plugins, clock) as crm, bare(plain) as connection:
                load(crm, clock, past)
                pid, own = pid_of(crm), connection.info.backend_pid

                def driver(number: int) -> float:
                    def work() -> None:
                        for portion in rounds[number]:  # noqa: B023 - called before it changes
                            connection.execute("BEGIN")
                            for name, rows in portion.rows.items():
                                for row in rows:
                                    connection.execute(INSERTS[name], row)
                            connection.execute("COMMIT")

                    return both(own, work)  # noqa: B023

                def library(number: int) -> float:
                    def work() -> None:
                        for draft in drafts[number]:  # noqa: B023
                            advance(clock, [draft])  # noqa: B023
                            crm.record(draft)

                    return both(pid, work)  # noqa: B023

                yield Line(
                    title=f"PostgreSQL, single, {title}",
                    beside="psycopg, all core rows",
                    items=commits,
                    comparison=compare(sizes.rounds, driver, library),
                    goal=SINGLE_GOAL if plugins else None,
                )


def _portions(
    past: History, following: History, plugins: Sequence[type[Plugin]], folder: Path
) -> list[Portion]:
    """Return the core's rows of each of the following orders, as crmcore would write them."""
    from bench.application import assembled
    from bench.single import Case

    path = folder / f"single-{len(plugins)}.db"
    clock = past.clock()
    with assembled(path, plugins, clock) as crm:
        load(crm, clock, past)
    drafts = [list(following.drafts())]
    portions, _ = Orders(
        Case(title="", plugins=tuple(plugins)), path, following, drafts
    ).beforehand()
    return portions


def measure(sizes: Sizes) -> Iterator[Line]:
    """Yield lines for recording in bulk and one by one, without any plugin and with tiering."""
    with TemporaryDirectory() as folder:
        yield from _bulk(sizes, Path(folder))
        yield from _single(sizes, Path(folder))
