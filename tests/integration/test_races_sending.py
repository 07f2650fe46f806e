"""Sixteen threads on PostgreSQL: opt-outs against claims and hand-overs, and several workers.

The order of commits is the server's own (`track_commit_timestamp`); triggers of the test's own
note which transaction claimed and handed over which message.
"""

import sys
import threading
import time
from collections import Counter
from random import Random
from typing import Any

import psycopg
import pytest

from crmcore import Accepted, Crm, Identifier, VirtualClock
from crmcore.domain.message import Content
from crmcore.errors import InputError, RetryTransaction
from crmcore.services.messaging import claims
from tests.support.databases import drop_schema, dsn, new_schema
from tests.support.histories import START, instant
from tests.support.making import plugin, raising
from tests.support.sending import BROADCAST, Post, assert_sums, message, people, states

SEED = 20260902
WORKERS, CALLERS = 4, 12
PEOPLE = 600
NEWS: dict[str, Any] = {"purpose": "news", "channel": "email"}

WAITS = "SELECT count(*) FROM pg_locks WHERE NOT granted AND %s = ANY(pg_blocking_pids(pid))"
NOTES = """
CREATE TABLE shop_note (what text, message_id bigint, customer_id bigint, xid xid8);
CREATE FUNCTION shop_note_claim() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO shop_note VALUES (NEW.state, NEW.message_id, NEW.customer_id, pg_current_xact_id());
    RETURN NULL;
END $$;
CREATE TRIGGER shop_note_claim AFTER UPDATE ON crm_message FOR EACH ROW
    WHEN (NEW.state <> OLD.state) EXECUTE FUNCTION shop_note_claim();
"""
# What was claimed or handed over by a transaction that committed after the no had committed.
LATE = """
SELECT n.what, n.customer_id FROM shop_note n
JOIN crm_message m ON m.message_id = n.message_id AND m.purpose = 'news'
JOIN crm_interaction i ON i.customer_id = n.customer_id AND i.kind = 'consent.withdrawn'
WHERE n.what IN ('claimed', 'handed')
AND pg_xact_commit_timestamp(n.xid::text::xid) > pg_xact_commit_timestamp(i.xid::text::xid)
"""
# Withheld after a claim: where the no came in between, which is what the race is about.
BETWEEN = """
SELECT count(DISTINCT c.message_id) FROM shop_note c JOIN shop_note w USING (message_id)
WHERE c.what = 'claimed' AND w.what = 'withheld'
"""


@pytest.fixture
def url():
    made = new_schema()
    yield made
    drop_schema(made)


def together(works):
    """Run works in a thread each; raise the first error."""
    errors = []

    def run(work):
        try:
            work()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not any(thread.is_alive() for thread in threads)
    if errors:
        raise errors[0]


