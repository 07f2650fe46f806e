"""SMTP against real servers with faults: what was taken, what was not, and what nobody knows."""

import asyncio
import random
import time
from collections import Counter
from typing import Any

import pytest
from crmcore_email_link.throttle import Limits
from crmcore_email_link.transports.conversation import Relay
from crmcore_email_link.transports.envelope import Envelope
from crmcore_email_link.transports.smtp import Smtp
from crmcore_email_link.transports.transaction import commands_of

from crmcore import Accepted, Deferred, Failed, Unknown
from crmcore.errors import InputError
from plugins.email_link.tests.mailing import (
    OFFERS,
    RAW,
    Throttle,
    envelope,
    envelopes,
    sent,
    smtp_to,
)
from plugins.email_link.tests.receivers import (
    HANG_UP,
    SILENCE,
    TAKE_AND_HANG_UP,
    Receiver,
)


@OFFERS
def test_e16_each_mail_is_taken_once_and_outcomes_keep_their_order(offers):
    """Many through few connections; each arrives byte for byte, and its outcome stands in place."""
    raws = [
        b"Subject: s\r\n\r\n.dot\r\n..two\r\n.\r\nend\r\n",
        b".Subject: s\r\n\r\nno break at the end",
        b"Subject: s\r\n\r\n" + b"long\r\n" * 40_000,
        RAW,
    ]
    those = [envelope(f"p{i}", raw=raws[i % 4]) for i in range(120)]
    outcomes, receiver = sent(those, offers=offers)

    assert [Accepted("2.0.0 Ok: queued as 4F2")] * 120 == list(outcomes)
    assert Counter(e.rcpt_to for e in those) == Counter(receiver.recipients())
    arrived = {recipient: content for _, recipient, content in receiver.taken}
    for each in those:
        whole = each.raw if each.raw.endswith(b"\r\n") else each.raw + b"\r\n"
        assert whole == arrived[each.rcpt_to]
    assert 1 < receiver.connections <= 6
    assert {"b+token@bounce.example.com"} == {mail_from for mail_from, _, _ in receiver.taken}


@OFFERS
@pytest.mark.parametrize("step", ["greeting", "EHLO", "MAIL", "RCPT", "DATA"])
def test_e16_what_is_lost_before_the_final_dot_is_deferred(step, offers):
    """Whoever hangs up before a mail's bytes were sent has not got it."""

    def fault(at, recipient):
        return HANG_UP if at in (step, "HELO" if step == "EHLO" else step) else None

    outcomes, receiver = sent(envelopes(3), fault, offers=offers)
    assert [Deferred] * 3 == [type(each) for each in outcomes]
    assert [] == receiver.taken


@OFFERS
@pytest.mark.parametrize("fault", [HANG_UP, TAKE_AND_HANG_UP])
def test_e16_what_is_lost_behind_the_final_dot_is_unknown(fault, offers):
    """Whether it was taken or not: from here both look the same (RFC 1047)."""
    outcomes, receiver = sent(
        [envelope("ada")], lambda at, _: fault if at == "content" else None, offers=offers
    )
    assert [Unknown("127.0.0.1 hung up")] == list(outcomes)
    assert (["ada@example.com"] if fault == TAKE_AND_HANG_UP else []) == receiver.recipients()


def test_e16_a_long_mail_that_never_left_is_deferred():
    """The server hangs up while most of it is still here, so its final dot is too."""

    class Impatient(asyncio.Protocol):
        def connection_made(self, transport):
            self.transport = transport
            transport.write(b"220 hello\r\n")

        def data_received(self, data):
            if data.startswith(b"DATA"):
                self.transport.write(b"354 go on\r\n")
            elif data.startswith((b"EHLO", b"MAIL", b"RCPT")):
                self.transport.write(b"250 ok\r\n")
            else:
                self.transport.abort()

    with Receiver() as receiver:
        serving = asyncio.run_coroutine_threadsafe(
            receiver.loop.create_server(Impatient, "127.0.0.1", 0), receiver.loop
        )
        server = serving.result(10)
        receiver.port = server.sockets[0].getsockname()[1]
        with smtp_to(receiver) as smtp:
            (outcome,) = smtp.send([envelope("ada", raw=RAW + b"x" * 20_000_000)])
        receiver.loop.call_soon_threadsafe(server.close)
        assert isinstance(outcome, Deferred)
        assert "hung up" in outcome.reason


