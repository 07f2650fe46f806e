"""Debts are paid by the worker, and one poisoned customer keeps nobody else in debt."""

import psycopg
import pytest

from crmcore import Draft, Kind
from tests.support.databases import drop_schema, dsn, new_schema, shop_file
from tests.support.making import draft, kinds, plugin, rows, us
from tests.support.runs import opened

each_database = pytest.mark.each_database

MINUTE = 60_000_000


@pytest.fixture
def url(tmp_path):
    return shop_file(tmp_path)


class Broken:
    """What a plugin is told to fail for: everybody, some customers, or nobody."""

    everybody = True
    customers: frozenset[int] = frozenset()

    def check(self, customers):
        if self.everybody or self.customers & set(customers):
            raise ValueError("told to fail")


def noting(broken):
    """Return a plugin that notes each order, or fails as it was told to."""

    def note(ctx, event):
        items = list(event)
        broken.check(item.customer_id for item in items)
        ctx.record(
            *(
                Draft("notes.noted", customer=item.customer_id, source_key=f"{item.source_key}")
                for item in items
            )
        )

    return plugin("notes", register_kinds=[Kind("notes.noted")], on_interactions_recorded=note)


def orders(crm, count):
    crm.record_many(draft("order.placed", key=str(n), email=f"c{n}") for n in range(count))


def noted(crm):
    return kinds(crm).count("notes.noted")


@each_database
def test_one_poisoned_customer(url):
    """Of 1,200 in debt all are paid but the poisoned one, who leaves one fault for each try."""
    broken = Broken()
    with opened([noting(broken)], url=url) as (crm, clock):
        orders(crm, 1200)
        assert {"notes": 1200} == dict(crm.debts())
        before = len(crm.faults("notes"))
        broken.everybody, broken.customers = False, frozenset({500})
        crm.worker().once()

        assert {"notes": 1} == dict(crm.debts())
        assert 1199 == noted(crm)
        assert before + 1 == len(crm.faults("notes"))
        assert "customer 500" in crm.faults("notes")[0].trace
        assert [(500, 1, clock.now() + MINUTE)] == rows(
            crm, "SELECT customer_id, attempt, run_at FROM crm_debt"
        )


@each_database
def test_faults_stay_sensible(url):
    """Where all 300 of a portion fail, twenty faults are written down, not one for each."""
    with opened([noting(Broken())], url=url) as (crm, _):
        orders(crm, 300)
        before = len(crm.faults("notes", most=500))
        crm.worker().once()

        assert 20 == len(crm.faults("notes", most=500)) - before
        assert {"notes": 300} == dict(crm.debts())


@each_database
def test_backing_off(url):
    """The worker tries again after 1, 2, 4 ... minutes; by hand it is tried at once."""
    broken = Broken()
    with opened([noting(broken)], url=url) as (crm, clock):
        orders(crm, 1)
        worker, tries = crm.worker(), []
        for minute in range(40):
            clock.advance_to(us(0) + minute * MINUTE)
            before = len(crm.faults("notes", most=50))
            worker.once()
            if len(crm.faults("notes", most=50)) > before:
                tries.append(minute)
        broken.everybody = False
        worker.once()
        assert {"notes": 1} == dict(crm.debts())
        assert {"notes": 1} == dict(crm.pay_debts())
        assert 1 == noted(crm)

    assert [0, 1, 3, 7, 15, 31] == tries


@each_database
def test_starting_anew(url):
    """Whoever starts anew may have been mended, so the worker tries at once."""
    with opened([noting(Broken())], url=url) as (crm, _):
        orders(crm, 2)
        crm.worker().once()
        assert {"notes": 2} == dict(crm.debts())
    mended = Broken()
    mended.everybody = False
    with opened([noting(mended)], url=url) as (crm, _):
        crm.worker().once()

        assert {} == dict(crm.debts())
        assert 2 == noted(crm)


def test_a_busy_customer_is_left():
    """On PostgreSQL a customer whom another transaction has is left for the next time."""
    url, broken = new_schema(), Broken()
    try:
        with opened([noting(broken)], url=url) as (crm, _):
            orders(crm, 4)
            broken.everybody = False
            with psycopg.connect(dsn(url)) as shop:
                shop.execute("SELECT 1 FROM crm_customer WHERE customer_id = 2 FOR NO KEY UPDATE")
                assert {"notes": 3} == dict(crm.pay_debts())
                assert [(2,)] == rows(crm, "SELECT customer_id FROM crm_debt")
            assert {"notes": 1} == dict(crm.pay_debts())
            assert 4 == noted(crm)
    finally:
        drop_schema(url)