def test_nothing_is_claimed_or_handed_over_after_an_opt_out(url, monkeypatch):
    """Sixteen threads: by the order of commits none is; every message is delivered once."""
    monkeypatch.setattr(claims, "AT_ONCE", 40)

    def slowly(deliveries):
        time.sleep(0.005)
        return [Accepted()] * len(deliveries)

    post, clock = Post(whole=slowly, at_once=5), VirtualClock(instant(START))
    with (
        Crm(url, plugins=[post], clock=clock, durable=False) as crm,
        psycopg.connect(dsn(url), autocommit=True) as server,
    ):
        customers = people(crm, PEOPLE)
        with crm.begin() as tx:
            for each in customers:
                tx.record("consent.given", customer=each, payload=NEWS)
        server.execute(NOTES)
        crm.broadcast("news", customers, content=Content(text="News"), **NEWS)
        done = threading.Event()

        def work():
            while not done.is_set():
                crm.deliver()
                time.sleep(0.001)

        def call(number):
            random = Random(SEED + number)
            mine = customers[number::CALLERS]
            random.shuffle(mine)
            for each in mine[: len(mine) * 2 // 3]:
                for _ in range(5):
                    try:
                        crm.record("consent.withdrawn", customer=each, payload={"purpose": "news"})
                        break
                    except RetryTransaction:
                        continue
                # A message that is planned after the no, and one that has to be told.
                crm.send(message(each, f"late/{number}", purpose="news"))
                if random.random() < 0.3:
                    crm.send(message(each, f"told/{number}"))

        def call_all():
            together([lambda number=number: call(number) for number in range(CALLERS)])
            done.set()

        together([*([work] * WORKERS), call_all])
        # What was claimed, and whose customer was busy then, comes when the claim has ended.
        clock.advance_to(clock.now() + 2 * claims.CLAIMED_FOR)
        crm.deliver()

        assert [] == server.execute(LATE).fetchall()
        ((between,),) = server.execute(BETWEEN).fetchall()
        found = states(crm)
        twice = Counter((each.message.key, each.address) for each in post.handed)
        assert {1} == set(twice.values())
        assert {"accepted", "withheld"} == found.keys()
        assert PEOPLE == states(crm, "news").total()
        assert len(post.handed) == found["accepted"]
        assert 0 < states(crm, "news")["accepted"]
        assert 0 < states(crm, "news")["withheld"]
        assert 0 < between
        assert_sums(crm)
        sys.stdout.write(f"seed {SEED}: {dict(found)}; {between} were claimed when the no came\n")


def test_what_cannot_be_prepared_waits_for_nobody(url):
    """A worker leaves it to whoever has the customer, so that neither can block the other."""

    def write(ctx, event):
        for each in event:
            if each.kind == "account.registered":
                ctx.send(message(each.customer_id))

    letters = plugin("letters", prepare_message=raising, on_interactions_recorded=write)
    clock = VirtualClock(instant(START))
    terms: dict[str, Any] = {"plugins": [Post(), letters], "clock": clock, "durable": False}
    with Crm(url, **terms) as shop, Crm(url, **terms) as worker:
        (ada,) = people(shop, 1)
        delivering, channel = worker._parts.delivering, worker.assembly.channels["email"]
        claim = delivering._claim(channel)
        assert 1 == len(claim.messages)
        with shop.begin() as tx:
            tx.record("order.placed", customer=ada, amount="3.00")
            delivering._carry(channel, claim, claim.messages)
            assert {"claimed": 1} == states(worker)
            tx.withhold(Identifier("email", "p0@example.com"))
        assert {"withheld": 1} == states(worker)


def test_a_key_is_of_a_broadcast_or_of_single_messages(url):
    """Planned at once, the one who comes second is told so, in a sentence."""
    told = []
    with Crm(url, plugins=[Post()], clock=VirtualClock(instant(START)), durable=False) as crm:
        (ada,) = people(crm, 1)

        def say_to_all():
            try:
                crm.broadcast("hello", [ada], **BROADCAST)
            except InputError as error:
                told.append(str(error))

        thread = threading.Thread(target=say_to_all)
        with crm.begin() as tx, psycopg.connect(dsn(url), autocommit=True) as watching:
            tx.send(message(ada))
            pid = tx.connection.sqlalchemy.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
            thread.start()
            while not watching.execute(WAITS, (pid,)).fetchone()[0]:  # type: ignore[index]
                assert thread.is_alive()
        thread.join(60)
        (sentence,) = told
        assert "'hello' is the key of messages that were planned one by one" in sentence
        assert {"planned": 1} == states(crm)


def test_several_workers_deliver_each_message_once(url, monkeypatch):
    """Sixteen at once on one broadcast, each with an application of its own."""
    monkeypatch.setattr(claims, "AT_ONCE", 20)
    posts = [Post(at_once=7) for _ in range(WORKERS + CALLERS)]
    clock = VirtualClock(instant(START))
    with Crm(url, plugins=[posts[0]], clock=clock, durable=False) as crm:
        customers = people(crm, PEOPLE)
        crm.broadcast(
            "all", customers, purpose="service", channel="email", content=Content(text="All")
        )

        def work(post):
            with Crm(url, plugins=[post], clock=clock, durable=False) as own:
                while "planned" in states(own):
                    own.deliver()

        together([lambda post=post: work(post) for post in posts])
        clock.advance_to(clock.now() + 2 * claims.CLAIMED_FOR)
        crm.deliver()

        addresses = Counter(each.address for post in posts for each in post.handed)
        assert PEOPLE == len(addresses)
        assert {1} == set(addresses.values())
        assert {"accepted": PEOPLE} == states(crm)
        busy = sum(bool(post.handed) for post in posts)
        assert busy > 1
        assert_sums(crm)
        sys.stdout.write(f"{busy} of {len(posts)} workers had something to deliver\n")


def test_a_no_by_a_guest_whom_nobody_knew_locks_whose_messages_it_holds_back(url):
    """Whoever else is about to write to them waits, so that none waits for the other for good."""
    ada = Identifier("email", "ada@example.com")
    with Crm(url, plugins=[Post()]) as crm:
        who = crm.record("account.registered", identifiers=[ada]).customer_id
        crm.give_consent(who, "news", "email")
        crm.send(message(who, purpose="news"))
        lock = "SELECT 1 FROM crm_customer WHERE customer_id = %s FOR UPDATE NOWAIT"
        with psycopg.connect(dsn(url)) as other, crm.begin() as tx:
            tx.withdraw_consent(Identifier("guest_email", ada.value))
            with pytest.raises(psycopg.errors.LockNotAvailable):
                other.execute(lock, (who,))
        assert {"withheld": 1} == states(crm)
