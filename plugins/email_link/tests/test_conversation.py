"""One conversation, with a peer in the same loop, so that what comes when is certain."""

import asyncio
import socket
from typing import Any

import pytest
from crmcore_email_link.transports.conversation import Conversation, Lost, Relay
from crmcore_email_link.transports.envelope import Envelope
from crmcore_email_link.transports.replies import Reply
from crmcore_email_link.transports.transaction import Carrier, Job, xtext

from crmcore import Accepted, Deferred, Unknown

RELAY = Relay(host="peer", tls="never", command_seconds=5.0, dot_seconds=5.0)
RAW = b"Subject: Hello\r\n\r\nHello\r\n"


def job(index):
    one = Envelope(raw=RAW, mail_from="", rcpt_to=f"p{index}@example.com", idempotency_key="k")
    return Job(index, one, "peer", (RELAY,))


def carried(answer, *, count=1, extensions=()):
    """Return what becomes of mails whose peer calls *answer* with its socket and what it heard."""
    settled: dict[int, Any] = {}

    async def act():
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)

        def hear():
            answer(theirs, theirs.recv(1_000_000))
            if theirs.fileno() < 0:
                loop.remove_reader(number)

        number = theirs.fileno()
        loop.add_reader(number, hear)
        conversation = Conversation("peer", dict.fromkeys(extensions, ""), loop)
        transport, _ = await loop.create_connection(asyncio.Protocol, sock=ours)
        conversation.take_over(transport)
        waiting = [job(index) for index in range(1, count)]
        carrier = Carrier(
            conversation,
            RELAY,
            lambda: waiting.pop(0) if waiting else None,
            lambda each, outcome, _: settled.__setitem__(each.index, outcome),
        )
        try:
            await carrier.carry(job(0))
        except Lost:
            pass
        finally:
            conversation.abort("was left")
            await asyncio.sleep(0)
            theirs.close()

    asyncio.run(act())
    return settled


def test_e16_a_final_dot_that_the_system_refused_was_never_sent():
    """The peer was gone when the mail was to be written, so it is not unknown."""

    def answer(peer, heard):
        peer.send(b"250 ok\r\n" * 2 + b"354 go on\r\n")
        peer.close()

    assert {0: Deferred("peer hung up")} == carried(answer, extensions=["pipelining"])


def test_e16_of_two_that_were_said_together_only_the_first_is_unknown():
    """The second's commands travelled with the first's dot, and nothing of its bytes."""

    def answer(peer, heard):
        if heard.endswith(b"DATA\r\n") and heard.startswith(b"MAIL"):
            peer.send(b"250 ok\r\n" * 2 + b"354 go on\r\n")
        else:
            assert b"\r\n.\r\nMAIL FROM:<> \r\n".replace(b" \r\n", b"\r\n") in heard
            peer.close()

    assert {0: Unknown("peer hung up"), 1: Deferred("peer hung up")} == carried(
        answer, count=2, extensions=["pipelining"]
    )


def test_e18_a_recipient_refused_among_commands_said_together():
    """The server may go on to take a mail for nobody; that is ended with a lone dot."""
    heard_all = []

    def answer(peer, heard):
        heard_all.append(heard)
        if b"p0@" in heard:
            peer.send(b"250 ok\r\n550 5.1.1 nobody\r\n354 go on\r\n")
        elif heard == b".\r\n":
            peer.send(b"554 no recipients\r\n")
        elif b"p1@" in heard:
            assert heard.startswith(b"RSET\r\nMAIL FROM:<>\r\n")
            peer.send(b"250 reset\r\n250 ok\r\n250 ok\r\n354 go on\r\n")
        else:
            peer.send(b"250 2.0.0 taken\r\n")

    found = carried(answer, count=2, extensions=["pipelining"])
    assert "550 5.1.1 nobody" in found[0].reason
    assert found[0].undeliverable
    assert Accepted("2.0.0 taken") == found[1]
    assert b".\r\n" == heard_all[1]


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"what?\r\n", "peer said what is no answer: 'what?'"),
        (b"25 ok\r\n", "peer said what is no answer: '25 ok'"),
        (b"2500 ok\r\n", "peer said what is no answer: '2500 ok'"),
        (b"x" * 70_000, "peer answered without end"),
        (b"250-on and on\r\n" * 8_000, "peer answered without end"),
    ],
)
def test_e16_who_does_not_speak_smtp_is_hung_up_on(said, reason):
    """What is no answer, or has no end, costs no memory, and is no yes."""

    def answer(peer, heard):
        peer.setblocking(True)
        peer.sendall(said)

    assert {0: Deferred(reason)} == carried(answer)


def test_answers_of_several_lines_in_any_pieces_are_one():
    """Joined in one line, whatever ends theirs, and whatever octets they have."""

    async def act():
        loop = asyncio.get_running_loop()
        conversation = Conversation("peer", {}, loop)
        for octet in b"250-one\r\n250-\r\n250 2.0.0 tw\xfc\n354\r\n":
            conversation.data_received(bytes([octet]))
        return [await conversation.reply(1.0) for _ in range(2)]

    assert [Reply(250, "one  2.0.0 tw\\xfc"), Reply(354, "")] == asyncio.run(act())


def test_a_timer_set_shorter_goes_off_in_time():
    """Ten minutes for one answer do not hold back the next one's fifth of a second."""

    async def act():
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        conversation = Conversation("peer", {}, loop)
        transport, _ = await loop.create_connection(asyncio.Protocol, sock=ours)
        conversation.take_over(transport)
        theirs.send(b"250 ok\r\n")
        assert Reply(250, "ok") == await conversation.reply(600.0)
        with pytest.raises(Lost, match="did not answer within"):
            await conversation.reply(0.2)
        with pytest.raises(Lost):
            conversation.write(b"MAIL")
        theirs.close()

    asyncio.run(act())


@pytest.mark.parametrize(
    ("said", "enhanced", "slowing", "wait"),
    [
        ("421 4.7.0 Try again in 5 minutes", "4.7.0", True, 300),
        ("421 busy", None, True, None),
        ("451 4.7.650 throttled, retry after 30 s", "4.7.650", True, 30),
        ("451 4.3.0 broken", "4.3.0", False, None),
        ("450 4.2.0 Greylisted for 300 seconds", "4.2.0", False, 300),
        ("450 4.7.1 later, in 2 hours", "4.7.1", False, 7200),
        ("550 5.1.10 null MX", "5.1.10", False, None),
        ("550 5.1.1000 no", None, False, None),
        ("550 5.1.1: no", "5.1.1", False, None),
        ("550 5.1.1.2 no", None, False, None),
        ("550 see 5.1.1", None, False, None),
        ("452 in 999999 hours", None, False, 86_400),
    ],
)
def test_e18_what_an_answer_says(said, enhanced, slowing, wait):
    """Its enhanced code where it begins with one, and a wait where it tells one in words."""
    reply = Reply(int(said[:3]), said[4:])
    assert (enhanced, slowing, wait) == (reply.enhanced, reply.is_slowing, reply.retry_after)
    assert said == str(reply)


def test_xtext_is_as_rfc_3461_says():
    """Plus and equals signs, spaces and controls are written in hexadecimal."""
    assert "a+2Bb+3Dc@x" == xtext("a+b=c@x")
    assert "+20+7F+0A" == xtext(" \x7f\n")
