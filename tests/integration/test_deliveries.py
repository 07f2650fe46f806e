"""Deliveries: claimed, handed over, settled, and all that may go wrong with it."""

import pytest

from crmcore import Crm, VirtualClock
from crmcore.domain.clock import DAY, SECOND
from crmcore.domain.message import (
    Accepted,
    Deferred,
    Failed,
    Unknown,
)
from tests.support.databases import scratch
from tests.support.histories import START, instant
from tests.support.making import rows
from tests.support.sending import BROADCAST, Post, assert_sums, message, people, states

pytestmark = pytest.mark.each_database

NOW = instant(START)
HOUR = 3600 * SECOND


@pytest.fixture
def clock():
    return VirtualClock(NOW)


def open_crm(clock, *plugins, url=None, **options):
    return Crm(url or scratch(), plugins=plugins, clock=clock, durable=False, **options)


# ----------------------------------------------------------------------------- what answers


def test_what_is_deferred_is_tried_again_and_given_up(clock):
    """The delay doubles, the provider's wish counts, the key stays; after 8 attempts it failed."""
    post = Post(
        answer=lambda each: Deferred("not now", 7200 if each.message.attempt == 3 else None)
    )
    with open_crm(clock, post) as crm:
        (ada,) = people(crm, 1)
        crm.send(message(ada))
        waits = []
        while (due := crm.next_due()) is not None:
            waits.append((due - clock.now()) // SECOND)
            clock.advance_to(due)
            crm.deliver()

        assert [0, 60, 120, 7200, 480, 960, 1920, 3840] == waits
        assert 1 == len({each.idempotency_key for each in post.handed})
        (found,) = crm.messages(ada)
        assert ("failed", "provider", 8) == (found.state, found.gate, found.attempt)
        assert "given up after 8 attempts: not now" == found.reason
        assert "message.failed" == crm.customer(ada).latest[0].kind
        assert_sums(crm)


def test_a_failed_address_is_written_to_no_more(clock):
    """Failed(undeliverable=True) withholds the point, and what waits for it is withheld at once."""
    post = Post(answer=lambda each: Failed("no such box", undeliverable=True))
    with open_crm(clock, post) as crm:
        ada, grace = people(crm, 2)
        crm.send(message(ada, "first", priority=1))
        crm.send(message(ada, "second"))
        crm.deliver()

        assert {("first", "failed"), ("second", "withheld")} == {
            (each.key, each.state) for each in crm.messages(ada)
        }
        third = crm.send(message(ada, "third"))
        assert ("withheld", "withheld") == (third.state, third.gate)
        assert "planned" == crm.send(message(grace)).state
        assert 1 == len(post.handed)


@pytest.mark.parametrize(
    ("kind", "payload", "withheld"),
    [
        ("message.bounced", {"bounce": "hard", "address": "P0@Example.com"}, True),
        ("message.bounced", {"message": "first"}, True),
        ("message.bounced", {"bounce": "soft", "address": "p0@example.com"}, False),
        ("message.complained", {"reference": "ref-first"}, True),
        ("message.opened", {"message": "first"}, False),
        ("message.clicked", {"message": "first", "link": "shoes"}, False),
        ("message.delivered", {"message": "first"}, False),
    ],
)
def test_what_comes_back_withholds_the_address(clock, kind, payload, withheld):
    """Hard bounces and complaints do, even for what is claimed; the others tell only."""
    with open_crm(clock, Post()) as crm:
        (ada,) = people(crm, 1)
        crm.send(message(ada, "first"))
        crm.deliver()
        crm.record("consent.given", customer=ada, payload={"purpose": "news", "channel": "email"})
        crm.send(message(ada, "waits", purpose="news", not_before=NOW + DAY))
        crm.record(kind, customer=ada, payload=payload, channel="email", source="provider")

        (found,) = crm.messages(ada, key="waits")
        assert ("withheld" if withheld else "planned") == found.state
        service = crm.send(message(ada, "service"))
        is_bounce = kind == "message.bounced" and withheld
        assert ("withheld" if is_bounce else "planned") == service.state


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        (lambda deliveries: [Accepted()], "returned 1 outcomes for 3"),
        (lambda deliveries: [Accepted()] * 4, "returned 4 outcomes for 3"),
        (lambda deliveries: None, "returned None"),
        (lambda deliveries: "yes", "returned 'yes'"),
        (lambda deliveries: 1 / 0, "ZeroDivisionError"),
    ],
)
def test_a_channel_that_breaks_leaves_nothing_certain(clock, answers, says):
    """Raising, or no outcome for each: all of the call are unknown, and nobody is sent it again."""
    post = Post(whole=answers)
    with open_crm(clock, post) as crm:
        customers = people(crm, 3)
        crm.broadcast("all", customers, **BROADCAST)
        crm.deliver()
        clock.advance_to(NOW + DAY)
        crm.deliver()

        assert {"unknown": 3} == states(crm)
        assert says in crm.messages(customers[0])[0].reason
        assert "message.unknown" == crm.customer(customers[0]).latest[0].kind
        assert 3 == len(post.handed)
        assert "post" == crm.faults("post")[0].plugin
        assert_sums(crm)


