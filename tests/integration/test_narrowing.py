"""A no is a no: whatever the clock shows, whose address it is about, and what was claimed."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from attrs import define

from crmcore import Crm, Draft, Identifier, Plugin, VirtualClock, hookimpl
from crmcore.domain.clock import to_datetime
from crmcore.domain.gate import Cap, GateSettings
from crmcore.domain.message import Accepted, Failed, Unknown
from crmcore.domain.quiet import QuietHours
from crmcore.errors import ConfigurationError, InputError
from crmcore.hooks import Hold
from crmcore.persistence.connection import Connection
from tests.support.databases import scratch
from tests.support.histories import START, instant
from tests.support.sending import BROADCAST, Post, assert_sums, message, states

pytestmark = pytest.mark.each_database(partitioned=False)

SECOND = 1_000_000
FAR: list[dict[str, Any]] = [{name: 2**70} for name in ("not_before", "not_after", "caused_by")]
ADA, BEA = Identifier("email", "ada@example.com"), Identifier("email", "bea@example.com")


@define
class Turned:
    """A clock that can be set back."""

    at: int = instant(START)

    def now(self):
        return self.at


@contextmanager
def shop(*plugins, **settings):
    clock = Turned()
    with Crm(scratch(), plugins=plugins, clock=clock, gate=GateSettings(**settings)) as crm:
        yield crm, clock


def known(crm, *names):
    return crm.record("account.registered", identifiers=names).customer_id


def claimed(crm):
    """Claim what is due; returns what hands it over."""
    work = crm._parts.delivering
    channel = crm.runtime.assembly.channels["email"]
    claim = work._claim(channel)
    assert claim.messages
    return claim.messages, lambda: work._carry(channel, claim, list(claim.messages))


def stands(crm, customer, purpose="news"):
    return next(each.standing for each in crm.consents(customer) if each.purpose == purpose)


def test_a_no_for_the_claimed_address_sends_it_to_no_other():
    """Though another address of theirs has consent: it is claimed anew, for that one."""
    post = Post()
    with shop(post) as (crm, clock):
        ada = known(crm, ADA, BEA)
        for point in (ADA, BEA):
            crm.give_consent(ada, "news", "email", point=point.value)
        crm.send(message(ada, purpose="news"))
        clock.at += SECOND
        (found,), carry = claimed(crm)
        crm.withdraw_consent(ada, "news", "email", point=found.address)
        carry()
        assert {} == post.addresses
        clock.at += SECOND
        crm.deliver()
        (other,) = {ADA.value, BEA.value} - {found.address}
        assert {other: 1} == post.addresses


def test_a_no_told_where_the_channel_is_unknown_ends_claims(tmp_path):
    """The process that has the channel claims it anew, and judges it."""
    post, clock = Post(), VirtualClock(instant(START))
    url = f"sqlite:///{tmp_path}/shop.db"
    with Crm(url, plugins=[post], clock=clock) as crm, Crm(url, clock=clock) as web:
        ada = known(crm, ADA)
        crm.give_consent(ada, "news", "email")
        crm.send(message(ada, purpose="news"))
        clock.advance_to(clock.now() + SECOND)
        _, carry = claimed(crm)
        web.withdraw_consent(ada)
        carry()
        crm.deliver()
        assert ({}, {"withheld": 1}) == (post.addresses, states(crm))


def test_a_clock_that_was_set_back_loses_no_no():
    """A no is as late as the yes it ends; so with brakes, and with the list of points."""
    post = Post()
    with shop(post) as (crm, clock):
        ada = known(crm, ADA)
        clock.at += 600 * SECOND
        crm.give_consent(ada, "news", "email")
        crm.set_brake(ada, "complaint")
        clock.at += SECOND
        crm.lift_brake(ada, "complaint")
        clock.at -= 500 * SECOND
        crm.set_brake(ada, "complaint")
        assert "brake" == crm.send(message(ada, "one", purpose="news")).gate
        crm.withdraw_consent(ada)
        assert "withdrawn" == stands(crm, ada)
        bea = known(crm, BEA)
        crm.give_consent(bea, "news", "email")
        clock.at -= 50 * SECOND
        crm.withhold(BEA, "erased")
        assert "withheld" == crm.send(message(bea, "two", purpose="news")).gate


def test_a_clock_that_was_set_back_leaves_nothing_open():
    """A no is as late as the request it ends, so an old link confirms nothing."""
    with shop(Post()) as (crm, clock):
        ada = known(crm, ADA)
        clock.at += 600 * SECOND
        crm.request_consent(ada, "news", "email")
        clock.at -= 500 * SECOND
        crm.withdraw_consent(ada, "news")

        with pytest.raises(InputError, match="nothing is open to be confirmed"):
            crm.confirm_consent(ada, "news", "email")


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        ("consent.given", {"purpose": "news", "channel": "email"}),
        ("consent.confirmed", {"purpose": "news", "channel": "email"}),
        ("brake.lifted", {"brake": "complaint"}),
    ],
)
def test_what_lies_in_the_future_has_not_been_said(kind, payload):
    """It would go before every no until then; a no may be told for later."""
    with shop() as (crm, clock):
        ada = known(crm, ADA)
        later = to_datetime(clock.at + SECOND)
        with pytest.raises(InputError, match=f"'{kind}' is told for .* lies in the future"):
            crm.record(kind, customer=ada, payload=payload, occurred_at=later)
        crm.record(kind, customer=ada, payload=payload, occurred_at=to_datetime(clock.at))
        crm.withdraw_consent(ada, occurred_at=later)


def test_a_merge_lifts_no_brake():
    """Neither's is lifted by what was said of the other; undone, each has their own."""
    with shop(Post()) as (crm, clock):
        ada, bea = known(crm, ADA), known(crm, BEA)
        crm.give_consent(ada, "news", "email")
        for who in (bea, ada):
            clock.at += SECOND
            crm.set_brake(who, "complaint")
        clock.at += SECOND
        crm.lift_brake(bea, "complaint")
        merge = crm.merge(ada, bea)
        clock.at += SECOND
        assert "brake" == crm.send(message(ada, "one", purpose="news")).gate
        crm.rebuild("consent")
        assert "brake" == crm.send(message(ada, "two", purpose="news")).gate
        clock.at += SECOND
        crm.lift_brake(ada, "complaint")
        assert None is crm.send(message(ada, "three", purpose="news")).gate
        crm.unmerge(merge.id)
        crm.give_consent(bea, "news", "email")
        assert None is crm.send(message(bea, "four", purpose="news")).gate


