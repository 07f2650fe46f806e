"""Plugins in between: what they make of messages, and what becomes of those that fail."""

import pytest
from sqlalchemy import select

from crmcore import Crm, VirtualClock
from crmcore.domain.clock import SECOND
from crmcore.domain.message import (
    Accepted,
    Content,
    Deferred,
)
from crmcore.hooks import Hold
from tests.support.databases import scratch, shop_file
from tests.support.histories import START, instant
from tests.support.making import plugin, raising
from tests.support.sending import BROADCAST, Post, assert_sums, message, people, states

pytestmark = pytest.mark.each_database

NOW = instant(START)
HOUR = 3600 * SECOND


@pytest.fixture
def clock():
    return VirtualClock(NOW)


def open_crm(clock, *plugins, url=None, **options):
    return Crm(url or scratch(), plugins=plugins, clock=clock, durable=False, **options)


# ------------------------------------------------------------------------- plugins in between


def test_a_guard_is_told_whether_it_is_planned_or_about_to_go(clock):
    """One message, a broadcast, and what is asked beforehand, which is about going."""
    asked = []
    guard = plugin("guard", guard_message=lambda ctx, event: asked.append(event.is_claim))
    with open_crm(clock, Post(), guard) as crm:
        (ada,) = people(crm, 1)
        crm.explain_send(ada, "later", purpose="service", channel="email")
        assert [True] == asked
        crm.send(message(ada))
        crm.broadcast("to-all", "everyone", **BROADCAST)
        assert [True, False, False] == asked
        crm.deliver()
        assert [True, True] == asked[3:]


def test_plugins_prepare_what_is_said_in_turn(clock):
    """Each gets what the one before made of it; the row keeps what was planned."""

    def add(word):
        return lambda ctx, event: Content(text=f"{event.content.text} {word}")

    post = Post()
    one, two = plugin("a", prepare_message=add("one")), plugin("b", prepare_message=add("two"))
    with open_crm(clock, post, two, one) as crm:
        (ada,) = people(crm, 1)
        crm.send(message(ada))
        crm.deliver()

        assert "Hello one two" == post.handed[0].content.text
        assert Content(text="Hello") == crm.messages(ada)[0].content


def test_a_plugin_that_cannot_prepare_its_own_puts_it_off(clock):
    """Nothing half-written goes out: it is deferred, tried again, and at last failed."""
    post = Post()
    broken = plugin(
        "letters",
        prepare_message=raising,
        on_interactions_recorded=lambda ctx, event: [
            ctx.send(message(each.customer_id, "hello"))
            for each in event
            if each.kind == "account.registered"
        ],
    )
    with open_crm(clock, post, broken) as crm:
        (ada,) = people(crm, 1)
        crm.deliver()
        (found,) = crm.messages(ada)
        assert ("deferred", "prepare") == (found.state, found.gate)
        assert "letters raised ValueError: told to fail" == found.reason
        while (due := crm.next_due()) is not None:
            clock.advance_to(due)
            crm.deliver()

        assert [] == post.handed
        assert {"failed": 1} == states(crm)
        assert 8 == len(crm.faults("letters"))
        assert_sums(crm)


def test_a_plugin_that_cannot_prepare_anothers_changes_nothing(clock):
    """The shop's message goes out as it was; the fault is on record."""
    post = Post()
    with open_crm(clock, post, plugin("broken", prepare_message=raising)) as crm:
        (ada,) = people(crm, 1)
        crm.send(message(ada))
        crm.deliver()

        assert "Hello" == post.handed[0].content.text
        assert ["prepare_message"] == [each.hook for each in crm.faults("broken")]


def test_guards_know_what_asks(clock):
    """A guard is told whether messages ask for something, of one key, too, and can hold those."""
    seen = []

    def hold(ctx, event):
        seen.append((event.key, event.asks, event.size))
        if event.asks:
            rows = ctx.execute(select(event.customers.c.customer_id))
            return [Hold(who, reason="asked enough") for (who,) in rows]
        return None

    post = Post()
    with open_crm(clock, post, plugin("guard", guard_message=hold)) as crm:
        ada, bea = people(crm, 2)
        crm.send(message(ada))
        crm.send(message(bea, asks=True))
        crm.deliver()

        assert {("hello", False, 1), ("hello", True, 1)} == set(seen)
        assert [ada] == [each.message.customer_id for each in post.handed]
        assert "guard: asked enough" == crm.messages(bea)[0].reason


