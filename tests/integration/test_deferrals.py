"""Deferrals: what was not tried costs no attempt, and what may have gone is sent again once."""

import pytest

from crmcore import Crm, Deferred, VirtualClock
from crmcore.domain.clock import SECOND
from crmcore.domain.message import Accepted, Unknown
from tests.support.databases import scratch
from tests.support.histories import START, instant
from tests.support.making import rows
from tests.support.sending import Post, assert_sums, message, people

pytestmark = pytest.mark.each_database

NOW = instant(START)


@pytest.fixture
def clock():
    return VirtualClock(NOW)


def open_crm(clock, post):
    return Crm(scratch(), plugins=[post], clock=clock, durable=False)


def due_until(crm, clock, end):
    """Deliver whenever something falls due before an instant, and return the waits in seconds."""
    waits = []
    while (due := crm.next_due()) is not None and due < end:
        waits.append((due - clock.now()) // SECOND)
        clock.advance_to(due)
        crm.deliver()
    return waits


def test_what_was_not_tried_costs_no_attempt(clock):
    """A day of waiting for its turn leaves all eight attempts; the wish for a wait counts."""
    post = Post(answer=lambda each: Deferred("not its turn", 900.0, counts=False))
    with open_crm(clock, post) as crm:
        (ada,) = people(crm, 1)
        crm.send(message(ada))
        waits = due_until(crm, clock, NOW + 86_400 * SECOND)
        (waiting,) = crm.messages(ada)

        assert [0] + [900] * 95 == waits
        assert ("deferred", 0, None) == (waiting.state, waiting.attempt, waiting.handed_at)
        assert [] == rows(crm, "SELECT * FROM crm_attempt")
        assert 1 == len({each.idempotency_key for each in post.handed})
        assert_sums(crm)

        post.answer = lambda each: Deferred("busy")
        asked = len(post.handed)
        due_until(crm, clock, NOW + 20 * 86_400 * SECOND)
        (found,) = crm.messages(ada)
        assert ("failed", 8, 8) == (found.state, found.attempt, len(post.handed) - asked)
        assert [] == crm.reconcile()


def test_waiting_for_its_turn_does_not_lengthen_the_waits(clock):
    """In between attempts it changes nothing: they follow each other as without it."""
    answers = []
    for _ in range(8):
        answers += [Deferred("not its turn", 0.0, counts=False), Deferred("busy")]
    post = Post(answer=lambda each: answers.pop(0))
    with open_crm(clock, post) as crm:
        (ada,) = people(crm, 1)
        crm.send(message(ada))
        waits = due_until(crm, clock, NOW + 20 * 86_400 * SECOND)
        (found,) = crm.messages(ada)

    assert [0, 60, 60, 60, 120, 60, 240, 60, 480, 60, 960, 60, 1920, 60, 3840, 60] == waits
    assert ("failed", 8) == (found.state, found.attempt)
    assert "given up after 8 attempts: busy" == found.reason


def test_whom_nobody_can_reach_for_days_is_asked_seldom_and_loses_nothing(clock):
    """Soon at first, then twice an hour; all attempts are left, and once it is back it goes."""
    post = Post(answer=lambda each: Deferred("nobody there", counts=False))
    with open_crm(clock, post) as crm:
        (ada,) = people(crm, 1)
        crm.send(message(ada))
        waits = due_until(crm, clock, NOW + 3 * 86_400 * SECOND)
        (waiting,) = crm.messages(ada)
        post.answer = lambda each: Accepted()
        due_until(crm, clock, NOW + 4 * 86_400 * SECOND)
        (found,) = crm.messages(ada)

    assert [0, 60, 60, 60] == waits[:4]
    assert sorted(waits) == waits
    assert {1800} == set(waits[-100:])
    assert 150 < len(waits) < 200
    assert ("deferred", 0) == (waiting.state, waiting.attempt)
    assert ("accepted", 1) == (found.state, found.attempt)
    assert found.handed_at - NOW - 3 * 86_400 * SECOND < 1800 * SECOND


@pytest.mark.parametrize("planned", ["for later", "for the past"])
def test_it_waits_from_when_it_might_have_gone(clock, planned):
    """A month that it was to wait anyway does not count, nor one before it was planned."""
    month = 30 * 86_400 * SECOND
    start = NOW + month if planned == "for later" else NOW
    asked = NOW + month if planned == "for later" else NOW - month
    post = Post(answer=lambda each: Deferred("nobody there", counts=False))
    with open_crm(clock, post) as crm:
        (ada,) = people(crm, 1)
        crm.send(message(ada, not_before=asked))
        waits = due_until(crm, clock, start + 86_400 * SECOND)

    assert [60, 60, 60] == waits[1:4]


def test_an_answer_that_comes_late_is_about_its_own_attempt(clock):
    """Whose lease ended is overtaken; what is said of it then is not taken for the next one."""
    first = []
    post = Post(answer=lambda each: Accepted("second"))
    with open_crm(clock, post) as crm:
        (ada,) = people(crm, 1)
        crm.send(message(ada))
        delivering, channel = crm._parts.delivering, crm.assembly.channels["email"]
        claim = delivering._claim(channel)
        with delivering._begin() as unit:
            first += delivering._claims.hand_over(unit, claim, channel, claim.messages)
        late = [(first[0], Deferred("not its turn", counts=False))]
        for _ in range(2):
            with delivering._begin() as unit:
                delivering._settling.settle(unit, late, channel)
        clock.advance_to(NOW + 60 * SECOND)
        crm.deliver()
        with delivering._begin() as unit:
            delivering._settling.settle(unit, late, channel)
        (found,) = crm.messages(ada)

        assert ("accepted", 1, "second") == (
            found.state,
            found.attempt,
            found.provider_reference,
        )
        assert [] == crm.reconcile()


@pytest.mark.parametrize("between", [[], [Deferred("busy")]], ids=["at once", "after a while"])
def test_what_may_have_gone_is_sent_again_once(clock, between):
    """A server that always hangs up behind the mail leaves two copies at most, not eight."""
    answers = [Unknown("cut off"), *between, *[Unknown("cut off")] * 7]
    post = Post(answer=lambda each: answers.pop(0), on_unknown={"service": "resend"})
    with open_crm(clock, post) as crm:
        (ada,) = people(crm, 1)
        crm.send(message(ada))
        due_until(crm, clock, NOW + 20 * 86_400 * SECOND)
        (found,) = crm.messages(ada)

        assert ("unknown", 2 + len(between)) == (found.state, len(post.handed))
        assert_sums(crm)


def test_what_a_crash_left_is_sent_again_once(clock):
    """The same where nobody answered at all, as whoever handed it over was killed each time."""
    post = Post(on_unknown={"service": "resend"})
    with open_crm(clock, post) as crm:
        (ada,) = people(crm, 1)
        crm.send(message(ada))
        delivering, channel = crm._parts.delivering, crm.assembly.channels["email"]
        for _ in range(2):
            claim = delivering._claim(channel)
            with delivering._begin() as unit:
                delivering._claims.hand_over(unit, claim, channel, claim.messages)
            clock.advance_to(clock.now() + 3600 * SECOND)
            assert 1 == sum(portion.done for portion in delivering._recover())
        crm.deliver()
        (found,) = crm.messages(ada)

        assert ("unknown", 2, []) == (found.state, found.attempt, post.handed)
        assert_sums(crm)
