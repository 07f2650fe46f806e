"""What the shop hands in to be joined: its connection, as far as it is needed."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

import sqlalchemy
from attrs import frozen
from sqlalchemy.engine import Dialect, make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from crmcore.errors import InputError, StorageError
from crmcore.persistence.connection import Statements

if TYPE_CHECKING:
    from crmcore.persistence.database import Database

Joinable: TypeAlias = Any
"""
What `Crm.join` takes: a connection on which the shop has a transaction open.

One of these; they are recognised when they are handed in, as no shop has all of them installed:

- `sqlalchemy.Connection`, `sqlalchemy.orm.Session` or `scoped_session`, of any driver for SQLite
  or PostgreSQL; inside of `run_sync` those beneath an `AsyncConnection` or `AsyncSession`, which
  `Crm.join_async` takes as they are;
- Django's `django.db.connection`, or `connections["..."]`;
- `psycopg.Connection`, `psycopg2.extensions.connection` or `sqlite3.Connection`.
"""

_JOINABLE = (
    "a connection or session of SQLAlchemy, Django's django.db.connection, a psycopg.Connection "
    "or a sqlite3.Connection"
)
_ASYNCIO = "sqlalchemy.ext.asyncio"
_DJANGO = ("vendor", "alias", "ensure_connection", "get_autocommit", "in_atomic_block")


@frozen(kw_only=True)
class Borrowed:
    """
    A connection of the shop's: how to get cursors on it, and how they take statements.

    Attributes:
        statements: For its driver.
        new_cursor: Makes a cursor whose rows are tuples, whatever the shop has set.
        to_begin: Whether the shop's transaction has yet to be begun in the database: some drivers
            for SQLite put it off until the first write, and a savepoint would be the outermost.
        outside: What to say if the database knows of no transaction.
    """

    statements: Statements
    new_cursor: Callable[[], Any]
    to_begin: bool
    outside: str


def borrow(database: Database, given: Joinable) -> Borrowed:
    """
    Return what is needed of *given*, which is recognised without importing what it is of.

    Raises:
        InputError: If it cannot be joined; nothing has been done with it then.
    """
    for recognise in (_from_sqlalchemy, _from_django, _from_driver):
        found = recognise(database, given)
        if found is not None:
            return found
    _refuse_asynchronous(given)
    raise InputError(f"{_described(given)} cannot be joined; {_JOINABLE} is expected")


# -- SQLAlchemy --------------------------------------------------------------------------------


def _from_sqlalchemy(database: Database, given: Any) -> Borrowed | None:
    if _is_a(given, _ASYNCIO, "AsyncConnection", "AsyncSession", "async_scoped_session"):
        raise InputError(
            f"{_described(given)} runs statements only where they are awaited; use "
            "`await crm.join_async(connection, work)`, or `crm.join` inside of its `run_sync`"
        )
    if isinstance(given, sqlalchemy.Engine) or _is_a(given, _ASYNCIO, "AsyncEngine"):
        raise InputError(
            "an Engine has no transaction that could be joined; hand in the connection that "
            "`with engine.begin() as connection:` gives"
        )
    if _is_a(given, "sqlalchemy.orm", "Session", "scoped_session"):
        given = _connection_of(given)
    if not isinstance(given, sqlalchemy.Connection):
        return None
    if given.closed or given.invalidated:
        _refuse_closed(given)
    outside = _outside("with engine.begin() as connection:")
    if not given.in_transaction():
        raise InputError(outside)
    statements = _statements_for(database, given.dialect)
    pooled = given.connection
    driver = pooled.driver_connection
    if statements.portable.is_sqlite:
        to_begin = _has_to_begin(driver, outside)
        if isinstance(driver, sqlite3.Connection):
            return _sqlite(statements, driver, to_begin, outside)
    else:
        to_begin = False
    new_cursor: Callable[[], Any] = pooled.cursor
    if given.dialect.driver == "asyncpg":
        new_cursor = lambda: _AsyncpgCursor(pooled.cursor())  # noqa: E731 - a factory in passing
    return Borrowed(
        statements=statements, new_cursor=new_cursor, to_begin=to_begin, outside=outside
    )


def _connection_of(session: Any) -> Any:
    """Return the connection of a session's transaction, which it begins if there is none yet."""
    try:
        return session.connection()
    except DBAPIError as error:
        raise StorageError(f"the session could not open a connection: {error.orig}") from error
    except SQLAlchemyError as error:
        raise InputError(
            f"the session gives no connection to join: {error}; where it has several, hand in "
            "`session.connection(bind_arguments=...)` of the database that holds crmcore's tables"
        ) from error


