"""Joining as shops do it: Django's requests, sessions that are awaited, deadlocks."""

import asyncio
import subprocess
import sys
import threading
from contextlib import closing

import psycopg
import pytest
from crmcore_tiering import Tiering
from django.core.handlers.base import BaseHandler
from django.db import connection as default_connection
from django.db import connections
from django.db import transaction as django_transaction
from django.http import HttpResponse
from django.test import RequestFactory
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from crmcore import Draft, Identifier
from crmcore.errors import InputError, RetryTransaction
from tests.support.databases import KINDS, drop_schema, dsn, new_schema
from tests.support.making import draft
from tests.support.runs import opened
from tests.support.shops import (
    Undone,
    add_orders_table,
    async_url,
    django_on,
    failing,
    orders,
    seen,
)

KEYS = "SELECT source_key FROM crm_interaction ORDER BY interaction_id"
DRIVERS = ("sqlite+aiosqlite", "postgresql+asyncpg", "postgresql+psycopg")


@pytest.fixture
def new_url(tmp_path):
    """Return a function that gives the URL of a new database with a table of the shop's."""
    made = []

    def make(kind):
        url = f"sqlite:///{tmp_path}/shop.db" if kind == "sqlite" else new_schema()
        made.append(url)
        add_orders_table(url)
        return url

    yield make
    for url in made:
        if not url.startswith("sqlite"):
            drop_schema(url)


def test_joining_imports_nothing():
    """What the shop does not have is not imported to find out that it was not handed in."""
    program = """
import sys
from crmcore import Crm, CrmError
with Crm("sqlite://") as crm:
    try:
        with crm.join(object()):
            pass
    except CrmError as error:
        print(error)
frameworks = "django psycopg psycopg2 asyncpg aiosqlite sqlalchemy.orm sqlalchemy.ext.asyncio"
print([name for name in frameworks.split() if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)

    assert "" == done.stderr
    said, found = done.stdout.splitlines()
    assert said.startswith("a builtins.object cannot be joined; a connection or session")
    assert "[]" == found


# -- Django ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_atomic_requests(new_url, kind):
    """A request is one transaction: what it recorded is there if it answers, not if it fails."""
    url = new_url(kind)
    with opened(url=url) as (crm, _), django_on(url) as alias:

        def buy(request):
            number = int(request.POST["number"])
            connections[alias].cursor().execute(f"INSERT INTO shop_order VALUES ({number})")
            with crm.join(connections[alias]) as tx:
                tx.record(draft("order.placed", key=request.POST["number"]))
            if number == 2:
                raise Undone
            return HttpResponse("thank you")

        connections[alias].settings_dict["ATOMIC_REQUESTS"] = True
        try:
            view = BaseHandler().make_view_atomic(buy)
            post = RequestFactory().post
            assert b"thank you" == view(post("/buy", {"number": "1"})).content
            with failing():
                view(post("/buy", {"number": "2"}))
            assert b"thank you" == view(post("/buy", {"number": "3"})).content
        finally:
            connections[alias].settings_dict["ATOMIC_REQUESTS"] = False

    assert [1, 3] == orders(url)
    assert ["1", "3"] == seen(url, KEYS)


@pytest.mark.parametrize("kind", KINDS)
def test_atomic_blocks_within_a_join(new_url, kind):
    """Django's blocks nest inside of a join, and are undone alone."""
    url = new_url(kind)
    with opened([Tiering()], url=url) as (crm, _), django_on(url) as alias:
        with django_transaction.atomic(using=alias), crm.join(connections[alias]) as tx:
            tx.record(draft("order.placed", key="1"))
            with failing(), django_transaction.atomic(using=alias):
                tx.record(draft("order.placed", key="2"))
                connections[alias].cursor().execute("INSERT INTO shop_order VALUES (2)")
                raise Undone
            with django_transaction.atomic(using=alias):
                tx.record(draft("order.placed", key="3"))
                connections[alias].cursor().execute("INSERT INTO shop_order VALUES (3)")
        customer = crm.customer(Identifier("email", "a@example.com"))

    assert [3] == orders(url)
    assert ["1", "3"] == seen(url, KEYS)
    assert 2 == customer.traits["tiering.orders"]


@pytest.mark.parametrize("kind", KINDS)
def test_django_without_autocommit(new_url, kind):
    """A shop that manages its transactions by set_autocommit is joined as well."""
    url = new_url(kind)
    with opened(url=url) as (crm, _), django_on(url) as alias:
        django_transaction.set_autocommit(False, using=alias)
        for number, end in enumerate(
            (django_transaction.rollback, django_transaction.commit), start=1
        ):
            with crm.join(connections[alias]) as tx:
                tx.record(draft("order.placed", key=str(number)))
            end(using=alias)
        django_transaction.set_autocommit(True, using=alias)

    assert ["2"] == seen(url, KEYS)


