"""What comes in the way of a joined transaction: its end, lost connections, other transactions."""

import sqlite3
from contextlib import closing

import psycopg
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from crmcore.errors import RetryTransaction, StorageError
from tests.support.databases import dsn
from tests.support.joining import (  # noqa: F401 - fixtures
    ALL,
    given_crm,
    given_on_postgresql,
    given_on_sqlite,
    given_postgresql_url,
    given_sqlite_url,
    given_url,
)
from tests.support.making import draft, plugin
from tests.support.runs import opened
from tests.support.shops import failing, orders, seen, sqlite_file

# -- while it is joined ------------------------------------------------------------------------


def test_the_shop_must_not_end_it_inside(crm, url):
    """A transaction that is committed inside of the block is reported, and not begun anew."""
    with create_engine(url, poolclass=NullPool).connect() as connection:
        begun = connection.begin()
        match = "ended or lost before `join` was left"
        with failing(StorageError, match), crm.join(connection) as tx:
            tx.record(draft("order.placed", key="1"))
            begun.commit()
        connection.rollback()

    assert [1] == seen(url, ALL)


def test_what_the_shop_raised_is_what_it_gets(crm, url):
    """An error of the shop's is not hidden by the rollback that came with it."""
    with create_engine(url, poolclass=NullPool).connect() as connection:
        connection.begin()
        with failing(ZeroDivisionError), crm.join(connection) as tx:
            tx.record(draft("order.placed", key="1"))
            connection.rollback()
            raise ZeroDivisionError
        connection.rollback()

    assert [0] == seen(url, ALL)


def test_a_plugin_cannot_end_it_unnoticed(on_sqlite, sqlite_url):
    """If a plugin's statement rolls everything back, nothing is written outside of it after."""

    def roll_back(ctx, event):
        ctx.execute(text("UPDATE OR ROLLBACK shop_order SET number = 1"))

    with (
        opened([plugin("wild", on_interactions_recorded=roll_back)], url=sqlite_url) as (crm, _),
        closing(sqlite3.connect(sqlite_file(sqlite_url), isolation_level=None)) as connection,
    ):
        connection.execute("BEGIN")
        connection.execute("INSERT INTO shop_order VALUES (1), (2)")
        with pytest.raises(StorageError), crm.join(connection) as tx:
            tx.record(draft("order.placed", key="1"))
        assert not connection.in_transaction

    assert [] == orders(sqlite_url)
    assert [0] == seen(sqlite_url, ALL)
    assert [0] == seen(sqlite_url, "SELECT count(*) FROM crm_fault")


def test_a_connection_that_dies(on_postgresql, postgresql_url):
    """A lost connection is a StorageError, and leaves nothing."""
    with closing(psycopg.connect(dsn(postgresql_url))) as connection:
        with failing(StorageError), on_postgresql.join(connection) as tx:
            tx.record(draft("order.placed", key="1"))
            with closing(psycopg.connect(dsn(postgresql_url), autocommit=True)) as other:
                other.execute("SELECT pg_terminate_backend(%s)", [connection.info.backend_pid])
            tx.record(draft("order.placed", key="2"))
        assert connection.broken

    assert [0] == seen(postgresql_url, ALL)


# -- others in the way -------------------------------------------------------------------------


def test_a_busy_database(on_sqlite, sqlite_url):
    """On SQLite a writer in the way is a RetryTransaction as soon as the shop's timeout is up."""
    with (
        closing(sqlite3.connect(sqlite_file(sqlite_url), timeout=0)) as connection,
        closing(sqlite3.connect(sqlite_file(sqlite_url), isolation_level=None)) as other,
    ):
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(RetryTransaction), on_sqlite.join(connection):
            pytest.fail("it was joined")
        assert not connection.in_transaction
        other.execute("COMMIT")
        with on_sqlite.join(connection) as tx:
            tx.record(draft("order.placed", key="1"))
        connection.commit()

    assert [1] == seen(sqlite_url, ALL)


def test_a_stale_reader(sqlite_url):
    """A shop that read, and whom another writer overtook, is told before anything is recorded."""
    with (
        opened(url=sqlite_url) as (crm, _),
        closing(sqlite3.connect(sqlite_file(sqlite_url), isolation_level=None)) as connection,
    ):
        connection.execute("PRAGMA journal_mode = wal")
        connection.execute("BEGIN")
        connection.execute("SELECT * FROM shop_order").fetchall()
        crm.record(draft("order.placed", key="1"))
        with pytest.raises(RetryTransaction), crm.join(connection):
            pytest.fail("it was joined")
        connection.execute("ROLLBACK")

    assert [1] == seen(sqlite_url, ALL)


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
@pytest.mark.parametrize("way", ["sqlalchemy", "psycopg"])
@pytest.mark.parametrize("known", [True, False], ids=["same customer", "same address"])
def test_a_conflict_is_the_shops_to_retry(on_postgresql, postgresql_url, level, way, known):
    """Where another transaction changed what a stricter one has seen, the shop does it again."""
    crm = on_postgresql
    if known:
        crm.record(draft("product.viewed", key="0", payload={"product": "p"}))
    url = postgresql_url

    def attempt(given, end, disturb):
        if disturb:
            crm.record(draft("order.placed", 1, key="1"))
            with pytest.raises(RetryTransaction), crm.join(given) as tx:
                tx.record(draft("order.placed", 2, key="2"))
            return
        with crm.join(given) as tx:
            tx.record(draft("order.placed", 2, key="2"))
        end()

    for disturb in (True, False):
        if way == "psycopg":
            with closing(psycopg.connect(dsn(url))) as connection:
                connection.isolation_level = psycopg.IsolationLevel[level.replace(" ", "_")]
                connection.execute("SELECT * FROM shop_order")
                attempt(connection, connection.commit, disturb)
        else:
            engine = create_engine(url, poolclass=NullPool, isolation_level=level)
            with engine.connect() as begun:
                begun.execute(text("SELECT * FROM shop_order"))
                attempt(begun, begun.commit, disturb)

    keys = seen(url, "SELECT source_key FROM crm_interaction ORDER BY interaction_id")
    assert ["0", "1", "2"][not known :] == keys
    assert [1] == seen(url, "SELECT count(*) FROM crm_customer")