def test_guards_hold_messages_back(clock):
    """A hold without an instant withholds; one with it puts off; one that raises, too."""
    holds: dict[int, Hold] = {}
    post = Post()
    guard = plugin("guard", guard_message=lambda ctx, event: list(holds.values()))
    with open_crm(clock, post, guard) as crm:
        one, two, three = people(crm, 3)
        holds[one] = Hold(one, reason="no")
        holds[two] = Hold(two, reason="later", not_before=NOW + HOUR)
        crm.broadcast("all", [one, two, three], **BROADCAST)
        crm.deliver()

        assert {"withheld": 1, "planned": 1, "accepted": 1} == states(crm)
        assert NOW + HOUR == crm.next_due()
        (held,) = crm.messages(one)
        assert ("guard", "guard: no") == (held.gate, held.reason)
        del holds[two]
        clock.advance_to(NOW + HOUR)
        crm.deliver()
        assert {"withheld": 1, "accepted": 2} == states(crm)
        assert_sums(crm)


def test_an_error_that_cannot_be_written_stops_nobody_else(clock):
    """What a plugin raises about its own message is escaped; the others are delivered."""

    def fail(ctx, event):
        if event.message.plugin == "letters":
            raise ValueError("template \0 \udcff")

    def write(ctx, event):
        for each in event:
            if each.kind == "account.registered":
                ctx.send(message(each.customer_id, "poison", priority=5))

    post = Post()
    broken = plugin("letters", prepare_message=fail, on_interactions_recorded=write)
    with open_crm(clock, post, broken) as crm:
        (ada,) = people(crm, 1)
        for _ in range(2):
            crm.deliver()
        crm.send(message(ada, "parcel"))
        crm.deliver()

        (found,) = crm.messages(ada, key="poison")
        assert ("deferred", "letters raised ValueError: template \\x00 \\udcff") == (
            found.state,
            found.reason,
        )
        assert ["parcel"] == [each.message.key for each in post.handed]


def test_plugins_are_told_in_which_state_a_message_was(clock):
    """One deferred that expires was deferred before; one that is answered late was unknown."""
    told: list[tuple[str, str, str]] = []

    def note(ctx, event):
        told.extend((each.message.key, each.before, each.message.state) for each in event.changes)

    def late(deliveries):
        if deliveries[0].message.key == "late":
            clock.advance_to(clock.now() + 3600 * SECOND)
            assert list(crm._parts.delivering._recover())
            return [Accepted()]
        return [Deferred("not now")]

    listening = plugin("listening", on_deliveries_changed=note)
    with open_crm(clock, Post(whole=late), listening) as crm:
        (ada,) = people(crm, 1)
        crm.send(message(ada, "short", not_after=clock.now() + 30 * SECOND))
        crm.deliver()
        clock.advance_to(clock.now() + 300 * SECOND)
        crm.deliver()
        crm.send(message(ada, "late"))
        crm.deliver()

    assert [
        ("short", "handed", "deferred"),
        ("short", "deferred", "withheld"),
        ("late", "handed", "unknown"),
        ("late", "unknown", "accepted"),
    ] == told


def test_plugins_are_told_what_became_of_messages(clock):
    """In the transaction that settles it; who raises leaves a fault, and the outcome stays."""
    told: list[tuple[str, str, str]] = []

    def note(ctx, event):
        told.extend((each.message.key, each.before, each.message.state) for each in event.changes)

    listening = plugin("listening", on_deliveries_changed=note)
    with open_crm(clock, Post(), listening, plugin("zz", on_deliveries_changed=raising)) as crm:
        (ada,) = people(crm, 1)
        crm.send(message(ada))
        crm.deliver()

        assert [("hello", "handed", "accepted")] == told
        assert {"accepted": 1} == states(crm)
        assert ["on_deliveries_changed"] == [each.hook for each in crm.faults("zz")]


def test_messages_wait_for_a_plugin_that_is_gone(clock, tmp_path):
    """Its owner's, or its channel's: reconcile names it, and it goes when that is back."""
    url = shop_file(tmp_path)
    post = Post()

    def owner():
        return plugin(
            "greeter",
            on_interactions_recorded=lambda ctx, event: [
                ctx.send(message(each.customer_id, "hello"))
                for each in event
                if each.kind == "account.registered"
            ],
        )

    with open_crm(clock, post, owner(), url=url) as crm:
        people(crm, 1)
    with open_crm(clock, post, url=url) as crm:
        assert {"accepted": 0, "others": 0} == crm.deliver()
        (missing,) = crm.reconcile()
        assert "1 message waits for plugin 'greeter', which is not there" == str(missing)
    with open_crm(clock, owner(), url=url) as crm:
        assert crm.next_due() is None
        assert ["channel"] == [each.sort for each in crm.reconcile()]
    with open_crm(clock, post, owner(), url=url) as crm:
        assert {"accepted": 1, "others": 0} == crm.deliver()
        assert [] == crm.reconcile()