def test_one_answer_that_is_none_is_about_one_message(clock):
    """What is no outcome says nothing of its own message, and the others stand."""
    answers = {"p0@example.com": "yes!", "p1@example.com": Accepted(), "p2@example.com": None}
    with open_crm(clock, Post(answer=lambda each: answers[each.address])) as crm:
        crm.broadcast("all", people(crm, 3), **BROADCAST)
        crm.deliver()

        assert {"accepted": 1, "unknown": 2} == states(crm)
        assert_sums(crm)


UNSTORABLE = "bad \0 and \udcff"


class Untellable:
    """What cannot even say what it is."""

    def __str__(self):
        raise ValueError(UNSTORABLE)

    __repr__ = __str__


@pytest.mark.parametrize(
    ("answer", "ends"),
    [
        (Accepted(UNSTORABLE), "accepted"),
        (Accepted(4711), "accepted"),  # type: ignore[arg-type]
        (Failed(UNSTORABLE), "failed"),
        (Failed(ValueError("an error and no text")), "failed"),  # type: ignore[arg-type]
        (Deferred("later", "30"), "deferred"),  # type: ignore[arg-type]
        (Deferred("later", float("inf")), "deferred"),
        (Deferred("later", float("nan")), "deferred"),
        (Deferred("later", 1e14), "deferred"),
        (Deferred(UNSTORABLE, "soon"), "deferred"),  # type: ignore[arg-type]
        (Unknown(UNSTORABLE), "unknown"),
        (Failed(Untellable()), "unknown"),  # type: ignore[arg-type]
        (Untellable(), "unknown"),
    ],
)
def test_an_answer_that_cannot_be_written_concerns_one_message(clock, answer, ends):
    """It is mended, or its message is unknown; the others of the call stand, and nothing raises."""
    post = Post(answer=lambda each: answer if each.address == "p0@example.com" else Accepted())
    with open_crm(clock, post) as crm:
        customers = people(crm, 3)
        crm.broadcast("all", customers, **BROADCAST)
        crm.deliver()

        assert ends == crm.messages(customers[0])[0].state
        assert {"accepted"} == {crm.messages(each)[0].state for each in customers[1:]}
        if ends == "deferred":
            assert clock.now() < (crm.next_due() or 0) <= clock.now() + 30 * DAY
        assert_sums(crm)


@pytest.mark.parametrize("error", [ValueError(UNSTORABLE), ValueError(Untellable())])
def test_a_channel_may_raise_what_cannot_be_written(clock, error):
    """Its messages are unknown, and the worker goes on."""

    def fail(deliveries):
        raise error

    with open_crm(clock, Post(whole=fail)) as crm:
        crm.broadcast("all", people(crm, 2), **BROADCAST)
        crm.deliver()

        assert {"unknown": 2} == states(crm)
        assert_sums(crm)


@pytest.mark.parametrize(
    ("idempotent", "on_unknown", "ends", "handed"),
    [
        (False, {}, "unknown", 1),
        (False, {"service": "resend"}, "accepted", 2),
        (False, {"news": "resend"}, "unknown", 1),
        (True, {}, "accepted", 2),
    ],
)
def test_an_unknown_fate_follows_the_channels_word(clock, idempotent, on_unknown, ends, handed):
    """Ambiguous crash: left by default; sent again by word, or where the key makes that safe."""
    answers = [Unknown("cut off"), Accepted()]
    post = Post(answer=lambda each: answers.pop(0), idempotent=idempotent, on_unknown=on_unknown)
    with open_crm(clock, post) as crm:
        (ada,) = people(crm, 1)
        crm.send(message(ada))
        while (due := crm.next_due()) is not None:
            clock.advance_to(due)
            crm.deliver()

        (found,) = crm.messages(ada)
        assert ends == found.state
        assert handed == len(post.handed)
        assert 1 == len({each.idempotency_key for each in post.handed})
        assert_sums(crm)


