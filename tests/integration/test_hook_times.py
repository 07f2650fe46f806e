"""What hooks cost is kept and told of; who takes too much leaves the shop's transactions."""

from __future__ import annotations

from time import thread_time

import pytest

from crmcore import Draft, Kind
from crmcore.services.checkups.doctor import examine
from crmcore.services.checkups.hook_times import BUDGET, REST, hook_times
from crmcore.services.starting.assembly import Assembly
from tests.support.databases import shop_file
from tests.support.making import draft, kinds, plugin
from tests.support.runs import opened

each_database = pytest.mark.each_database


@pytest.fixture
def url(tmp_path):
    return shop_file(tmp_path)


def noting(seconds):
    """Return a plugin that notes each order, and takes so many seconds of CPU for a batch."""

    def note(ctx, event):
        until = thread_time() + seconds[0]
        while thread_time() < until:
            pass
        ctx.record(
            *(
                Draft("notes.noted", customer=item.customer_id, source_key=f"{item.source_key}")
                for item in event
            )
        )

    return plugin("notes", register_kinds=[Kind("notes.noted")], on_interactions_recorded=note)


def kept(crm):
    with crm._read() as unit:
        return {(each.plugin, each.hook): each for each in hook_times(unit.connection)}


@each_database
def test_kept(url):
    """Calls, rows and CPU add up over two runs; the slowest call is the slowest of both."""
    seconds = [0.02]
    for run in range(2):
        with opened([noting(seconds)], url=url) as (crm, _):
            for n in range(3):
                crm.record(draft("order.placed", key=f"{run}/{n}", email=f"c{n}"))
            many = (draft("order.placed", key=f"{run}/{n}", email=f"c{n}") for n in range(10, 15))
            crm.record_many(many)
    with opened([], url=url) as (crm, _):
        found = kept(crm)["notes", "on_interactions_recorded"]

    assert (8, 16) == (found.calls, found.items)
    assert 8 * 20_000 <= found.microseconds
    assert 20_000 <= found.slowest <= found.microseconds


@each_database
def test_rest(url):
    """After three slow calls the plugin rests: the order commits, the worker makes it good."""
    seconds = [3 * BUDGET / 1_000_000]
    with opened([noting(seconds)], url=url) as (crm, clock):
        for n in range(3):
            crm.record(draft("order.placed", key=str(n)))
        assert {} == dict(crm.debts())
        (fault,) = crm.faults("notes")
        assert "more than 50 ms of CPU" in fault.message
        seconds[0] = 0

        crm.record(draft("order.placed", key="3"))
        crm.record(draft("order.placed", key="4", email="bob"))
        assert {"notes": 2} == dict(crm.debts())
        assert 3 == kinds(crm).count("notes.noted")
        crm.worker().once()
        assert {} == dict(crm.debts())
        assert 5 == kinds(crm).count("notes.noted")
        # While it rests it owes again; afterwards it is called as before.
        crm.record(draft("order.placed", key="5"))
        assert {"notes": 1} == dict(crm.debts())
        crm.worker().once()
        clock.advance_to(clock.now() + REST)
        crm.record(draft("order.placed", key="6"))
        assert {} == dict(crm.debts())
        assert 7 == kinds(crm).count("notes.noted")


@each_database
def test_two_slow_calls(url):
    """Two slow calls are none too many, and a quick one in between begins the count anew."""
    slow, quick = 3 * BUDGET / 1_000_000, 0
    seconds = [slow]
    with opened([noting(seconds)], url=url) as (crm, _):
        for n, each in enumerate((slow, slow, quick, slow, slow, quick)):
            seconds[0] = each
            crm.record(draft("order.placed", key=str(n)))

        assert [] == crm.faults("notes")
        assert 6 == kinds(crm).count("notes.noted")


def test_rows_have_a_budget_too(tmp_path):
    """A batch of many rows may take longer: a millisecond for each."""
    seconds = [0.1]
    with opened([noting(seconds)], url=f"sqlite:///{tmp_path}/shop.db") as (crm, _):
        for run in range(4):
            crm.record_many(
                draft("order.placed", key=f"{run}/{n}", email=f"c{n}") for n in range(300)
            )
        assert [] == crm.faults("notes")


@each_database
def test_critical_plugins_do_not_rest(url):
    """The shop waits for plugins that it calls critical."""
    seconds = [3 * BUDGET / 1_000_000]
    with opened([noting(seconds)], url=url, critical=["notes"]) as (crm, _):
        for n in range(5):
            crm.record(draft("order.placed", key=str(n)))

        assert {} == dict(crm.debts())
        assert 5 == kinds(crm).count("notes.noted")


@each_database
def test_doctor(url):
    """The doctor names a plugin that is slow on the whole, not one that was slow once."""
    seconds = [0.0]
    slow = noting(seconds)
    with opened([slow], url=url, critical=["notes"]) as (crm, clock):
        for n in range(20):
            seconds[0] = 0.3 if n == 0 else 0
            crm.record(draft("order.placed", key=str(n)))
        at = clock.now()

    def said():
        return [
            each.found for each in examine(url, Assembly([slow]), at) if each.check == "plugins"
        ]

    assert [] == said()
    with opened([slow], url=url, critical=["notes"]) as (crm, _):
        seconds[0] = 0.15
        for n in range(20, 50):
            crm.record(draft("order.placed", key=str(n)))
    (sentence,) = said()
    assert "on_interactions_recorded of plugin 'notes' took" in sentence
    assert "in 50 calls" in sentence
