"""Messages: planned once, judged, stopped, and of one person when two turn out to be one."""

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from crmcore import Crm, Identifier, VirtualClock, to_datetime
from crmcore.domain.clock import DAY, SECOND
from crmcore.domain.gate import GateSettings
from crmcore.domain.message import (
    Accepted,
    Channel,
    Content,
    Deferred,
    Unknown,
)
from crmcore.domain.quiet import QuietHours
from crmcore.errors import CustomerNotFoundError, InputError, ModeError, NotFoundError, PluginError
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


# ------------------------------------------------------------------------------- planning


def test_a_message_is_sent_and_the_ledger_tells(clock):
    """What was planned is handed over once, with its address, and becomes message.sent."""
    post = Post()
    with open_crm(clock, post) as crm:
        (ada,) = people(crm, 1)
        cause = crm.record("order.placed", customer=ada, amount="5.00")
        planned = crm.send(message(ada, caused_by=cause.id))

        assert "planned" == planned.state
        assert {"accepted": 1, "others": 0} == crm.deliver()
        (handed,) = post.handed
        assert "p0@example.com" == handed.address
        assert Content(text="Hello") == handed.content
        (found,) = crm.messages(ada)
        assert "accepted" == found.state
        assert "ref-hello" == found.provider_reference
        sent = crm.customer(ada).latest[0]
        assert "message.sent" == sent.kind
        assert cause.id == sent.caused_by
        assert ("hello", "ref-hello") == (sent.payload.message, sent.payload.reference)
        (decision,) = crm.why_decisions(ada)
        assert ["order.placed"] == [each.kind for each in decision.because]


def test_the_ledger_tells_what_asked(clock):
    """Whether a message asked for something stands in the ledger, where plugins count it."""
    post = Post()
    with open_crm(clock, post) as crm:
        (ada,) = people(crm, 1)
        crm.send(message(ada))
        crm.send(message(ada, "question", asks=True))
        crm.deliver()
        told = {each.payload.message: each.payload.asks for each in crm.customer(ada).latest[:2]}

        assert {"hello": False, "question": True} == told


def test_sending_twice_is_one_message(clock):
    """Duplicate sends: a key goes to a customer once, however often and by whatever name."""
    post = Post()
    with open_crm(clock, post) as crm:
        (ada,) = people(crm, 1)
        first = crm.send(message(ada))
        with crm.begin() as tx:
            again = tx.send(message(Identifier("email", "p0@example.com")))

        assert first.id == again.id
        crm.deliver()
        assert first.id == crm.send(message(ada)).id
        crm.deliver()
        assert 1 == len(post.handed)
        assert 1 == len(crm.messages(ada))


def test_what_is_sent_again_otherwise_is_warned_of(clock, caplog):
    """The first stands, and it is no error; what was the same, or was emptied since, is quiet."""
    with open_crm(clock, Post()) as crm:
        (ada,) = people(crm, 1)
        first = crm.send(message(ada, content=Content(text="Hello", data={"sizes": (1, 2)})))
        crm.send(message(ada, content=Content(text="Hello", data={"sizes": [1, 2]})))
        assert [] == caplog.messages

        assert first == crm.send(message(ada, purpose="care", priority=3))

        (warned,) = caplog.messages
        assert "differs in its purpose and priority and content" in warned
        assert "Hello" not in warned


def test_what_could_never_go_is_refused(clock):
    """The shop's own; a plugin may find that it is too late, and what it says is withheld."""
    window: dict[str, Any] = {"not_before": NOW + HOUR, "not_after": NOW}

    def late(ctx, event):
        ctx.send(*(message(each.customer_id, "late", **window) for each in event))

    speaker = plugin("speaker", on_interactions_recorded=late)
    with open_crm(clock, Post(), speaker) as crm:
        (ada,) = people(crm, 1)
        with pytest.raises(InputError, match="could never go"):
            crm.send(message(ada, **window))
        with pytest.raises(InputError, match="could never go"):
            crm.broadcast("all", [ada], **BROADCAST, **window)
        with pytest.raises(InputError, match="aware datetime"):
            crm.send(message(ada, not_before="x"))
        crm.send(message(ada, "now", not_before=NOW, not_after=NOW))
        clock.advance_to(NOW + HOUR)
        crm.deliver()

        found = {each.key: (each.state, each.gate) for each in crm.messages(ada)}
        assert {"now": ("withheld", "expired"), "late": ("withheld", "expired")} == found
        assert {} == crm.debts()