def _statements_for(database: Database, dialect: Dialect) -> Statements:
    """Return the statements as *dialect*'s driver takes them; the shop's own engine knows it."""
    if dialect.name != database.dialect.name:
        _refuse_kind(dialect.name, database)
    own = database.dialect
    name = f"{dialect.name}+{dialect.driver} {dialect.paramstyle}"
    if name == f"{own.name}+{own.driver} {own.paramstyle}":
        return database.statements
    return database.once(f"statements for {name}", lambda: Statements(dialect))


class _AsyncpgCursor:
    """A cursor as others are: rows are tuples, and `executemany` counts what it wrote."""

    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor
        self.rowcount = -1

    @property
    def description(self) -> Any:
        return self._cursor.description

    def execute(self, sql: str, values: Sequence[Any]) -> None:
        self._cursor.execute(sql, values)
        self.rowcount = self._cursor.rowcount

    def executemany(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        rows = list(rows)
        if sql.startswith("INSERT") and "ON CONFLICT" not in sql:
            self._cursor.executemany(sql, rows)  # writes them all, or raises
            self.rowcount = len(rows)
            return
        written = 0
        for values in rows:
            self._cursor.execute(sql, values)
            written += self._cursor.rowcount
        self.rowcount = written

    def fetchall(self) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in self._cursor.fetchall()]

    def fetchmany(self, size: int) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in self._cursor.fetchmany(size)]

    def close(self) -> None:
        self._cursor.close()


# -- Django ------------------------------------------------------------------------------------


def _from_django(database: Database, given: Any) -> Borrowed | None:
    if not all(hasattr(given, name) for name in _DJANGO):
        return None
    if given.vendor != database.dialect.name:
        _refuse_kind(given.vendor, database)
    outside = _outside("with transaction.atomic():", f"Django's connection {given.alias!r}")
    try:
        if not given.in_atomic_block and given.get_autocommit():
            raise InputError(outside)
        given.ensure_connection()
    except Exception as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"Django's connection {given.alias!r} is not open: {error}") from error
    if given.needs_rollback:
        raise InputError(
            f"the transaction of Django's connection {given.alias!r} is marked to be rolled back "
            "after an error; leave its atomic() block first"
        )
    found = _from_driver(database, given.connection, outside)
    if found is None:
        _refuse_asynchronous(given.connection)
        raise InputError(
            f"the driver of Django's connection {given.alias!r}, {_described(given.connection)}, "
            "is not known; sqlite3, psycopg or psycopg2 is expected"
        )
    return found


# -- drivers -----------------------------------------------------------------------------------


def _from_driver(database: Database, given: Any, outside: str = "") -> Borrowed | None:
    if isinstance(given, sqlite3.Connection):
        outside = outside or _outside('connection.execute("BEGIN IMMEDIATE")')
        if not database.portable.is_sqlite:
            _refuse_kind("sqlite", database)
        return _sqlite(database.statements, given, _has_to_begin(given, outside), outside)
    if _is_a(given, "psycopg", "Connection"):
        return _psycopg(database, given, outside)
    if _is_a(given, "psycopg2.extensions", "connection"):
        return _psycopg2(database, given, outside)
    return None


