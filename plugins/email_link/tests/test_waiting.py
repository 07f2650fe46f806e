"""Waiting: what nobody was asked to take yet is no attempt, so it waits and does not fail."""

from typing import Any

import pytest
from attrs import evolve
from crmcore_email_link import EmailLink
from crmcore_email_link.throttle import Limits
from crmcore_email_link.transports import Relay, Smtp

from crmcore import VirtualClock
from crmcore.errors import ConfigurationError
from plugins.email_link.tests.mailing import Throttle
from plugins.email_link.tests.receivers import Receiver
from plugins.email_link.tests.shops import DAY, START, draft, envelopes, member, plugin, shop

MINUTE = 60_000_000
NAMES = ("ada", "ben", "cai")


def states(crm):
    return {(each.state, each.attempt) for each in crm.messages()}


def wait(crm, days):
    """Deliver whenever a mail may go, for some days; return how often, and the longest pause."""
    clock = crm.runtime.clock
    end, count, longest = clock.now() + days * DAY, 0, 0
    while waiting := [each.not_before for each in crm.messages() if each.settled_at is None]:
        due = max(min(waiting), clock.now())
        if due >= end:
            break
        longest = max(longest, due - clock.now())
        clock.advance_to(due)
        crm.deliver()
        count += 1
    return count, longest


@pytest.fixture
def nowhere():
    """Return a relay that was there a moment ago."""
    with Receiver() as receiver:
        pass
    return Relay(host="127.0.0.1", port=receiver.port, tls="never")


def carrier(relay, **limits):
    """Return a transport that is as one of a process that was just started, at each call."""
    throttle = Throttle(limits=Limits(**limits))
    return Smtp(relay=relay, throttle=throttle, hello="shop.example")


def test_e19_a_slow_receiver_uses_up_no_attempts():
    """At one mail in an hour, ten mails that wait for their turn have been tried never."""
    with Receiver() as receiver:
        relay = Relay(host="127.0.0.1", port=receiver.port, tls="never")
        with carrier(relay, rate=1 / 3600, burst=1) as smtp, shop(plugin(carrier=smtp)) as crm:
            for number in range(10):
                crm.send(draft(member(crm, f"p{number}")))
            for _ in range(12):
                crm.deliver(put_off=True)

            assert {("accepted", 1), ("deferred", 0)} == states(crm)
            assert 1 == len(receiver.recipients())
            assert [] == crm.reconcile()


def test_e19_whose_turn_comes_waits_no_longer_than_that():
    """However long it has waited already: its receiver is there, and takes one at a time."""
    with Receiver() as receiver:
        relay = Relay(host="127.0.0.1", port=receiver.port, tls="never")
        clock = VirtualClock(START)
        with (
            carrier(relay, rate=1 / 600, burst=1) as smtp,
            shop(plugin(carrier=smtp), clock=clock) as crm,
        ):
            for name in NAMES:
                crm.send(draft(member(crm, name)))
            clock.advance_to(START + DAY)
            crm.deliver()
            now = clock.now()
            waits = [each.not_before - now for each in crm.messages() if each.state == "deferred"]

    assert 2 == len(waits)
    assert all(9 * MINUTE < each <= 10 * MINUTE for each in waits)


def test_e18_a_relay_that_is_down_for_days_loses_no_mail(nowhere):
    """Our own server is not there, which says nothing of any mail: all go once it is back."""
    with carrier(nowhere, pause=0.001, longest_pause=0.002) as smtp:
        own = plugin(carrier=smtp)
        with shop(own) as crm:
            for name in NAMES:
                crm.send(draft(member(crm, name)))
            wait(crm, 3)
            between = states(crm)
            with Receiver() as receiver:
                smtp.relay = Relay(host="127.0.0.1", port=receiver.port, tls="never")
                wait(crm, 1)

            assert {("deferred", 0)} == between
            assert {("accepted", 1)} == states(crm)
            assert {f"{name}@example.com" for name in NAMES} == set(receiver.recipients())
            assert [] == crm.reconcile()


def test_e18_a_relay_that_is_down_for_days_is_asked_seldom(nowhere):
    """By all of the mails that wait, the one that was tried and those behind it alike."""
    with (
        carrier(nowhere, pause=0.001, longest_pause=0.002) as smtp,
        shop(plugin(carrier=smtp)) as crm,
    ):
        for name in NAMES:
            crm.send(draft(member(crm, name)))
        count, longest = wait(crm, 3)

    assert count < 200
    assert 30 * MINUTE == longest


def test_e18_what_the_shop_has_to_mend_waits_until_it_has():
    """Three days with a setting that no mail can be made with: it goes once that is mended."""

    class Unsigned:
        def sign(self, raw):
            raise ConfigurationError("the key is not there")

    with shop() as crm:
        own: Any = crm.plugin(EmailLink)
        unsigned: Any = Unsigned()
        whole = own.composer
        own._made.composer = evolve(whole, signer=unsigned)
        crm.send(draft(member(crm)))
        wait(crm, 3)
        between = states(crm)
        own._made.composer = whole
        wait(crm, 1)

        assert {("deferred", 0)} == between
        assert {("accepted", 1)} == states(crm)
        assert 1 == len(envelopes(crm))