def test_djangos_default_connection(new_url):
    """`django.db.connection`, which stands for the default one of the thread, can be handed in."""
    url = new_url("sqlite")
    with opened(url=url) as (crm, _), django_on(url):
        connections["default"].settings_dict["NAME"] = url.removeprefix("sqlite:///")
        try:
            with django_transaction.atomic(), crm.join(default_connection) as tx:
                tx.record(draft("order.placed", key="1"))
        finally:
            connections["default"].close()
            connections["default"].settings_dict["NAME"] = ":memory:"

    assert ["1"] == seen(url, KEYS)


# -- awaited -----------------------------------------------------------------------------------


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("session", [False, True], ids=["connection", "session"])
def test_join_async(new_url, driver, session):
    """A plain function works in a transaction that is awaited, and its result comes back."""
    url = new_url(driver.partition("+")[0])

    async def run(crm):
        parsed, arguments = async_url(url, driver)
        engine = create_async_engine(parsed, poolclass=NullPool, connect_args=arguments)
        async with AsyncSession(engine) if session else engine.connect() as shop:
            async with shop.begin():
                await shop.execute(text("INSERT INTO shop_order VALUES (1)"))
                first = await crm.join_async(
                    shop, lambda tx: tx.record(draft("order.placed", key="1"))
                )
                with failing():
                    async with shop.begin_nested():
                        await crm.join_async(
                            shop, lambda tx: tx.record(draft("order.placed", key="2"))
                        )
                        raise Undone
                with pytest.raises(InputError, match="unknown kind"):
                    await crm.join_async(shop, lambda tx: tx.record("order.placd", email="a@b.de"))
                again = await crm.join_async(
                    shop, lambda tx: tx.record(draft("order.placed", key="1")), actor="staff:grace"
                )
            with failing():
                async with shop.begin():
                    await shop.execute(text("INSERT INTO shop_order VALUES (3)"))
                    await crm.join_async(shop, lambda tx: tx.record(draft("order.placed", key="3")))
                    raise Undone
        await engine.dispose()
        return first, again

    with opened([Tiering()], url=url) as (crm, _):
        first, again = asyncio.run(run(crm))

    assert first == again
    assert [1] == orders(url)
    assert ["1"] == seen(url, KEYS)


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_large_result_can_be_streamed(new_url, driver):
    """Rows come in lists over drivers that are awaited, too, as tuples."""
    url = new_url(driver.partition("+")[0])
    drafts = [draft("order.placed", key=f"{n:03}", email=f"c{n}") for n in range(500)]

    def work(tx):
        from sqlalchemy import select

        from crmcore.persistence.ledger import interaction

        assert (500, 0) == (tx.record_many(drafts).new, tx.record_many(drafts).new)
        wanted = select(interaction.c.source_key).order_by(interaction.c.source_key)
        return list(tx.connection.stream(wanted, size=200))

    async def run(crm):
        parsed, arguments = async_url(url, driver)
        engine = create_async_engine(parsed, poolclass=NullPool, connect_args=arguments)
        async with engine.begin() as connection:
            found = await crm.join_async(connection, work)
        await engine.dispose()
        return found

    with opened(url=url) as (crm, _):
        found = asyncio.run(run(crm))

    assert [200, 200, 100] == [len(part) for part in found]
    assert [(f"{n:03}",) for n in range(500)] == [row for part in found for row in part]


# -- several databases, several shops ----------------------------------------------------------


def test_a_session_of_several_databases(new_url):
    """A session with several engines has to say which; the sentence tells how."""
    url = new_url("sqlite")
    engine = create_engine(url, poolclass=NullPool)
    with opened(url=url) as (crm, _), Session() as session:
        with pytest.raises(InputError, match="bind_arguments"), crm.join(session):
            pytest.fail("it was joined")
        with crm.join(session.connection(bind_arguments={"bind": engine})) as tx:
            tx.record(draft("order.placed", key="1"))
        session.commit()

    assert ["1"] == seen(url, KEYS)


def test_a_deadlock_is_the_shops_to_retry(new_url):
    """Of two shops that wait for each other one is told to do it again, and then succeeds."""
    url = new_url("postgresql")
    ada, bob = Identifier("email", "ada@example.com"), Identifier("email", "bob@example.com")
    both_have_one = threading.Barrier(2, timeout=30)
    retried = []

    def shop(crm, first, second, name):
        for attempt in range(2):
            with closing(psycopg.connect(dsn(url))) as connection:
                try:
                    with crm.join(connection) as tx:
                        tx.record(Draft("order.placed", identifiers=(first,), source_key=name))
                    if not attempt:
                        both_have_one.wait()
                    with crm.join(connection) as tx:
                        key = f"{name}, too"
                        tx.record(Draft("order.placed", identifiers=(second,), source_key=key))
                except RetryTransaction:
                    retried.append(name)
                    connection.rollback()
                    continue
                connection.commit()
                return

    with opened(url=url) as (crm, _):
        for each, key in ((ada, "ada"), (bob, "bob")):
            crm.record(Draft("account.registered", identifiers=(each,), source_key=key))
        threads = [
            threading.Thread(target=shop, args=(crm, ada, bob, "1")),
            threading.Thread(target=shop, args=(crm, bob, ada, "2")),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert 1 == len(retried)
    assert ["1", "1, too", "2", "2, too", "ada", "bob"] == sorted(seen(url, KEYS))
