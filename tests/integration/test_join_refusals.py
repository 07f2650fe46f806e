"""What cannot be joined is refused with a sentence that says what can, and nothing changes."""

import asyncio
import sqlite3
from contextlib import closing

import psycopg
import pytest
from django.db import DatabaseError
from django.db import transaction as django_transaction
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from crmcore import Crm
from crmcore.errors import InputError
from tests.support.databases import drop_schema, dsn, new_schema
from tests.support.joining import (  # noqa: F401 - fixtures
    ALL,
    given_crm,
    given_on_postgresql,
    given_on_sqlite,
    given_postgresql_url,
    given_sqlite_url,
    given_url,
)
from tests.support.making import draft
from tests.support.runs import opened
from tests.support.shops import (
    add_orders_table,
    async_url,
    django_on,
    orders,
    seen,
    sqlite_file,
)

NO_TRANSACTION = "no transaction is open on .*; join inside of one, such as"


def refused(crm: Crm, given, match: str) -> None:
    """Prove that *given* is refused before the block is entered."""
    with pytest.raises(InputError, match=match), crm.join(given):
        pytest.fail("it was joined")


# -- no transaction ----------------------------------------------------------------------------


def test_sqlalchemy_without_a_transaction(crm, url):
    """A connection that has begun nothing would be begun, and never committed, by us."""
    with create_engine(url, poolclass=NullPool).connect() as connection:
        refused(crm, connection, NO_TRANSACTION)
        assert not connection.in_transaction()
    with Session(create_engine(url, poolclass=NullPool), autobegin=False) as session:
        refused(crm, session, "the session gives no connection to join")


def test_sqlalchemy_in_autocommit(crm, url):
    """In AUTOCOMMIT SQLAlchemy speaks of a transaction, and the database has none."""
    engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("INSERT INTO shop_order VALUES (1)"))
        assert connection.in_transaction()
        refused(crm, connection, NO_TRANSACTION)
        connection.execute(text("INSERT INTO shop_order VALUES (2)"))

    assert [1, 2] == orders(url)
    assert [0] == seen(url, ALL)


@pytest.mark.parametrize("driver", ["postgresql+asyncpg", "postgresql+psycopg"])
def test_asynchronous_autocommit(on_postgresql, postgresql_url, driver):
    """The same on drivers that are awaited."""

    async def run():
        parsed, arguments = async_url(postgresql_url, driver)
        engine = create_async_engine(
            parsed, poolclass=NullPool, connect_args=arguments, isolation_level="AUTOCOMMIT"
        )
        async with engine.begin() as connection:
            with pytest.raises(InputError, match=NO_TRANSACTION):
                await on_postgresql.join_async(connection, lambda tx: tx.record(draft("x")))
            await connection.execute(text("INSERT INTO shop_order VALUES (1)"))
        await engine.dispose()

    asyncio.run(run())

    assert [1] == orders(postgresql_url)


def test_psycopg_in_autocommit(on_postgresql, postgresql_url):
    """Without a transaction each of our statements would be committed by itself."""
    with closing(psycopg.connect(dsn(postgresql_url), autocommit=True)) as connection:
        refused(on_postgresql, connection, NO_TRANSACTION + " `with connection.transaction")
        assert psycopg.pq.TransactionStatus.IDLE == connection.info.transaction_status


@pytest.mark.parametrize("level", [None, "autocommit"])
def test_sqlite3_without_a_transaction(on_sqlite, sqlite_url, level):
    """On a connection that begins nothing by itself, our last RELEASE would commit."""
    options = {"isolation_level": None} if level is None else {"autocommit": True}
    try:
        connection = sqlite3.connect(sqlite_file(sqlite_url), **options)
    except TypeError:
        pytest.skip("sqlite3 has autocommit from Python 3.12 on")
    with closing(connection):
        refused(on_sqlite, connection, NO_TRANSACTION + r" `connection.execute\(\"BEGIN")
        assert not connection.in_transaction