@OFFERS
@pytest.mark.parametrize("step", ["MAIL", "RCPT", "DATA", "content"])
@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        ("450 4.2.1 Not now", Deferred),
        ("452 4.5.3 Full", Deferred),
        ("550 5.7.1 Blocked", Failed),
        ("554 No", Failed),
        ("530 5.7.0 Log in first", Deferred),
    ],
)
def test_e18_a_refusal_is_about_one_mail_and_kept_word_for_word(step, reply, kind, offers):
    """4yz is tried again, 5yz is not, and the mails before and behind it are taken."""

    def fault(at, recipient):
        if at == "MAIL":  # which has no recipient yet: the second of three
            number[0] += 1
            return reply if step == "MAIL" and number[0] == 2 else None
        return reply if at == step and recipient == "p1@example.com" else None

    number = [0]
    outcomes, receiver = sent(envelopes(3), fault, offers=offers)

    assert [Accepted, kind, Accepted] == [type(each) for each in outcomes]
    assert reply in outcomes[1].reason
    assert ["p0@example.com", "p2@example.com"] == receiver.recipients()
    if kind is Failed:
        assert not outcomes[1].undeliverable


@pytest.mark.parametrize(
    ("said", "is_gone"),
    [
        *((f"550 5.1.{detail} No", True) for detail in (1, 2, 3, 6, 10)),
        *((f"550 5.1.{detail} No", False) for detail in (0, 4, 7, 8, 11)),
        ("550 5.7.1 No such user here", False),
        ("550 5.7.515 Access denied", False),
        ("550 No such user here", False),
        ("550 5.1.12 No", False),
        ("552 5.2.2 Mailbox full", False),
    ],
)
def test_e21_only_codes_about_the_address_end_it(said, is_gone):
    """`undeliverable` for 5.1.1, 5.1.2, 5.1.3, 5.1.6 and 5.1.10; never for policy."""
    for step in ("RCPT", "content"):
        outcomes, _ = sent([envelope("ada")], lambda at, _, s=step: said if at == s else None)
        assert [is_gone] == [each.undeliverable for each in outcomes]
    outcomes, _ = sent([envelope("ada")], lambda at, _: said if at == "MAIL" else None)
    assert not outcomes[0].undeliverable  # it speaks of the sender


@OFFERS
@pytest.mark.parametrize("reply", ["421 4.7.0 Try again in 5 minutes", "451 4.7.650 Slow down"])
@pytest.mark.parametrize("step", ["greeting", "MAIL", "RCPT", "content"])
def test_e18_who_asks_to_slow_down_is_left_alone(step, reply, offers):
    """That mail is deferred, and so is what waits behind it, for as long as the pause is."""
    outcomes, receiver = sent(
        envelopes(8),
        lambda at, _: reply if at == step else None,
        offers=offers,
        throttle=Throttle(limits=Limits(connections=1, pause=60)),
    )
    assert {Deferred} == {type(each) for each in outcomes}
    assert reply in outcomes[0].reason
    waits = {each.retry_after for each in outcomes[2:]}
    if "5 minutes" in reply:
        assert 300 == outcomes[0].retry_after
        assert all(60 < each <= 300 for each in waits)
    else:
        assert all(0 < each <= 60 for each in waits)
    assert 1 == receiver.connections
    assert [] == receiver.taken


def test_e18_a_refused_greeting_or_login_is_not_about_a_mail():
    """A 554 before any mail says nothing of the recipients."""
    outcomes, _ = sent(
        envelopes(2), lambda at, _: "554 5.7.1 Blocked" if at == "greeting" else None
    )
    assert [Deferred, Deferred] == [type(each) for each in outcomes]
    assert "554 5.7.1 Blocked" in outcomes[0].reason