def _no(crm, ada):
    crm.withdraw_consent(ada, point=BEA.value)


def _complaint(crm, ada):
    told = {"address": BEA.value}
    crm.record("message.complained", customer=ada, channel="email", payload=told)


def _guest(crm, _):
    crm.withdraw_consent(Identifier("guest_email", BEA.value))


def _erasure(crm, _):
    guest = Identifier("guest_email", BEA.value)
    crm.erase(crm.record("order.placed", identifiers=[guest], amount="1.00").customer_id)


def _block(crm, _):
    crm.withhold(BEA)


@pytest.mark.parametrize("say", [_no, _complaint, _guest, _erasure, _block])
def test_a_no_about_a_point_holds_back_what_whoever_has_it_was_to_get(say):
    """Also what is claimed already, whoever says it."""
    post = Post()
    with shop(post) as (crm, clock):
        ada, bea = known(crm, ADA), known(crm, BEA)
        crm.give_consent(bea, "news", "email")
        clock.at += SECOND
        crm.send(message(bea, purpose="news"))
        clock.at += SECOND
        _, carry = claimed(crm)
        say(crm, ada)
        carry()
        assert ({}, {"withheld": 1}) == (post.addresses, states(crm))


def test_a_point_where_nothing_arrives_holds_back_whoever_has_it():
    """As the provider says so of a message to somebody else."""
    post = Post(answer=lambda _: Failed("no such mailbox", undeliverable=True))
    with shop(post) as (crm, clock):
        bea = known(crm, BEA)
        guest = crm.record(
            "order.placed", identifiers=[Identifier("guest_email", BEA.value)], amount="1.00"
        ).customer_id
        later = clock.at + 9 * SECOND
        crm.send(message(bea, "one"))
        crm.send(message(guest, "two", not_before=later))
        clock.at += SECOND
        crm.deliver()
        assert {"failed": 1} == states(crm, "one")
        assert {"withheld": 1} == states(crm, "two")


def test_bounces_are_as_many_statements_for_many(monkeypatch):
    """However many come in one batch."""
    with shop(Post()) as (crm, _):
        counts = []
        for size in (3, 40):
            names = [Identifier("email", f"p{size}x{n}@example.com") for n in range(size)]
            crm.record_many([Draft("account.registered", identifiers=(n,)) for n in names])
            asked: list[int] = []
            with monkeypatch.context() as patch:
                for way in ("execute", "change", "change_many", "insert_rows"):
                    real = getattr(Connection, way)
                    patch.setattr(
                        Connection,
                        way,
                        lambda *a, r=real, n=asked, **k: (n.append(1), r(*a, **k))[1],
                    )
                crm.record_many(
                    [
                        Draft("message.bounced", identifiers=(n,), channel="email", payload={})
                        for n in names
                    ]
                )
            counts.append(len(asked))
            assert size == sum(each.reason == "undeliverable" for each in crm.withheld()) - (
                0 if size == 3 else 3
            )
        assert counts[0] == counts[1]


