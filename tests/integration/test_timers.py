"""Timers catch up as they were set to, a portion at a time, beside whoever else writes."""

import threading
from typing import Any

import psycopg
import pytest
from sqlalchemy import func, select

from crmcore import Draft, Kind
from crmcore.domain.clock import DAY
from crmcore.domain.timer import HOUR
from crmcore.errors import InputError
from crmcore.persistence.connection import Connection
from crmcore.persistence.customers import customer as known
from crmcore.persistence.ledger import interaction
from crmcore.services.background import timers
from tests.support.databases import drop_schema, dsn, new_schema, shop_file
from tests.support.making import draft, kinds, plugin, rows, us
from tests.support.runs import opened

each_database = pytest.mark.each_database


@pytest.fixture
def url(tmp_path):
    return shop_file(tmp_path)


@pytest.fixture
def postgresql():
    url = new_schema()
    yield url
    drop_schema(url)


def daily(catch_up, heard, **options):
    """Return a plugin that is called every day, and sets its timer by the one formula."""

    def fire(ctx, event):
        heard.append((event.due, event.until, len(event.timers), len(event.skipped)))
        following = (event.until // DAY + 1) * DAY
        for each in (*event.timers, *event.skipped):
            ctx.set_timer(each.key, following, each.customer_id, catch_up=catch_up, **options)

    return plugin(
        "daily",
        on_started=lambda ctx, event: ctx.set_timer("day", us(1), catch_up=catch_up, **options),
        on_timers_due=fire,
    )


# -------------------------------------------------------------------------------- catching up


@each_database
def test_late_has_every_instant_its_turn(url):
    """Who is `late` is called for each missed instant, in order."""
    heard: list[Any] = []
    with opened([daily("late", heard)], url=url) as (crm, clock):
        clock.advance_to(us(3.5))
        crm.run_due()
        following = crm.next_due()

    assert [(us(n), us(n), 1, 0) for n in (1, 2, 3)] == heard
    assert us(4) == following


@each_database
def test_merge_is_one_call(url):
    """Who merges is called once for all that was missed, and next after the present instant."""
    heard: list[Any] = []
    with opened([daily("merge", heard)], url=url) as (crm, clock):
        clock.advance_to(us(3.5))
        crm.run_due()
        following = crm.next_due()

    assert [(us(1), us(3.5), 1, 0)] == heard
    assert us(4) == following


@each_database
@pytest.mark.parametrize(
    ("hours", "acted", "skipped"), [(0, 1, 0), (1, 1, 0), (2, 1, 0), (2.001, 0, 1), (60, 0, 1)]
)
def test_skip_after_the_grace(url, hours, acted, skipped):
    """Who is later than the grace is in `skipped`, and is set again by the same formula."""
    heard: list[Any] = []
    with opened([daily("skip", heard, grace=2 * HOUR)], url=url) as (crm, clock):
        now = us(1 + hours / 24)
        clock.advance_to(now)
        crm.run_due()
        following = crm.next_due()

    assert [(us(1), now, acted, skipped)] == heard
    assert (now // DAY + 1) * DAY == following


@each_database
@pytest.mark.parametrize("catch_up", ["late", "merge", "skip"])
def test_in_time_all_are_the_same(url, catch_up):
    """At the very instant, `until` is `due` whatever the policy: so replays do not change."""
    heard: list[Any] = []
    with opened([daily(catch_up, heard)], url=url) as (crm, clock):
        for day in (1, 2, 3):
            clock.advance_to(us(day))
            crm.run_due()

    assert [(us(n), us(n), 1, 0) for n in (1, 2, 3)] == heard


@each_database
@pytest.mark.parametrize("catch_up", ["late", "merge", "skip"])
def test_set_again_for_what_is_dealt_with(url, catch_up):
    """A timer set again for `until` or earlier is its plugin's fault, and is tried again later."""
    stuck = plugin(
        "stuck",
        on_started=lambda ctx, event: ctx.set_timer("now", us(1), catch_up=catch_up),
        on_timers_due=lambda ctx, event: ctx.set_timer("now", event.until),
    )
    with opened([stuck], url=url, at=us(2)) as (crm, _):
        crm.run_due()

        (fault,) = crm.faults("stuck")
        assert "InputError" == fault.error
        assert "a later instant is expected" in fault.message
        assert us(2) + 60_000_000 == crm.next_due()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"catch_up": "skipp"}, "did you mean 'skip'"),
        ({"catch_up": "never"}, "'late', 'skip', 'merge'"),
        ({"catch_up": "skip", "grace": -1}, "the grace is -1"),
    ],
)
def test_a_policy_that_is_none(values, said):
    """An unknown policy, or a negative grace, is refused; the nearest right one is named."""
    refused = []

    def start(ctx, event):
        with pytest.raises(InputError, match=said) as caught:
            ctx.set_timer("day", us(1), **values)
        refused.append(str(caught.value))

    with opened([plugin("wrong", on_started=start)]) as (crm, _):
        assert crm.next_due() is None
    assert 1 == len(refused)


# ---------------------------------------------------------------------------------- portions