def test_what_was_put_off_is_tried_at_once(clock, tmp_path):
    """What was deferred, and what waits for hours that were changed; not what is to go later."""
    answers = [Deferred("full", retry_after=3600.0)]
    post = Post(answer=lambda each: answers.pop() if answers else Accepted())
    url = shop_file(tmp_path)
    hours = QuietHours(since="00:00", until="23:59", purposes=["care"])
    with open_crm(clock, post, url=url, gate=GateSettings(quiet=[hours])) as crm:
        (ada,) = people(crm, 1)
        crm.give_consent(ada, "care", "email")
        crm.send(message(ada, "one"))
        crm.send(message(ada, "wished", not_before=NOW + DAY))
        crm.deliver()
        crm.send(message(ada, "quiet", purpose="care"))
        crm.send(message(ada, "no", purpose="news"))
        assert {"accepted": 0, "others": 0} == crm.deliver()
        assert {"accepted": 1, "others": 1} == crm.deliver(put_off=True)
        assert ["one", "one"] == [each.message.key for each in post.handed]
    with open_crm(clock, post, url=url) as crm:
        assert {"accepted": 0, "others": 0} == crm.deliver()
        assert {"accepted": 1, "others": 0} == crm.deliver(put_off=True)

        assert "quiet" == post.handed[-1].message.key
        assert {"accepted": 2, "planned": 1, "withheld": 1} == Counter(
            each.state for each in crm.messages(ada)
        )
        assert_sums(crm)


def test_two_plugins_keys_are_their_own(clock):
    """A key is unique for each plugin, and a plugin's message is told as its own."""
    sender = plugin(
        "greeter",
        on_interactions_recorded=lambda ctx, event: [
            ctx.send(message(each.customer_id, "hello"))
            for each in event
            if each.kind == "account.registered"
        ],
    )
    with open_crm(clock, Post(), sender) as crm:
        (ada,) = people(crm, 1)
        crm.send(message(ada))

        assert ["", "greeter"] == sorted(each.plugin for each in crm.messages(ada))


def test_nothing_is_sent_for_an_order_that_is_rolled_back(clock):
    """What a hook sends is kept with the transaction, or undone with it."""
    sender = plugin(
        "greeter",
        on_interactions_recorded=lambda ctx, event: [
            ctx.send(message(each.customer_id, f"hello/{each.source_key}")) for each in event
        ],
    )
    with open_crm(clock, Post(), sender) as crm:

        def fail(tx):
            tx.record("account.registered", email="ada@example.com", source_key="1")
            return 1 / 0

        with pytest.raises(ZeroDivisionError):
            crm.run_transaction(fail)
        assert [] == crm.messages()

        crm.record("account.registered", email="ada@example.com", source_key="1")
        assert ["hello/1"] == [each.key for each in crm.messages()]


def test_a_plugin_that_raises_after_sending_has_sent_nothing(clock):
    """The order commits, and what the failing plugin planned is undone; then debt sends it."""
    fails = [True]

    def send(ctx, event):
        for each in event:
            ctx.send(message(each.customer_id, f"hello/{each.source_key}"))
        if fails[0]:
            raise ValueError("told to fail")

    with open_crm(clock, Post(), plugin("greeter", on_interactions_recorded=send)) as crm:
        crm.record("account.registered", email="ada@example.com", source_key="1")
        assert [] == crm.messages()

        fails[0] = False
        clock.advance_to(NOW + 2 * DAY)
        crm.pay_debts()
        (late,) = crm.messages()
        # Two days later nobody wants it any more.
        assert NOW + DAY == late.not_after
        assert ("withheld", "expired") == (late.state, late.gate)