def test_what_may_have_been_received_is_never_withheld(clock):
    """Who opts out of what was handed over and not answered may have it: it stays unknown."""
    post = Post(answer=lambda each: Unknown("cut off"), idempotent=True)
    with open_crm(clock, post) as crm:
        (ada,) = people(crm, 1)
        crm.record("consent.given", customer=ada, payload={"purpose": "news", "channel": "email"})
        crm.send(message(ada, purpose="news"))
        crm.deliver()
        assert {"planned": 1} == states(crm)
        crm.record("consent.withdrawn", customer=ada, payload={"purpose": "news"})

        assert {"unknown": 1} == states(crm)
        clock.advance_to(NOW + DAY)
        crm.deliver()
        assert 1 == len(post.handed)
        assert_sums(crm)


# --------------------------------------------------------------------------------- after all


def test_a_withdrawal_holds_back_what_is_claimed(clock):
    """Claimed or planned: once the no has committed, nothing of it is handed over."""
    post = Post(at_once=1)
    with open_crm(clock, post) as crm:
        one, two = people(crm, 2)
        given = {"purpose": "news", "channel": "email"}
        for each in (one, two):
            crm.record("consent.given", customer=each, payload=given)
            crm.send(message(each, purpose="news"))

        def say_no(each):
            other = two if each.message.customer_id == one else one
            crm.record("consent.withdrawn", customer=other, payload={"purpose": "news"})
            return Accepted()

        post.answer = say_no
        crm.deliver()

        assert 1 == len(post.handed)
        assert {"accepted": 1, "withheld": 1} == states(crm)
        assert {"consent"} == {each.gate for each in crm.messages() if each.state == "withheld"}
        assert_sums(crm)


def test_claims_that_end_go_back(clock):
    """Who claimed and was cut off before the hand-over has handed nothing; others go on."""
    post = Post()
    with open_crm(clock, post) as crm:
        customers = people(crm, 3)
        crm.broadcast("all", customers, **BROADCAST)
        delivering = crm._parts.delivering
        channel = crm.assembly.channels["email"]
        claim = delivering._claim(channel)
        assert 3 == len(claim.messages)
        assert {"accepted": 0, "others": 0} == crm.deliver()
        clock.advance_to(claim.until)
        # Too late: what was judged a minute ago is judged again.
        delivering._carry(channel, claim, claim.messages)
        assert [] == post.handed

        crm.deliver()
        assert {"accepted": 3} == states(crm)
        assert 3 == len(post.handed)
        assert_sums(crm)


def test_a_late_answer_is_better_than_none(clock):
    """Who was taken for cut off and comes after all settles what nobody knew."""
    post = Post()
    with open_crm(clock, post) as crm:
        customers = people(crm, 2)
        crm.broadcast("all", customers, **BROADCAST)
        delivering = crm._parts.delivering

        def slow(deliveries):
            clock.advance_to(clock.now() + HOUR)
            assert 2 == sum(portion.done for portion in delivering._recover())
            assert {"unknown": 2} == states(crm)
            return [Accepted(), Failed("no")]

        post.whole = slow
        crm.deliver()

        assert {"accepted": 1, "failed": 1} == states(crm)
        assert 2 == len(post.handed)
        assert_sums(crm)


def test_reconcile_finds_what_was_planted(clock):
    """Each difference in the tables is one sentence that names it."""
    with open_crm(clock, Post()) as crm:
        customers = people(crm, 4)
        crm.broadcast("all", customers, **BROADCAST)
        crm.deliver()
        assert [] == crm.reconcile()
        first, second, third, fourth = (
            row[0] for row in rows(crm, "SELECT message_id FROM crm_message ORDER BY message_id")
        )
        with crm.begin() as tx:
            run = tx.connection.sqlalchemy.exec_driver_sql
            run(f"DELETE FROM crm_message WHERE message_id = {first}")
            run(f"UPDATE crm_message SET state = 'withheld' WHERE message_id = {second}")
            run(f"DELETE FROM crm_attempt WHERE message_id = {third}")
            run(
                f"UPDATE crm_message SET state = 'claimed', lease = 'x', "
                f"leased_until = {NOW - DAY} WHERE message_id = {fourth}"
            )
        found = [str(each) for each in crm.reconcile()]

        assert found == [
            "broadcast 'all' was planned for 4, and there are 3 messages of it",
            f"message {second} ('all', to customer {customers[1]}) is withheld, and attempt 1 at "
            "it ended accepted",
            f"message {third} ('all', to customer {customers[2]}) is accepted, and there is no "
            "attempt at it",
            f"message {fourth} ('all', to customer {customers[3]}) is claimed, and attempt 1 at it "
            "ended accepted",
            f"attempt 1 at message {first}, which is not there, is customer {customers[0]}'s",
            f"message {fourth} ('all') is claimed, and has a lease that ended over an hour ago; "
            "is a worker running?",
        ]