def _psycopg(database: Database, given: Any, outside: str) -> Borrowed:
    if database.portable.is_sqlite:
        _refuse_kind("postgresql", database)
    if given.closed:
        _refuse_closed(given)
    if given.pgconn.pipeline_status:
        raise InputError(
            "the connection is in pipeline mode, in which nobody knows yet what a statement did; "
            "join before or after `with connection.pipeline():`"
        )
    psycopg = sys.modules["psycopg"]
    rows = psycopg.rows.tuple_row
    return Borrowed(
        statements=database.statements,
        new_cursor=lambda: psycopg.Cursor(given, row_factory=rows),
        to_begin=False,
        outside=outside or _outside("with connection.transaction():"),
    )


def _psycopg2(database: Database, given: Any, outside: str) -> Borrowed:
    if database.portable.is_sqlite:
        _refuse_kind("postgresql", database)
    if given.closed:
        _refuse_closed(given)
    dialect = make_url("postgresql+psycopg2://").get_dialect()
    return Borrowed(
        statements=_statements_for(database, dialect(dbapi=dialect.import_dbapi())),  # type: ignore[call-arg]
        new_cursor=lambda: sys.modules["psycopg2.extensions"].cursor(given),
        to_begin=False,
        outside=outside or _outside("connection.autocommit = False"),
    )


def _sqlite(
    statements: Statements, driver: sqlite3.Connection, to_begin: bool, outside: str
) -> Borrowed:
    # Made so, a cursor does not take over the connection's row_factory.
    return Borrowed(
        statements=statements,
        new_cursor=lambda: sqlite3.Cursor(driver),
        to_begin=to_begin,
        outside=outside,
    )


def _has_to_begin(driver: Any, outside: str) -> bool:
    """
    Return whether the driver has yet to begin the shop's transaction in the database.

    *driver* is a `sqlite3.Connection`, or one of another driver that looks like it.
    """
    try:
        if driver.text_factory is not str:
            raise InputError(
                f"the connection gives texts as {driver.text_factory!r}; its text_factory is "
                "expected to be str"
            )
        if driver.in_transaction:
            return False
        commits_each = driver.isolation_level is None
    except (sqlite3.Error, ValueError) as error:
        if isinstance(error, InputError):
            raise
        _refuse_closed(driver, error)
    # From Python 3.12 on; True means that there are only transactions begun by a statement.
    # aiosqlite does not show it, so it is asked of the sqlite3.Connection within.
    within = getattr(driver, "_conn", driver)
    if commits_each or getattr(within, "autocommit", None) is True:
        raise InputError(outside)
    return True


# -- refusing ----------------------------------------------------------------------------------


def _is_a(given: Any, module: str, *names: str) -> bool:
    """Return whether *given* is of one of these classes, if anybody has imported them."""
    loaded = sys.modules.get(module)
    classes = tuple(filter(None, (getattr(loaded, name, None) for name in names)))
    return isinstance(given, classes)


def _described(given: Any) -> str:
    if isinstance(given, str | bytes | int | float | None):
        return repr(given)
    kind = type(given)
    return f"a {kind.__module__}.{kind.__qualname__}"


def _outside(cure: str, found: str = "the connection") -> str:
    return f"no transaction is open on {found}; join inside of one, such as `{cure}`"


def _refuse_kind(found: str, database: Database) -> NoReturn:
    raise InputError(
        f"the connection is to {found}, and crmcore's tables are in {database.dialect.name}; "
        "a connection to the database that was given to Crm is expected"
    )


def _refuse_closed(given: Any, error: BaseException | None = None) -> NoReturn:
    raise InputError(f"{_described(given)} is closed; an open transaction is expected") from error


def _refuse_asynchronous(given: Any) -> None:
    if (
        _is_a(given, "psycopg", "AsyncConnection")
        or _is_a(given, "asyncpg", "Connection")
        or _is_a(given, "asyncpg.pool", "PoolConnectionProxy")
        or _is_a(given, "aiosqlite", "Connection")
    ):
        raise InputError(
            f"{_described(given)} runs statements only where they are awaited, so it cannot be "
            "joined by itself; SQLAlchemy's AsyncConnection or AsyncSession over the same driver "
            "can, with `await crm.join_async(connection, work)`"
        )