def test_after_hooks_send_when_they_have_returned(clock):
    """What an after_ hook sends is planned with its cursor, and nothing if it raises."""

    def send(ctx, event):
        for each in event:
            if each.kind == "account.registered":
                ctx.send(message(each.customer_id, "welcome"))
                ctx.broadcast(f"for/{each.source_key}", [each.customer_id], **BROADCAST)

    with open_crm(clock, Post(), plugin("greeter", after_interactions_recorded=send)) as crm:
        crm.record("account.registered", email="ada@example.com", source_key="1")
        assert [] == crm.messages()
        crm.worker().once()
        assert {"welcome", "for/1"} == {each.key for each in crm.messages()}
        assert {"accepted": 2} == states(crm)


def test_rebuilding_sends_nothing(clock):
    """Sending in recompute_customers is a ModeError, and nothing is kept."""
    told = []

    def recompute(ctx, event):
        for act in (
            lambda: ctx.send(message(1)),
            lambda: ctx.broadcast("all", "everyone", **BROADCAST),
        ):
            with pytest.raises(ModeError, match="tried to send"):
                act()
            told.append(event)

    with open_crm(clock, Post(), plugin("calm", recompute_customers=recompute)) as crm:
        people(crm, 1)
        crm.rebuild("calm")
        assert 2 == len(told)
        assert [] == crm.messages()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"key": ""}, "key is ''"),
        ({"key": "x" * 256}, "1 to 255"),
        ({"purpose": "newz"}, "did you mean 'news'"),
        ({"channel": "emial"}, "did you mean 'email'"),
        ({"content": "hi"}, "Content is expected"),
        ({"content": Content(data={"x": object()})}, "JSON"),
        ({"asks": 1}, "asks is 1"),
        ({"priority": "high"}, "priority is 'high'"),
        ({"not_before": "tomorrow"}, "not_before is 'tomorrow'"),
        ({"customer": "ada"}, "'ada'"),
    ],
)
def test_a_message_that_is_not_right_is_refused(clock, change, says):
    """One sentence says what was found, and nothing is written."""
    with open_crm(clock, Post()) as crm:
        (ada,) = people(crm, 1)
        values = {"customer": ada, **change}
        with pytest.raises(InputError, match=says):
            crm.send(message(**values))
        with pytest.raises(CustomerNotFoundError):
            crm.send(message(99))
        assert [] == crm.messages()


def test_a_channel_that_two_plugins_bring_stops_the_start(clock):
    """The clash names both; so does a scheme that is not there, and a missing hook."""
    other = plugin(
        "other",
        register_channels=lambda: [Channel("email", scheme="email")],
        deliver_messages=raising,
    )
    with pytest.raises(
        PluginError, match=r"'post': registers the channel 'email', which plugin 'o"
    ):
        open_crm(clock, Post(), other)
    with pytest.raises(PluginError, match="did you mean 'email'"):
        open_crm(clock, Post(scheme="emial"))
    silent = plugin("silent", register_channels=lambda: [Channel("email", scheme="email")])
    with pytest.raises(PluginError, match="must implement deliver_messages"):
        open_crm(clock, silent)


# ------------------------------------------------------------------------------ broadcasts


def test_an_audience_is_frozen_when_it_is_planned(clock):
    """Lost sends: whoever comes later is not in it, and its sum is its audience for ever."""
    post = Post()
    with open_crm(clock, post) as crm:
        customers = people(crm, 25)
        planned = crm.broadcast("all", "everyone", **BROADCAST)
        people(crm, 5, start=100)

        assert 25 == planned.audience == planned.pending
        crm.deliver()
        again = crm.broadcast("all", "everyone", **BROADCAST)
        assert (25, {"accepted": 25}) == (again.audience, again.states)
        assert set(customers) == {each.message.customer_id for each in post.handed}
        assert {1} == set(post.addresses.values())
        assert_sums(crm)