@OFFERS
@pytest.mark.parametrize(("step", "kind"), [("RCPT", Deferred), ("content", Unknown)])
def test_e16_who_does_not_answer_is_not_waited_for_for_ever(step, kind, offers):
    """Each timer is the relay's; what its end means depends on the final dot alone."""
    outcomes, _ = sent(
        [envelope("ada")],
        lambda at, _: SILENCE if at == step else None,
        offers=offers,
        **{"command_seconds" if step == "RCPT" else "dot_seconds": 0.3},
    )
    assert [kind("127.0.0.1 did not answer within 0.3 s")] == list(outcomes)


def test_e16_nobody_at_home_is_deferred():
    """Nothing listens there."""
    with Receiver() as receiver:
        port = receiver.port
    with Smtp(
        relay=Relay(host="127.0.0.1", port=port, tls="never"), hello="x", seconds=600.0
    ) as smtp:
        outcomes: Any = smtp.send(envelopes(20))
    assert {Deferred} == {type(each) for each in outcomes}
    assert "cannot be talked to" in outcomes[0].reason


@OFFERS
@pytest.mark.parametrize("in_pieces", [False, True])
def test_e16_with_faults_at_random_each_has_the_outcome_that_happened(offers, in_pieces):
    """Accepted exactly once where it says so, never where it does not, unknown only by the dot."""
    chance = random.Random(4)
    faults = {
        f"p{number}@example.com": chance.choice(
            [None] * 12
            + [
                ("RCPT", HANG_UP),
                ("DATA", HANG_UP),
                ("content", HANG_UP),
                ("content", TAKE_AND_HANG_UP),
                ("RCPT", "450 4.2.1 later"),
                ("RCPT", "550 5.1.1 nobody"),
                ("content", "552 5.2.2 full"),
                ("content", "421 4.3.2 closing"),
                ("DATA", "451 4.3.0 broken"),
            ]
        )
        for number in range(150 if in_pieces else 300)
    }

    def fault(at, recipient):
        found = faults.get(recipient)
        return found[1] if found and found[0] == at else None

    with (
        Receiver(fault, offers=offers, in_pieces=in_pieces) as receiver,
        smtp_to(receiver) as smtp,
    ):
        final: dict[str, Any] = {}
        rest = [envelope(each.partition("@")[0]) for each in faults]
        for _ in range(400):
            outcomes = smtp.send(rest)
            assert len(rest) == len(outcomes)
            still = []
            for each, outcome in zip(rest, outcomes, strict=True):
                if isinstance(outcome, Deferred) and faults[each.rcpt_to] is None:
                    still.append(each)
                elif isinstance(outcome, Deferred) and "hung up" in outcome.reason:
                    # Its own fault, or that of the mail before it on the same connection.
                    final[each.rcpt_to] = outcome
                elif isinstance(outcome, Deferred) and "its turn" in outcome.reason:
                    still.append(each)
                else:
                    final[each.rcpt_to] = outcome
            rest = still
            if not rest:
                break
            time.sleep(max(each.retry_after or 0.0 for each in outcomes if type(each) is Deferred))
        times = Counter(receiver.recipients())
    assert [] == rest
    assert set(faults) == set(final)
    for name, outcome in final.items():
        match faults[name]:
            case None:
                assert (Accepted("2.0.0 Ok: queued as 4F2"), 1) == (outcome, times[name])
            case ("content", "take it and hang up"):
                assert isinstance(outcome, Unknown | Deferred)
                assert isinstance(outcome, Unknown) == (times[name] == 1)
            case ("content", "hang up"):
                assert (True, 0) == (isinstance(outcome, Unknown | Deferred), times[name])
            case (_, reply) if reply[0] == "5":
                assert reply in outcome.reason or "hung up" in outcome.reason
                assert 0 == times[name]
            case _:
                assert (True, 0) == (isinstance(outcome, Deferred), times[name])
    assert max(times.values()) == 1
    assert {Accepted, Deferred, Failed, Unknown} == {type(each) for each in final.values()}


