"""Messages of customers who turn out to be one: nobody gets what they had, or will have, again."""

from typing import Any

import pytest

from crmcore import Crm, VirtualClock
from crmcore.domain.clock import DAY, SECOND
from crmcore.domain.message import Accepted, Unknown
from tests.support.databases import scratch
from tests.support.histories import START, instant
from tests.support.making import rows
from tests.support.sending import BROADCAST, Post, assert_sums, message, people, states

pytestmark = pytest.mark.each_database

NOW = instant(START)


@pytest.fixture
def clock():
    return VirtualClock(NOW)


def open_crm(clock, *plugins):
    return Crm(scratch(), plugins=plugins, clock=clock, durable=False)


def test_one_person_gets_a_key_once(clock):
    """Two who turn out to be one: the second message is held back, and comes back with unmerge."""
    post = Post()
    with open_crm(clock, post) as crm:
        one, two = people(crm, 2)
        crm.broadcast("all", [one, two], **BROADCAST)
        merged = crm.merge(one, two)
        crm.deliver()

        assert {"accepted": 1, "withheld": 1} == states(crm)
        assert ["p0@example.com"] == list(post.addresses)
        assert {one} == {each.customer_id for each in crm.messages()}
        assert_sums(crm)
        assert crm.broadcast("more", [one, two], **BROADCAST).audience == 1

        crm.unmerge(merged.id)
        crm.deliver()
        assert {"accepted": 2} == states(crm, "all")
        assert {"p0@example.com", "p1@example.com"} == set(post.addresses)
        assert_sums(crm)


def test_who_has_had_it_gets_it_not_again_after_a_merge(clock):
    """Whichever of the two had it, the other's is held back."""
    post = Post()
    with open_crm(clock, post) as crm:
        one, two = people(crm, 2)
        crm.send(message(two))
        crm.deliver()
        crm.send(message(one))
        crm.merge(one, two)
        crm.deliver()

        assert 1 == len(post.handed)
        assert {"accepted": 1, "withheld": 1} == states(crm)
        crm.send(message(one))
        crm.deliver()
        assert 1 == len(post.handed)


def test_of_three_customers_who_are_one_nobody_gets_a_key_again(clock):
    """However many rows of a key came together, one that was received holds back the others."""
    post = Post()
    with open_crm(clock, post) as crm:
        first, second, third = people(crm, 3)
        crm.send(message(first))
        crm.deliver()
        for other in (second, third):
            crm.send(message(other))
            crm.merge(first, other)
        crm.deliver()

        assert 1 == len(post.handed)
        assert {"accepted": 1, "withheld": 2} == states(crm)


def test_one_that_may_have_been_received_is_not_sent_after_a_merge(clock):
    """The survivor had it, and the other one's was about to be tried again: it is unknown."""
    answers = {"p0@example.com": Accepted("1"), "p1@example.com": Unknown("cut off")}
    post = Post(answer=lambda each: answers[each.address], idempotent=True)
    with open_crm(clock, post) as crm:
        one, two = people(crm, 2)
        crm.broadcast("all", [one, two], **BROADCAST)
        crm.deliver()
        assert {"accepted": 1, "planned": 1} == states(crm)
        merged = crm.merge(one, two)
        clock.advance_to(NOW + DAY)
        crm.deliver()

        assert 2 == len(post.handed)
        assert {"accepted": 1, "unknown": 1} == states(crm)
        assert_sums(crm)
        crm.unmerge(merged.id)
        assert {"accepted": 1, "planned": 1} == states(crm)
        assert_sums(crm)


def test_a_merge_and_its_undoing_end_a_claim(clock):
    """What was claimed before is not handed over by that claim, whatever was said meanwhile."""
    post = Post()
    with open_crm(clock, post) as crm:
        one, two = people(crm, 2)
        news: dict[str, Any] = {"purpose": "news"}
        for each in (one, two):
            crm.give_consent(each, "news", "email")
        clock.advance_to(clock.now() + SECOND)
        crm.send(message(one, not_before=clock.now() + DAY, **news))
        crm.send(message(two, **news))
        delivering, channel = crm._parts.delivering, crm.assembly.channels["email"]
        claim = delivering._claim(channel)
        assert ["p1@example.com"] == [each.address for each in claim.messages]
        merged = crm.merge(one, two)
        clock.advance_to(clock.now() + SECOND)
        crm.withdraw_consent(one)
        clock.advance_to(clock.now() + SECOND)
        crm.unmerge(merged.id)
        clock.advance_to(clock.now() + SECOND)
        delivering._carry(channel, claim, claim.messages)

        assert [] == post.handed
        assert [(0,)] == rows(crm, "SELECT count(*) FROM crm_message WHERE lease IS NOT NULL")


def test_an_address_that_was_written_to_while_merged_is_not_written_to_again(clock):
    """What went to the merged one's address stands for theirs, once the merge is undone."""
    post = Post()
    with open_crm(clock, post) as crm:
        (one,) = people(crm, 1)
        clock.advance_to(clock.now() + SECOND)
        (two,) = people(crm, 1, start=1)  # its address is the newer one
        crm.broadcast("all", [one, two], **BROADCAST)
        merged = crm.merge(one, two)
        crm.deliver()
        assert ["p1@example.com"] == list(post.addresses)
        crm.unmerge(merged.id)
        crm.deliver()

        assert {"p1@example.com": 1} == post.addresses
        assert_sums(crm)