def counting(heard, at, *, also=(), fails_for=0):
    """Return a plugin that sets a timer for every customer, and decides when it fires."""

    def follow(ctx, event):
        for item in event:
            if item.kind == "order.placed":
                ctx.set_timer("thank", at, item.customer_id)

    def fire(ctx, event):
        heard.append([timer.customer_id for timer in event])
        ctx.record(
            *(
                Draft("count.fired", customer=timer.customer_id, source_key=f"{timer.due_instant}")
                for timer in event
                if timer.customer_id is not None
            )
        )
        if fails_for in heard[-1]:
            raise ValueError("told to fail")

    def start(ctx, event):
        for key in also:
            ctx.set_timer(key, at)

    return plugin(
        "count",
        register_kinds=[Kind("count.fired")],
        on_started=start,
        on_interactions_recorded=follow,
        on_timers_due=fire,
    )


def order_of_each(crm, count):
    return crm.record_many(
        draft("order.placed", key=str(n), email=f"c{n}") for n in range(count)
    ).new


@each_database
def test_portions(url):
    """Each of 2,500 timers fires once, at most 1,000 at a time, the whole shop's by itself."""
    heard: list[Any] = []
    with opened([counting(heard, us(1), also=["all"])], url=url) as (crm, clock):
        assert 2500 == order_of_each(crm, 2500)
        clock.advance_to(us(2))
        assert 1 == crm.run_due()
        fired = kinds(crm).count("count.fired")

    assert [[None], 1000, 1000, 500] == [heard[0], *map(len, heard[1:])]
    assert 2500 == len({customer for portion in heard[1:] for customer in portion}) == fired