@pytest.mark.parametrize(
    "wrong",
    [
        {"reason": "later", "not_before": START},
        {"reason": "later", "not_before": 2**70},
        {"reason": "a\0b"},
        {"reason": "\ud800"},
        {"reason": None},
    ],
)
def test_a_wrong_hold_is_the_guards_own_fault(wrong):
    """The shop's transaction goes on; the message waits, as whenever a guard raises."""

    class Wrong(Plugin):
        name = "wrong"

        @hookimpl
        def guard_message(self, ctx, event):
            return [Hold(1, **wrong)]

    with shop(Post(), Wrong()) as (crm, _):
        with crm.begin() as tx:
            ada = tx.record("order.placed", identifiers=[ADA], amount="3.00").customer_id
            tx.send(message(ada))
        (found,) = crm.messages(ada)
        assert ("planned", "guard") == (found.state, found.gate)
        assert "wrong: raised TypeError" == found.reason


def test_a_block_that_ends_does_not_end_one_that_does_not():
    """Of two that stand, the one that ends later; after one has ended, a new one counts."""
    with shop(Post()) as (crm, clock):
        soon, late = START + timedelta(seconds=5), START + timedelta(seconds=9)
        known(crm, ADA)
        crm.withhold(ADA, until=late)
        crm.withhold(ADA, until=soon)
        assert [instant(late)] == [each.until for each in crm.withheld(ADA)]
        clock.at += 10 * SECOND
        crm.withhold(ADA, until=START + timedelta(seconds=20))
        assert [clock.at + 10 * SECOND] == [each.until for each in crm.withheld(ADA)]
        crm.withhold(ADA)
        crm.withhold(ADA, until=START + timedelta(seconds=30))
        assert [None] == [each.until for each in crm.withheld(ADA)]


def test_what_no_calendar_has_is_refused():
    """Before it is stored, or computed with."""
    with shop(Post()) as (crm, _):
        ada = known(crm, ADA)
        for far in FAR:
            with pytest.raises(InputError, match=r"out of range|interaction's id"):
                crm.send(message(ada, **far))
    with pytest.raises(ConfigurationError, match=r"days is 1000000000; .* up to 36525"):
        Cap(most=1, days=10**9)


def test_what_may_have_been_received_counts_while_it_waits_to_be_sent_again():
    """For caps it is as good as sent."""
    answers = [Unknown("no answer"), Accepted("1")]
    post = Post(answer=lambda _: answers.pop(0), idempotent=True)
    with shop(post, basis={"promotion": "opt_out"}, caps=[Cap(most=1, days=7)]) as (crm, clock):
        ada = known(crm, ADA)
        crm.send(message(ada, "one", purpose="promotion"))
        clock.at += SECOND
        crm.deliver()
        assert {"planned": 1} == states(crm, "one")
        assert "cap" == crm.send(message(ada, "two", purpose="promotion")).gate


def test_two_customers_at_one_address_get_one_of_a_key():
    """Claimed at once, or one after the other; what was never handed over holds nothing back."""
    answers = [Failed("no"), Accepted("1"), Accepted("2")]
    post = Post(answer=lambda _: answers.pop(0))
    with shop(post) as (crm, clock):
        ada = known(crm, ADA)
        guest = Identifier("guest_email", ADA.value)
        crm.record("order.placed", identifiers=[guest], amount="1.00")
        known(crm, BEA)
        crm.broadcast("sale", "everyone", **BROADCAST)
        for _ in range(3):
            clock.at += 61 * SECOND
            crm.deliver()
        # The first failed, so that the twin got it, later.
        assert {ADA.value: 2, BEA.value: 1} == post.addresses
        answers += [Accepted("3"), Accepted("4"), Accepted("5")]
        crm.broadcast("again", "everyone", **BROADCAST)
        for _ in range(3):
            clock.at += 61 * SECOND
            crm.deliver()
        assert {ADA.value: 3, BEA.value: 2} == post.addresses
        assert ["accepted"] == [m.state for m in crm.messages(ada) if m.key == "again"]
        assert {"accepted": 2, "withheld": 1} == states(crm, "again")
        assert_sums(crm)


def test_what_waits_is_judged_anew_as_soon_as_it_may_go():
    """When a brake is lifted, or the clock on the customer's wall is another; not before asked."""
    post = Post()
    night = [QuietHours(since="00:00", until="23:00")]
    with shop(post, quiet=night) as (crm, clock):
        ada = known(crm, ADA)
        crm.give_consent(ada, "news", "email")
        clock.at += SECOND
        crm.set_brake(ada, "complaint", until=START + timedelta(days=90))
        clock.at += SECOND
        crm.send(message(ada, "one", purpose="news"))
        wished = clock.at + 24 * 3600 * SECOND
        crm.send(message(ada, "two", purpose="news", not_before=wished))
        clock.at += SECOND
        crm.lift_brake(ada, "complaint")
        clock.at += SECOND
        crm.deliver()
        assert {} == post.addresses  # it is quiet, by the shop's clock
        assert "quiet" == next(m.gate for m in crm.messages(ada) if m.key == "one")
        crm.set_zone(ada, "Etc/GMT+1")  # where it is past eleven in the evening
        crm.deliver()
        assert {"accepted": 1} == states(crm, "one")
        assert [wished] == [m.not_before for m in crm.messages(ada) if m.key == "two"]