def test_django_outside_of_atomic(crm, url):
    """Django commits each statement there."""
    from django.db import connections

    with django_on(url) as alias:
        refused(crm, connections[alias], NO_TRANSACTION + r" `with transaction.atomic\(\)")

    assert [0] == seen(url, ALL)


# -- a transaction that cannot be used ---------------------------------------------------------


def test_django_marked_to_be_rolled_back(crm, url):
    """After an error that was caught inside atomic(), Django would roll ours back anyway."""
    from django.db import connections

    with django_on(url) as alias:
        connection = connections[alias]
        with django_transaction.atomic(using=alias):
            with (
                pytest.raises(DatabaseError),
                django_transaction.atomic(using=alias, savepoint=False),
            ):
                connection.cursor().execute("SELECT * FROM no_such_table")
            refused(crm, connection, "marked to be rolled back")
            django_transaction.set_rollback(True, using=alias)


@pytest.mark.parametrize("driver", ["psycopg", "postgresql+asyncpg", "postgresql+psycopg"])
def test_a_failed_transaction(on_postgresql, postgresql_url, driver):
    """PostgreSQL takes nothing but a rollback after an error; the sentence says so."""
    match = "has failed, and nothing but its rollback"

    async def run():
        parsed, arguments = async_url(postgresql_url, driver)
        engine = create_async_engine(parsed, poolclass=NullPool, connect_args=arguments)
        async with engine.connect() as connection:
            with pytest.raises(Exception, match="no_such_table"):
                await connection.execute(text("SELECT * FROM no_such_table"))
            with pytest.raises(InputError, match=match):
                await on_postgresql.join_async(connection, lambda tx: None)
            await connection.rollback()
            async with connection.begin():
                await on_postgresql.join_async(
                    connection, lambda tx: tx.record(draft("order.placed"))
                )
        await engine.dispose()

    if driver != "psycopg":
        asyncio.run(run())
    else:
        with closing(psycopg.connect(dsn(postgresql_url))) as connection:
            with pytest.raises(psycopg.errors.UndefinedTable):
                connection.execute("SELECT * FROM no_such_table")
            refused(on_postgresql, connection, match)
            connection.rollback()
            with on_postgresql.join(connection) as tx:
                tx.record(draft("order.placed"))
            connection.commit()

    assert [1] == seen(postgresql_url, ALL)


def test_pipeline_mode(on_postgresql, postgresql_url):
    """In a pipeline nobody knows how many rows a statement wrote."""
    with closing(psycopg.connect(dsn(postgresql_url))) as connection, connection.pipeline():
        refused(on_postgresql, connection, "pipeline mode")


def test_texts_as_something_else(on_sqlite, sqlite_url):
    """A text_factory other than str would give us bytes."""
    with closing(sqlite3.connect(sqlite_file(sqlite_url))) as connection:
        connection.text_factory = bytes
        refused(on_sqlite, connection, "text_factory is expected to be str")


def test_closed_connections(on_sqlite, sqlite_url, on_postgresql, postgresql_url):
    """A closed connection has no transaction, and is not opened again by us."""
    connection = sqlite3.connect(sqlite_file(sqlite_url))
    connection.close()
    refused(on_sqlite, connection, "is closed; an open transaction is expected")
    to_postgresql = psycopg.connect(dsn(postgresql_url))
    to_postgresql.close()
    refused(on_postgresql, to_postgresql, "is closed; an open transaction is expected")
    for crm, url in ((on_sqlite, sqlite_url), (on_postgresql, postgresql_url)):
        begun = create_engine(url, poolclass=NullPool).connect()
        begun.close()
        refused(crm, begun, "is closed; an open transaction is expected")


# -- another database --------------------------------------------------------------------------


