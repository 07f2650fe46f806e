"""Delivering: what a message costs does not grow with how many get it."""

import psycopg
from sqlalchemy import Engine, event

from crmcore import Crm, VirtualClock
from tests.support.databases import drop_schema, dsn, new_schema
from tests.support.histories import START, instant
from tests.support.sending import BROADCAST, Post, people

NOW = instant(START)
STEP = 100  # instructions of SQLite's machine, of which every hundredth is told


def deliver(url, customers):
    """Deliver a broadcast to so many, once they are there; calls what it yields in between."""
    post = Post(at_once=100)
    with Crm(url, plugins=[post], clock=VirtualClock(NOW), durable=False) as crm:
        people(crm, customers)
        crm.broadcast("to-all", "everyone", **BROADCAST)
        yield
        crm.deliver()
        assert customers == len(post.handed)


def instructions(customers):
    """Return how many instructions SQLite takes to deliver a broadcast to so many."""
    counted = 0

    def count():
        nonlocal counted
        counted += 1
        return 0

    def listen(connection, _):
        connection.set_progress_handler(count, STEP)

    event.listen(Engine, "connect", listen)
    try:
        for _ in deliver("sqlite://", customers):
            counted = 0
    finally:
        event.remove(Engine, "connect", listen)
    return counted


def rows_read(customers):
    """Return how many rows of messages PostgreSQL reads for the same, and to plan it."""
    url = new_schema()
    try:
        for _ in deliver(url, customers):
            pass
        with psycopg.connect(dsn(url)) as connection:
            read = (
                "SELECT coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0) "
                "FROM pg_stat_user_tables WHERE relname = 'crm_message' "
                "AND schemaname = current_schema()"
            )
            ((found,),) = connection.execute(read).fetchall()
    finally:
        drop_schema(url)
    return found


def test_a_message_of_a_large_broadcast_costs_sqlite_what_one_of_a_small_one_does():
    """Four times the customers are four times the work, and not sixteen times."""
    small, large = instructions(300), instructions(1200)
    assert small > 0
    assert large < 5.5 * small


def test_postgresql_reads_few_rows_for_a_message_of_a_large_broadcast():
    """Before it has statistics, too; it may read small tables whole, once for a hundred."""
    assert 1 < rows_read(2000) / 2000 < 200