def test_an_audience_may_be_a_select_or_a_list(clock):
    """Both name customers by id; merged ones are their survivors, once."""
    from sqlalchemy import select

    from crmcore.persistence.customers import customer

    with open_crm(clock, Post()) as crm:
        one, two, three, _ = people(crm, 4)
        crm.merge(one, two)
        listed = crm.broadcast("listed", [one, two, three], **BROADCAST)
        chosen = select(customer.c.customer_id).where(customer.c.customer_id > two)

        assert 2 == listed.audience
        assert 2 == crm.broadcast("chosen", chosen, **BROADCAST).audience
        assert 0 == crm.broadcast("nobody", [], **BROADCAST).audience
        for audience in (["ada"], "all", 3):
            with pytest.raises(InputError):
                crm.broadcast("wrong", audience, **BROADCAST)
        with pytest.raises(CustomerNotFoundError):
            crm.broadcast("wrong", [one, 99], **BROADCAST)
        with pytest.raises(InputError, match="key of a broadcast"):
            crm.send(message(three, "listed"))
        crm.send(message(three, "single"))
        with pytest.raises(InputError, match="one by one"):
            crm.broadcast("single", [one], **BROADCAST)
        assert_sums(crm)


def test_the_number_of_statements_does_not_grow_with_the_audience(clock):
    """Planning for 1,000 takes as many as planning for 10."""
    with open_crm(clock, Post()) as crm:
        customers = people(crm, 1000)
        crm.broadcast("first", customers[:2], **BROADCAST)  # what is asked but once
        counted = []
        for number in (10, 1000):
            with crm.begin() as tx:
                count = [0]
                original = tx.connection._run

                def run(*given, original=original, count=count):
                    count[0] += 1
                    return original(*given)

                tx.connection._run = run
                assert (
                    number == tx.broadcast(f"b{number}", customers[:number], **BROADCAST).audience
                )
                counted.append(count[0])

        assert counted[0] == counted[1]
        assert 0 < counted[0] < 20


def test_a_broadcast_that_is_called_off_stops(clock):
    """What was not handed over is withheld; the rest stays as it is."""
    with open_crm(clock, Post()) as crm:
        customers = people(crm, 30)
        crm.broadcast("all", customers, not_after=to_datetime(NOW + DAY), **BROADCAST)
        crm.broadcast("late", customers, not_before=NOW + HOUR, **BROADCAST)
        crm.deliver()
        stopped = crm.stop_broadcast("late", actor="staff:grace")

        assert {"withheld": 30} == stopped.states
        assert NOW == stopped.stopped_at
        assert {"accepted": 30} == crm.stop_broadcast("all").states
        assert {"stopped"} == {each.gate for each in crm.messages(key="late")}
        with pytest.raises(NotFoundError, match="did you mean 'late'"):
            crm.stop_broadcast("lat")
        assert crm.next_due() is None
        assert_sums(crm)


def test_a_paused_broadcast_waits_until_it_is_resumed(clock):
    """Nothing of it goes, whatever time passes; resumed, each gets it once."""
    post = Post(at_once=10)
    with open_crm(clock, post) as crm:
        customers = people(crm, 30)
        crm.broadcast("all", customers, **BROADCAST)
        paused = crm.pause_broadcast("all")
        crm.deliver()

        assert NOW == paused.paused_at
        assert [] == post.handed
        assert {"planned": 30} == crm.find_broadcast("all").states
        assert {"paused"} == {each.gate for each in crm.messages(key="all")}
        assert crm.next_due() is None
        clock.advance_to(NOW + 40 * DAY)
        crm.deliver(put_off=True)
        assert [] == post.handed
        assert NOW == crm.pause_broadcast("all").paused_at
        assert [] == crm.reconcile()

        assert crm.resume_broadcast("all").paused_at is None
        crm.deliver()
        assert {"accepted": 30} == crm.resume_broadcast("all").states
        assert sorted(customers) == sorted(each.message.customer_id for each in post.handed)
        assert_sums(crm)


def test_what_a_worker_has_claimed_is_not_handed_over_once_it_is_paused(clock):
    """A claim lives for a minute; the pause is seen before anybody is called."""
    post = Post(at_once=10)
    with open_crm(clock, post) as crm:
        crm.broadcast("all", people(crm, 5), **BROADCAST)
        delivering, channel = crm._parts.delivering, crm.assembly.channels["email"]
        claim = delivering._claim(channel)
        assert 5 == len(claim.messages)
        crm.pause_broadcast("all")
        with delivering._begin() as unit:
            handed = delivering._claims.hand_over(unit, claim, channel, claim.messages)

        assert [] == handed
        assert {"planned": 5} == crm.find_broadcast("all").states
        crm.resume_broadcast("all")
        crm.deliver()
        assert {"accepted": 5} == crm.find_broadcast("all").states
        assert [] == crm.reconcile()