def test_e17_the_envelope_asks_for_reports_where_the_server_has_them():
    """ENVID, ORCPT, RET=HDRS and NOTIFY, encoded as RFC 3461 says; without DSN none of them."""
    one = envelope("a+b=c", envid="m=17")
    _, receiver = sent([one])
    assert [
        f"MAIL FROM:<b+token@bounce.example.com> SIZE={len(RAW)} RET=HDRS ENVID=m+3D17",
        "RCPT TO:<a+b=c@example.com> NOTIFY=FAILURE,DELAY ORCPT=rfc822;a+2Bb+3Dc@example.com",
    ] == receiver.said
    _, receiver = sent([one], offers=())
    assert [
        f"MAIL FROM:<b+token@bounce.example.com> SIZE={len(RAW)}",
        "RCPT TO:<a+b=c@example.com>",
    ] == receiver.said


def test_e1_addresses_beyond_ascii_go_where_they_are_taken():
    """SMTPUTF8 is asked for when it is needed, and without it such a mail fails with a sentence."""
    outcomes, receiver = sent([envelope("jürgen@example.com"), envelope("ada")])
    assert [Accepted, Accepted] == [type(each) for each in outcomes]
    assert ["jürgen@example.com", "ada@example.com"] == receiver.recipients()
    assert ["SMTPUTF8" in each for each in receiver.said if each.startswith("MAIL")] == [
        True,
        False,
    ]
    assert "ORCPT=utf-8;jürgen@example.com" in receiver.said[1]

    relay = Relay(host="x")
    assert "SMTPUTF8" in commands_of(envelope("jürgen@example.com"), {"size": ""}, relay)
    eight = envelope("ada", raw=RAW + "ü\r\n".encode())
    assert "8BITMIME" in commands_of(eight, {}, relay)
    wide = envelope("ada", raw="Subject: ü\r\n\r\n".encode())
    assert "SMTPUTF8" in commands_of(wide, {"8bitmime": ""}, relay)
    assert isinstance(commands_of(eight, {"8bitmime": ""}, relay), tuple)


def test_e18_a_mail_too_big_for_the_server_fails_alone():
    """The others of the same connection go."""
    big = envelope("big", raw=RAW + b"x" * 5000)
    with (
        Receiver(data_size_limit=2000) as receiver,
        smtp_to(receiver) as smtp,
    ):
        outcomes = smtp.send([envelope("a"), big, envelope("b")])
    assert [Accepted, Failed, Accepted] == [type(each) for each in outcomes]
    assert "takes mails of 2000 octets at most, and this one has" in outcomes[1].reason
    assert ["a@example.com", "b@example.com"] == receiver.recipients()


def test_e7_what_could_be_read_as_two_mails_is_refused():
    """A bare CR or LF, a line break in an address: nothing of it comes near a server."""
    for raw in (b"a\nb\r\n", b"a\rb\r\n", b"x\r\n.\n.\r\n", b"x\n", b"\r", b""):
        with pytest.raises(InputError):
            envelope("ada", raw=raw)
    for address in ("a\r\nRCPT TO:<b@x>", "a b@x", "<a@x>", "@x", "a@", "a\0@x", "", "x" * 250):
        with pytest.raises(InputError):
            Envelope(raw=RAW, mail_from="", rcpt_to=address, idempotency_key="k")
    with pytest.raises(InputError):
        Envelope(raw=RAW, mail_from="a>b@x", rcpt_to="a@x", idempotency_key="k")
    with pytest.raises(InputError):
        envelope("ada", envid="é")
    assert "" == envelope("ada", mail_from="").mail_from


def test_e18_a_421_at_the_greeting_slows_too():
    """At EHLO as well, where a refusal would otherwise be answered by an older greeting."""
    for step in ("greeting", "EHLO"):
        throttle = Throttle(limits=Limits(pause=60))
        outcomes, receiver = sent(
            envelopes(3), lambda at, _, s=step: "421 busy" if at == s else None, throttle=throttle
        )
        assert {Deferred} == {type(each) for each in outcomes}
        assert "421 busy" in outcomes[0].reason
        assert 0 < throttle.rest("127.0.0.1") <= 60
        assert 1 == receiver.connections
