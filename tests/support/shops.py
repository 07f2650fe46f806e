"""Shops that keep their orders in the same database, each with another driver or framework."""

from __future__ import annotations

import asyncio
import importlib.util
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from typing import Any, Protocol

import django
import psycopg
import pytest
from django.conf import settings
from django.db import connections as django_connections
from django.db import transaction as django_transaction
from psycopg.rows import dict_row
from sqlalchemy import create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session, scoped_session, sessionmaker
from sqlalchemy.pool import NullPool

from tests.support.databases import dsn

Block = AbstractContextManager[object, bool]
"""One that may end in an error, so that what follows is reached."""

ORDERS = "CREATE TABLE shop_order (number BIGINT PRIMARY KEY)"


class Undone(Exception):  # noqa: N818 - it is told to happen
    """What a shop raises to undo something."""


def failing(error: type[BaseException] = Undone, match: str | None = None) -> Block:
    """Expect the block to end in an error: `pytest.raises` for blocks of several lines."""
    return pytest.raises(error, match=match)


class Shop(Protocol):
    """A shop's open connection, as the shop uses it."""

    given: Any
    """What it hands to `crm.join`."""

    def execute(self, sql: str) -> None: ...

    def begin(self) -> Any:
        """Return a block that is a transaction: it commits, or rolls back if it raises."""

    def savepoint(self) -> Any:
        """Return a block within a transaction that is undone if it raises."""


Body = Callable[[Shop], None]


class SqlalchemyShop:
    """A shop on a connection of SQLAlchemy, or on a session."""

    def __init__(self, given: Any) -> None:
        self.given = given

    def execute(self, sql: str) -> None:
        self.given.execute(text(sql))

    def begin(self) -> Any:
        return self.given.begin()

    def savepoint(self) -> Any:
        return self.given.begin_nested()


class PsycopgShop:
    """A shop on psycopg alone, with rows and cursors of its own sort."""

    def __init__(self, given: Any) -> None:
        self.given = given

    def execute(self, sql: str) -> None:
        self.given.cursor().execute(sql)

    @contextmanager
    def begin(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.given.rollback()
            raise
        self.given.commit()

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        self.execute("SAVEPOINT shop")
        try:
            yield
        except BaseException:
            self.execute("ROLLBACK TO SAVEPOINT shop")
            raise
        finally:
            self.execute("RELEASE SAVEPOINT shop")


class AutocommitShop(PsycopgShop):
    """A shop on psycopg whose transactions are blocks on an autocommit connection."""

    def begin(self) -> Any:
        return self.given.transaction()

    def savepoint(self) -> Any:
        return self.given.transaction()


class Sqlite3Shop(PsycopgShop):
    """A shop on sqlite3 alone, which begins with its first write, as the driver does."""


class BegunSqlite3Shop(Sqlite3Shop):
    """A shop on sqlite3 alone, which says BEGIN itself."""

    @contextmanager
    def begin(self) -> Iterator[None]:
        self.execute("BEGIN")
        with super().begin():
            yield


class DjangoShop:
    """A shop on Django."""

    def __init__(self, alias: str) -> None:
        self.alias = alias
        self.given = django_connections[alias]

    def execute(self, sql: str) -> None:
        with self.given.cursor() as cursor:
            cursor.execute(sql)

    def begin(self) -> Any:
        return django_transaction.atomic(using=self.alias)

    def savepoint(self) -> Any:
        return django_transaction.atomic(using=self.alias)


# -- opening one -------------------------------------------------------------------------------


def async_url(url: str, driver: str) -> tuple[URL, dict[str, Any]]:
    """Return the URL for an asynchronous driver, and what else it wants to connect."""
    parsed = make_url(url).set(drivername=driver)
    if driver != "postgresql+asyncpg":
        return parsed, {}
    path = str(parsed.query["options"]).removeprefix("-csearch_path=")
    rest = {name: value for name, value in parsed.query.items() if name != "options"}
    return parsed.set(query=rest), {"server_settings": {"search_path": path}}


def _sqlalchemy(url: str, body: Body) -> None:
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        body(SqlalchemyShop(connection))


def _sqlalchemy_begun(url: str, body: Body) -> None:
    """As SQLAlchemy recommends for SQLite: the driver begins nothing, SQLAlchemy says BEGIN."""
    engine = create_engine(url, poolclass=NullPool)
    event.listen(engine, "connect", lambda driver, _: setattr(driver, "isolation_level", None))
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    with engine.connect() as connection:
        body(SqlalchemyShop(connection))


def _session(url: str, body: Body) -> None:
    with Session(create_engine(url, poolclass=NullPool)) as session:
        body(SqlalchemyShop(session))


def _scoped_session(url: str, body: Body) -> None:
    made = scoped_session(sessionmaker(create_engine(url, poolclass=NullPool)))
    body(SqlalchemyShop(made))
    made.remove()


def _psycopg2(url: str, body: Body) -> None:
    _sqlalchemy(make_url(url).set(drivername="postgresql+psycopg2").render_as_string(False), body)


def _asynchronous(driver: str, *, session: bool = False) -> Callable[[str, Body], None]:
    async def run(url: str, body: Body) -> None:
        parsed, arguments = async_url(url, driver)
        engine = create_async_engine(parsed, poolclass=NullPool, connect_args=arguments)
        opened: Any = AsyncSession(engine) if session else engine.connect()
        async with opened:
            await opened.run_sync(lambda beneath: body(SqlalchemyShop(beneath)))
        await engine.dispose()

    return lambda url, body: asyncio.run(run(url, body))


def _bare_psycopg(url: str, body: Body) -> None:
    with closing(
        psycopg.connect(dsn(url), row_factory=dict_row, cursor_factory=psycopg.ClientCursor)
    ) as connection:
        body(PsycopgShop(connection))


def _autocommit_psycopg(url: str, body: Body) -> None:
    with closing(psycopg.connect(dsn(url), autocommit=True)) as connection:
        body(AutocommitShop(connection))


def _bare_psycopg2(url: str, body: Body) -> None:
    import psycopg2
    import psycopg2.extras

    with closing(
        psycopg2.connect(dsn(url), cursor_factory=psycopg2.extras.DictCursor)
    ) as connection:
        body(PsycopgShop(connection))


def sqlite_file(url: str) -> str:
    return url.removeprefix("sqlite:///")


def _sqlite3(url: str, body: Body) -> None:
    with closing(sqlite3.connect(sqlite_file(url))) as connection:
        connection.row_factory = sqlite3.Row
        body(Sqlite3Shop(connection))


def _begun_sqlite3(url: str, body: Body) -> None:
    with closing(sqlite3.connect(sqlite_file(url), isolation_level=None)) as connection:
        body(BegunSqlite3Shop(connection))


@contextmanager
def django_on(url: str) -> Iterator[str]:
    """Let Django's connection of that kind of database be to *url*; gives its alias."""
    parsed = make_url(url)
    alias = parsed.get_backend_name()
    if not settings.configured:
        here = {"CONN_MAX_AGE": None}
        settings.configure(
            DATABASES={
                "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"},
                "sqlite": {"ENGINE": "django.db.backends.sqlite3", **here},
                "postgresql": {"ENGINE": "django.db.backends.postgresql", **here},
            },
            USE_TZ=True,
        )
        django.setup()
    connection = django_connections[alias]
    connection.close()
    if alias == "sqlite":
        connection.settings_dict["NAME"] = parsed.database
    else:
        options = psycopg.conninfo.conninfo_to_dict(dsn(url))
        connection.settings_dict.update(NAME=options.pop("dbname"), OPTIONS=options)
    try:
        yield alias
    finally:
        connection.close()