def test_a_paused_broadcast_can_be_edited_and_called_off(clock):
    """Who had it had the first text; the others get the second, and the last none."""
    post = Post(at_once=4)
    with open_crm(clock, post) as crm:
        customers = people(crm, 12)
        crm.broadcast("all", customers[:6], **BROADCAST)
        with pytest.raises(InputError, match="on its way"):
            crm.edit_broadcast("all", Content(text="Better"))
        crm.deliver()
        crm.broadcast("more", customers[6:], **BROADCAST)
        crm.pause_broadcast("more")
        crm.edit_broadcast("more", Content(text="Better"))
        with pytest.raises(InputError, match="text"):
            crm.edit_broadcast("more", Content(text=3))  # type: ignore[arg-type]
        crm.resume_broadcast("more")
        crm.deliver()
        said = {each.message.customer_id: each.content.text for each in post.handed}
        assert ["Better"] * 6 == [said[each] for each in customers[6:]]
        assert "Better" not in {said[each] for each in customers[:6]}

        crm.broadcast("last", customers, **BROADCAST)
        crm.pause_broadcast("last")
        crm.deliver()
        assert {"withheld": 12} == crm.stop_broadcast("last").states
        for change in (crm.pause_broadcast, crm.resume_broadcast):
            with pytest.raises(InputError, match="was called off"):
                change("last")
        with pytest.raises(NotFoundError, match="did you mean 'last'"):
            crm.pause_broadcast("lats")
        assert_sums(crm)


def test_the_highest_priority_goes_first(clock):
    """Of several to one customer each comes in its turn, by priority and then as planned."""
    post = Post(at_once=1)
    with open_crm(clock, post) as crm:
        (ada,) = people(crm, 1)
        for key, priority in (("a", 0), ("b", 5), ("c", 0), ("d", -1)):
            crm.send(message(ada, key, priority=priority))
        crm.deliver()

        assert ["b", "a", "c", "d"] == [each.message.key for each in post.handed]


def test_time_comes_to_messages(clock):
    """next_due names the instant at which a message may go; before it nothing goes."""
    post = Post()
    with open_crm(clock, post) as crm:
        (ada,) = people(crm, 1)
        crm.send(message(ada, not_before=to_datetime(NOW) + timedelta(hours=5)))
        crm.deliver()

        assert NOW + 5 * HOUR == crm.next_due()
        assert [] == post.handed
        clock.advance_to(NOW + 5 * HOUR)
        crm.worker().once()
        assert 1 == len(post.handed)


def test_what_is_withheld_at_the_claim_is_not_counted_as_accepted(clock):
    """crm.deliver() tells apart what channels took and what else was looked at."""
    post = Post()
    with open_crm(clock, post) as crm:
        customers = people(crm, 5)
        crm.broadcast("all", customers, not_after=NOW + HOUR, **BROADCAST)
        clock.advance_to(NOW + 2 * HOUR)

        assert {"accepted": 0, "others": 5} == crm.deliver()
        assert {"withheld": 5} == states(crm)
        assert {"expired"} == {each.gate for each in crm.messages()}
        assert [] == post.handed


def test_a_deferral_does_not_undo_what_may_have_been_received(clock):
    """Handed over, cut off, handed over again and deferred: who says no then may have it."""
    answers = [Unknown("cut off"), Deferred("later")]
    post = Post(answer=lambda each: answers.pop(0), idempotent=True)
    with open_crm(clock, post) as crm:
        (ada,) = people(crm, 1)
        crm.record("consent.given", customer=ada, payload={"purpose": "news", "channel": "email"})
        crm.send(message(ada, purpose="news"))
        crm.deliver()
        clock.advance_to(NOW + HOUR)
        crm.deliver()
        assert {"deferred": 1} == states(crm)
        crm.record("consent.withdrawn", customer=ada, payload={"purpose": "news"})

        assert {"unknown": 1} == states(crm)
        assert_sums(crm)