@each_database
def test_one_that_fails(url):
    """Of many timers only the one that fails is tried again; it leaves a fault each time."""
    with opened([counting([], us(1), fails_for=7)], url=url) as (crm, clock):
        order_of_each(crm, 40)
        clock.advance_to(us(1))
        crm.run_due()
        assert 39 == kinds(crm).count("count.fired")
        assert 1 == len(crm.faults("count"))
        assert "timer 'thank' of customer 7" in crm.faults("count")[0].trace
        tries = []
        while (due := crm.next_due()) is not None and not crm.parked_timers():
            tries.append((due - us(1)) // 60_000_000)
            clock.advance_to(due)
            crm.run_due()
        assert 39 == kinds(crm).count("count.fired")
        assert 8 == len(crm.faults("count"))
        assert {"count": 1} == dict(crm.parked_timers())

    assert [1, 3, 7, 15, 31, 63, 127] == tries  # minutes: 1, then 2, 4, 8 ... more


@each_database
def test_a_customer_who_is_not_there(url):
    """A timer about a customer nobody knows fires, and keeps nobody else waiting."""
    heard: list[Any] = []
    lost = plugin(
        "lost",
        on_started=lambda ctx, event: ctx.set_timer("lost", us(1), 4711),
        on_timers_due=lambda ctx, event: heard.extend(t.customer_id for t in event),
    )
    with opened([lost], url=url, at=us(2)) as (crm, _):
        crm.run_due()
        assert crm.next_due() is None

    assert [4711] == heard


# ------------------------------------------------------------------------ beside other writers


def test_a_busy_customer_is_left(postgresql):
    """A customer whom another transaction has is left for the next time; the others fire."""
    heard: list[Any] = []
    with opened([counting(heard, us(1))], url=postgresql) as (crm, clock):
        order_of_each(crm, 5)
        clock.advance_to(us(1))
        with psycopg.connect(dsn(postgresql)) as shop:
            shop.execute("SELECT 1 FROM crm_customer WHERE customer_id = 3 FOR NO KEY UPDATE")
            crm.run_due()
            assert [[1, 2, 4, 5]] == heard
        crm.run_due()

    assert [[1, 2, 4, 5], [3]] == heard


def test_one_state_of_all_customers(postgresql):
    """What is committed while the whole shop is looked at is not seen half."""
    seen = []
    count = select(func.count()).select_from(interaction)

    def look(ctx, event):
        seen.append(ctx.execute(count)[0][0])
        crm.record(draft("order.placed", key="2", email="b"))
        seen.append(ctx.execute(count)[0][0])

    watcher = plugin(
        "watcher",
        on_started=lambda ctx, event: ctx.set_timer("look", us(1)),
        on_timers_due=look,
    )
    with opened([watcher], url=postgresql) as (crm, clock):
        crm.record(draft("order.placed", key="1", email="a"))
        clock.advance_to(us(1))
        crm.run_due()
        assert 2 == len(kinds(crm))

    assert [1, 1] == seen


def test_two_that_stand_in_each_others_way(postgresql):
    """A serialisation failure is no failure of the plugin: the timer fires again at once."""
    calls = []

    def decide(ctx, event):
        calls.append(ctx.execute(select(known.c.revision)))
        if len(calls) == 1:
            with psycopg.connect(dsn(postgresql)) as other:
                other.execute("UPDATE crm_customer SET revision = 5")
        ctx.record(Draft("way.gone", customer=1, source_key="once"))

    way = plugin(
        "way",
        register_kinds=[Kind("way.gone")],
        on_started=lambda ctx, event: ctx.set_timer("go", us(1)),
        on_timers_due=decide,
    )
    with opened([way], url=postgresql) as (crm, clock):
        crm.record(draft("order.placed", key="1"))
        clock.advance_to(us(1))
        crm.run_due()

        assert [[(0,)], [(5,)]] == calls
        assert ["order.placed", "way.gone"] == kinds(crm)
        assert [] == crm.faults("way")
        assert {} == dict(crm.parked_timers())


def test_no_timer_before_a_stage(postgresql):
    """While a customer who is to move on is busy, timers due with that wait for them."""
    heard: list[Any] = []
    watcher = plugin(
        "watcher",
        on_started=lambda ctx, event: ctx.set_timer("look", us(400)),
        on_timers_due=lambda ctx, event: heard.append("timer"),
        on_stages_changed=lambda ctx, event: heard.extend(c.to_stage for c in event),
    )
    with opened([watcher], url=postgresql) as (crm, clock):
        crm.record(draft("order.placed", key="1"))
        crm.record(draft("order.delivered", 1, key="2"))
        heard.clear()
        clock.advance_to(us(400))
        with psycopg.connect(dsn(postgresql)) as shop:
            shop.execute("SELECT 1 FROM crm_customer WHERE customer_id = 1 FOR NO KEY UPDATE")
            crm.run_due()
            assert [] == heard
        crm.run_due()
        stages = rows(crm, "SELECT to_stage FROM crm_stage_change ORDER BY step")

    assert "timer" == heard[-1]
    assert stages[-1] == (heard[-2],)


# ------------------------------------------------------------------------- of who was merged


@each_database
def test_set_for_who_was_merged_meanwhile(url):
    """A timer set for somebody who was merged while that was decided is the survivor's."""
    heard: list[Any] = []
    merges = [True]

    def hear(ctx, event):
        for item in event:
            if item.source_key == "2":
                if merges:
                    merges.clear()
                    crm.merge(1, 2)
                ctx.set_timer("later", us(5), item.customer_id)

    ears = plugin(
        "ears",
        after_interactions_recorded=hear,
        on_timers_due=lambda ctx, event: heard.extend(t.customer_id for t in event),
    )
    with opened([ears], url=url) as (crm, clock):
        crm.record(draft("order.placed", key="1", email="a"))
        crm.record(draft("order.placed", key="2", email="b"))
        crm.worker().once()
        with crm.begin() as tx, tx.acting(type(ears)) as (_, ctx):
            assert us(5) == ctx.find_timer("later", 2)
            ctx.set_timer("gone", us(5), 2)
            assert us(5) == ctx.find_timer("gone", 1)
            ctx.cancel_timer("gone", 2)
        clock.advance_to(us(6))
        crm.run_due()

    assert [1] == heard


def test_set_while_they_are_merged(postgresql):
    """A merge waits for whoever has set a timer of the two, and moves it."""
    ears = plugin("ears", on_timers_due=lambda ctx, event: None)
    with opened([ears], url=postgresql) as (crm, _):
        crm.record(draft("order.placed", key="1", email="a"))
        crm.record(draft("order.placed", key="2", email="b"))
        thread = threading.Thread(target=lambda: crm.merge(1, 2))
        with crm.begin() as tx, tx.acting(type(ears)) as (_, ctx):
            ctx.set_timer("later", us(5), 2)
            thread.start()
            thread.join(0.5)
        thread.join()

        assert [(1,)] == rows(crm, "SELECT customer_id FROM crm_timer")


@each_database
def test_a_batch_is_looked_up_once(url, monkeypatch):
    """A timer of a customer of the batch costs one statement, since they are locked already."""
    counted: list[int] = []
    ran: list[str] = []
    run = Connection._run

    def noted(self, sql, *rest):
        ran.append(sql)
        return run(self, sql, *rest)

    def hear(ctx, event):
        monkeypatch.setattr(Connection, "_run", noted)
        for number in range(10):
            ctx.set_timer(f"{number}", us(5), next(iter(event)).customer_id)
        monkeypatch.undo()
        counted.append(len(ran))

    ears = plugin("ears", on_interactions_recorded=hear)
    with opened([ears], url=url) as (crm, _):
        crm.record(draft("order.placed", key="1"))

    assert [10] == counted


# -------------------------------------------------------------------------------------- laws


@pytest.mark.parametrize("size", [1, 3])
def test_the_size_of_portions_changes_nothing(monkeypatch, size):
    """Timers fired one by one, or three at a time, leave what all at once leave."""

    def run():
        with opened([counting([], us(1), also=["all", "some"])]) as (crm, clock):
            order_of_each(crm, 10)
            clock.advance_to(us(1))
            crm.run_due()
            return rows(crm, "SELECT kind, customer_id, source_key FROM crm_interaction ORDER BY 2")

    whole = run()
    monkeypatch.setattr(timers, "AT_ONCE", size)

    assert 20 == len(whole)
    assert sorted(whole) == sorted(run())