def test_the_other_kind_of_database(on_sqlite, sqlite_url, on_postgresql, postgresql_url):
    """A connection to PostgreSQL is none to crmcore's SQLite, and the other way round."""
    to_postgresql = "is to postgresql, and crmcore's tables are in sqlite"
    to_sqlite = "is to sqlite, and crmcore's tables are in postgresql"
    with (
        closing(psycopg.connect(dsn(postgresql_url))) as connection,
        create_engine(postgresql_url, poolclass=NullPool).begin() as begun,
    ):
        refused(on_sqlite, connection, to_postgresql)
        refused(on_sqlite, begun, to_postgresql)
    with (
        closing(sqlite3.connect(sqlite_file(sqlite_url))) as connection,
        create_engine(sqlite_url, poolclass=NullPool).begin() as begun,
    ):
        refused(on_postgresql, connection, to_sqlite)
        refused(on_postgresql, begun, to_sqlite)


def test_a_database_without_our_tables(crm, url, tmp_path):
    """The shop's transaction on a database without our tables goes on as if nothing had been."""
    empty = f"sqlite:///{tmp_path}/empty.db" if url.startswith("sqlite") else new_schema()
    add_orders_table(empty)
    with create_engine(empty, poolclass=NullPool).begin() as connection:
        refused(crm, connection, "a database without crmcore's tables")
        connection.execute(text("INSERT INTO shop_order VALUES (1)"))
        refused(crm, connection, "a database without crmcore's tables")

    assert [1] == orders(empty)
    if not url.startswith("sqlite"):
        drop_schema(empty)


def test_a_database_with_tables_of_another(crm, url, tmp_path):
    """Tables of crmcore's in another database are told from ours, before anything is written."""
    other = f"sqlite:///{tmp_path}/other.db" if url.startswith("sqlite") else new_schema()
    add_orders_table(other)
    with opened(url=other):
        pass
    with create_engine(other, poolclass=NullPool).begin() as connection:
        refused(crm, connection, "is to another database")
        connection.execute(text("INSERT INTO shop_order VALUES (1)"))
        refused(crm, connection, "is to another database")

    assert [1] == orders(other)
    assert [0] == seen(other, ALL)
    if not url.startswith("sqlite"):
        drop_schema(other)


def test_a_refusal_begins_nothing(on_sqlite, tmp_path):
    """A connection whose driver has not begun yet is not begun where joining is refused."""
    with closing(sqlite3.connect(tmp_path / "empty.db")) as connection:
        refused(on_sqlite, connection, "a database without crmcore's tables")
        assert not connection.in_transaction


# -- something else ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given", [None, "sqlite:///shop.db", 7, object(), sqlite3, psycopg.connect, b"x"]
)
def test_no_connection_at_all(crm, given):
    """Whatever else is handed in, the sentence lists what can be joined."""
    refused(crm, given, r"cannot be joined; a connection or session of SQLAlchemy, Django's .* or")


def test_engines_have_no_transaction(crm, url):
    """An engine is what shops have at hand; the sentence says how to get a connection of it."""
    refused(crm, create_engine(url, poolclass=NullPool), r"with engine\.begin\(\) as connection")


def test_asynchronous_connections_need_the_helper(on_postgresql, postgresql_url):
    """Handed in directly, they are refused with the way to do it."""

    async def run():
        parsed, arguments = async_url(postgresql_url, "postgresql+asyncpg")
        engine = create_async_engine(parsed, poolclass=NullPool, connect_args=arguments)
        refused(on_postgresql, engine, r"with engine\.begin\(\) as connection")
        async with engine.begin() as connection, AsyncSession(engine) as session:
            refused(on_postgresql, connection, r"await crm\.join_async\(connection, work\)")
            refused(on_postgresql, session, r"await crm\.join_async\(connection, work\)")
            refused(on_postgresql, connection.sync_connection, "cannot be joined: greenlet_spawn")
        await engine.dispose()
        async with await psycopg.AsyncConnection.connect(dsn(postgresql_url)) as connection:
            refused(on_postgresql, connection, "SQLAlchemy's AsyncConnection or AsyncSession")
            with pytest.raises(InputError, match="an AsyncConnection or AsyncSession"):
                await on_postgresql.join_async(connection, lambda tx: None)

    asyncio.run(run())
