"""Desks that meet others on PostgreSQL: what is judged is what is done, and nobody counts twice."""

from __future__ import annotations

import threading

import psycopg
import pytest

from crmcore import Crm, Grant, Identifier, Role, Staff
from crmcore.errors import AccessRefusedError, CrmError
from tests.support.databases import drop_schema, dsn, new_schema

ADA, BOB = (Identifier("email", f"{name}@example.com") for name in ("ada", "bob"))
WAITS = "SELECT count(*) FROM pg_locks WHERE NOT granted AND %s = ANY(pg_blocking_pids(pid))"
MINE = Grant(actions=["read", "work"], fields=["tasks"], rows={"task_owner": "me"})
EXPORTS = Grant(actions=["export"], fields=["email"])
ROLES = (Role("front", grants=(MINE,)), Role("exporter", grants=(EXPORTS,), bulk_above=1))
STAFF = (Staff("grace", roles=["front"]), Staff("hal", roles=["exporter"]))


@pytest.fixture
def url():
    made = new_schema()
    yield made
    drop_schema(made)


@pytest.fixture
def crm(url):
    with Crm(url, roles=ROLES, staff=STAFF, durable=False) as opened:
        for whom in (ADA, BOB):
            opened.record("order.placed", email=whom.value)
        yield opened


def waiting(url, transaction, work):
    """Start *work* in a thread; return it and what comes of it once it waits for a transaction."""
    outcomes = []

    def run():
        try:
            outcomes.append(work())
        except CrmError as error:
            outcomes.append(error)

    thread = threading.Thread(target=run)
    ((pid,),) = transaction.exec_driver_sql("SELECT pg_backend_pid()").all()
    thread.start()
    with psycopg.connect(dsn(url), autocommit=True) as admin:
        while not admin.execute(WAITS, (pid,)).fetchone()[0]:  # type: ignore[index]
            assert thread.is_alive()
    return thread, outcomes


def test_a_task_whose_customer_goes_back(crm, url):
    """A right is judged for the customer a task belongs to once both are locked."""
    crm.add_task(ADA, "x", key="x", owner="grace")
    task = crm.add_task(BOB, "of Bob", key="y", owner="somebody")
    merge = crm.merge(ADA, BOB)
    desk = crm.desk("grace")
    with crm.begin() as tx:
        tx.unmerge(merge.id)
        thread, outcomes = waiting(url, tx.connection.sqlalchemy, lambda: desk.finish_task(task.id))
    thread.join()

    assert isinstance(outcomes[0], AccessRefusedError)
    assert [True, True] == [each.task.is_open for each in crm.tasks(is_open=None)]
    assert [("work", "refused", 2)] == [
        (each.action, each.outcome, each.customer_id) for each in crm.accesses_of("grace")
    ]


def test_two_exports_at_once(crm, url):
    """Of two exports by one member one waits for the other, and counts what it took."""
    desk, looking, rights = crm.desk("hal"), crm._parts.looking, crm._parts.roles.rights("hal")
    with crm._begin(actor="staff:hal") as unit:
        first = looking.export(unit, rights, [ADA], reason="asked for", approved_by=None)
        thread, outcomes = waiting(
            url, unit.connection.sqlalchemy, lambda: desk.export(BOB, reason="asked for")
        )
    thread.join()

    assert first.refusal is None
    assert "more than 1 customers alone" in str(outcomes[0])
