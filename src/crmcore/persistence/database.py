"""The database: an engine, its transactions, and what is made once for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import sqlalchemy
from sqlalchemy import create_engine, event
from sqlalchemy.engine import URL, Engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from crmcore.errors import ConfigurationError, StorageError
from crmcore.persistence.connection import (
    OPEN_ELSEWHERE,
    Connection,
    Statements,
    is_lost,
    translated,
)

T = TypeVar("T")

_WAIT = 30  # seconds for a lock
_LOOKS, _PAUSE = 300, 0.05  # how often, and after how many seconds, a busy database is tried


class Database:
    """One database, and the statements compiled for it."""

    def __init__(self, url: str, *, durable: bool = True) -> None:
        """
        Open *url* lazily; *durable* False gives up safety against power failure, for scratch.

        Raises:
            ConfigurationError: If the URL is malformed or its driver is not installed.
        """
        try:
            parsed = _checked(make_url(url))
            is_sqlite = parsed.get_backend_name() == "sqlite"
            # As many connections as threads have transactions; five of them are kept.
            options: dict[str, Any] = {"max_overflow": -1}
            if is_sqlite:
                options = {"connect_args": {"timeout": _WAIT}}
            self.engine: Engine = create_engine(parsed, **options)
        except ModuleNotFoundError as error:
            raise ConfigurationError(
                f"database {url!r} needs the driver {error.name!r}, which is not installed; "
                "install crmcore[postgres]"
            ) from error
        except ArgumentError as error:
            raise ConfigurationError(
                f"database {url!r} cannot be opened: {error}; a URL such as "
                "'sqlite:///crm.db' is expected"
            ) from error
        self.dialect = self.engine.dialect
        self.statements = Statements(self.dialect)
        self.portable = self.statements.portable
        self.instance: str | None = None
        """Tells this database from others; known when its tables have been opened."""
        self._is_closed = False
        self._made: dict[str, Any] = {}
        # Every thread would get a database in memory of its own, with nothing in it.
        self._thread = threading.get_ident() if _in_memory(parsed) else None
        if self.portable.is_sqlite:
            _set_up_sqlite(self.engine, durable=durable)
        else:
            _set_up_postgresql(self.engine, durable=durable)

    def once(self, name: str, build: Callable[[], T]) -> T:
        """Return what *build* made the first time it was asked for under *name*."""
        if name not in self._made:
            self._made[name] = build()
        return self._made[name]  # type: ignore[no-any-return]

    @property
    def is_in_memory(self) -> bool:
        """Whether it is gone with its connection, and belongs to one thread."""
        return self._thread is not None

    @contextmanager
    def begin(
        self, *, read_only: bool = False, isolation: str | None = None
    ) -> Iterator[Connection]:
        """
        Open a transaction: leaving cleanly commits, an exception rolls back.

        *isolation* is a level of PostgreSQL's, such as `REPEATABLE READ`; SQLite's is always the
        strictest.

        Raises:
            RetryTransaction: If another transaction stood in the way; nothing is changed then.
            StorageError: If the database says no.
        """
        self.check_open()
        if self._thread not in (None, threading.get_ident()):
            raise StorageError(
                "a database in memory belongs to the thread that opened it; several threads "
                "need one in a file, such as 'sqlite:///crm.db'"
            )
        try:
            opened = self.engine.connect()
        except (SQLAlchemyError, self.statements.driver_error) as error:
            raise StorageError(f"the database cannot be opened: {error.args[0]}") from error
        with opened:
            if isolation is not None and not self.portable.is_sqlite:
                opened = opened.execution_options(isolation_level=isolation)
            if read_only:
                opened = opened.execution_options(crmcore_read_only=True)
            try:
                transaction = opened.begin()
            except self.statements.driver_error as error:
                raise StorageError(
                    f"no transaction could be opened: {error}; {OPEN_ELSEWHERE}"
                ) from error
            raw = opened.connection
            connection = Connection(
                self, self.statements, raw.cursor(), new_cursor=raw.cursor, opened=opened
            )
            try:
                try:
                    yield connection
                finally:
                    connection.close()
            except BaseException as error:
                _roll_back(opened, transaction)
                if is_lost(error.__cause__ or error):
                    self.engine.dispose()  # the others that are kept are lost, too
                raise
            try:
                transaction.commit()
            except DBAPIError as error:
                cause = error.orig or error
                if is_lost(cause):
                    # It may have been committed or not: nobody is to do it again unasked.
                    raise StorageError(f"the connection was lost in a commit: {cause}") from error
                raise translated(cause) from error

    def check_open(self) -> None:
        """Raise `StorageError` if it has been closed."""
        if self._is_closed:
            raise StorageError("the application has been closed; open another one")

    def close(self) -> None:
        """Close every connection; nothing can be opened afterwards."""
        self._is_closed = True
        self.engine.dispose()


def _roll_back(opened: sqlalchemy.Connection, transaction: sqlalchemy.RootTransaction) -> None:
    try:
        transaction.rollback()
    except DBAPIError:  # the connection is lost, and with it the transaction
        opened.invalidate()


def _checked(url: URL) -> URL:
    backend = url.get_backend_name()
    if backend == "postgres":
        raise ConfigurationError(
            f"database {url.render_as_string()!r} begins with postgres://; "
            "postgresql+psycopg:// is expected"
        )
    if backend not in ("sqlite", "postgresql"):
        raise ConfigurationError(
            f"database {url.render_as_string()!r} is of no kind crmcore knows; "
            "sqlite and postgresql+psycopg are"
        )
    if url.drivername == "postgresql":
        # SQLAlchemy would take psycopg2; ours is psycopg 3.
        return url.set(drivername="postgresql+psycopg")
    if backend == "postgresql" and url.get_driver_name() != "psycopg":
        raise ConfigurationError(
            f"database {url.render_as_string()!r} names the driver {url.get_driver_name()!r}; "
            "crmcore's own connections use psycopg: postgresql+psycopg://"
        )
    return url


def _in_memory(url: URL) -> bool:
    return url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:")


def _set_up_postgresql(engine: Engine, *, durable: bool) -> None:
    @event.listens_for(engine, "connect")
    def _(connection: Any, _: Any) -> None:
        # No longer than SQLite: who waits for a lock of their own thread would wait for ever.
        connection.execute(f"SET lock_timeout = '{_WAIT}s'")
        if not durable:
            connection.execute("SET synchronous_commit = off")
        connection.commit()


def _keep_journal(connection: Any, wanted: str) -> None:
    """
    Let SQLite keep its journal as *wanted*, which a database in memory does not do.

    Changing it needs the database for oneself, and SQLite does not wait until it is free: where
    several processes open a new one, all but the first find it changed after a moment.
    """
    for _ in range(_LOOKS):
        try:
            (kept,) = connection.execute("PRAGMA journal_mode").fetchone()
            if kept != wanted:
                connection.execute(f"PRAGMA journal_mode = {wanted}")
            return
        except connection.OperationalError:
            time.sleep(_PAUSE)
    connection.execute(f"PRAGMA journal_mode = {wanted}")


def _set_up_sqlite(engine: Engine, *, durable: bool) -> None:
    @event.listens_for(engine, "connect")
    def _(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # the driver opens no transaction of its own
        _keep_journal(connection, "wal" if durable else "memory")
        for pragma in (
            "synchronous = FULL" if durable else "synchronous = OFF",
            "cache_size = -32768",
            "temp_store = MEMORY",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _(connection: sqlalchemy.Connection) -> None:
        read_only = connection.get_execution_options().get("crmcore_read_only", False)
        # A writer takes its lock at once: waiting for it later could only end in an error.
        begin = "BEGIN" if read_only else "BEGIN IMMEDIATE"
        connection.connection.driver_connection.execute(begin)  # type: ignore[union-attr]