def _django(url: str, body: Body) -> None:
    with django_on(url) as alias:
        body(DjangoShop(alias))


WAYS: dict[str, dict[str, Callable[[str, Body], None]]] = {
    "sqlite": {
        "SQLAlchemy": _sqlalchemy,
        "SQLAlchemy that says BEGIN": _sqlalchemy_begun,
        "Session": _session,
        "scoped_session": _scoped_session,
        "AsyncConnection on aiosqlite": _asynchronous("sqlite+aiosqlite"),
        "AsyncSession on aiosqlite": _asynchronous("sqlite+aiosqlite", session=True),
        "sqlite3": _sqlite3,
        "sqlite3 that says BEGIN": _begun_sqlite3,
        "Django": _django,
    },
    "postgresql": {
        "SQLAlchemy": _sqlalchemy,
        "Session": _session,
        "scoped_session": _scoped_session,
        "AsyncConnection on asyncpg": _asynchronous("postgresql+asyncpg"),
        "AsyncSession on asyncpg": _asynchronous("postgresql+asyncpg", session=True),
        "AsyncConnection on psycopg": _asynchronous("postgresql+psycopg"),
        "psycopg": _bare_psycopg,
        "psycopg in a transaction()": _autocommit_psycopg,
        "Django": _django,
    },
}
if importlib.util.find_spec("psycopg2") is not None:  # nothing here depends on it
    WAYS["postgresql"] |= {"SQLAlchemy on psycopg2": _psycopg2, "psycopg2": _bare_psycopg2}


def add_orders_table(url: str) -> None:
    """Make the shop's own table, beside crmcore's."""
    engine = create_engine(url, poolclass=NullPool)
    with engine.begin() as connection:
        connection.execute(text(ORDERS))


def seen(url: str, sql: str) -> list[Any]:
    """Return a column as everybody else sees it at this moment, without waiting for anybody."""
    with create_engine(url, poolclass=NullPool).connect() as connection:
        return [value for (value,) in connection.execute(text(sql))]


def orders(url: str) -> list[int]:
    """Return the shop's orders, as everybody else sees them at this moment."""
    return seen(url, "SELECT number FROM shop_order ORDER BY number")
