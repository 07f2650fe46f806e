"""Sendings that are paused, or whose clock jumps, or whose server is Postfix's `smtp-sink`."""

import getpass
import os
import re
import shutil
import socket
import subprocess
import time
from collections import Counter
from contextlib import contextmanager
from typing import Any

import pytest
from attrs import define, evolve, field, frozen

from crmcore import Content, Crm, Draft, Identifier
from crmcore.domain.clock import DAY
from plugins.email_link.tests.mailing import smtp_to
from plugins.email_link.tests.receivers import TAKE_AND_HANG_UP, Receiver
from plugins.email_link.tests.shops import START, plugin
from tests.support.databases import shop_file
from tests.support.making import rows
from tests.support.sending import assert_sums, people, states

PEOPLE = 60
AT_ONCE = 5
_SUBJECT = re.compile(rb"^Subject: (.*?)\r\n", re.MULTILINE)
CONTENT = Content(subject="Tea", text="Green tea.")
_STATES = (
    "SELECT i.identifier_value, m.state FROM crm_message m JOIN crm_identifier i "
    "ON i.customer_id = m.customer_id"
)


@define
class Hands:
    """Set by hand, back too, as a machine's clock may be."""

    instant: int = START

    def now(self):
        return self.instant


@define(eq=False)
class Between:
    """A transport beside which something happens, once the mails of a call were handed over."""

    smtp: Any
    happens: Any
    calls: int = 0
    idempotent: bool = field(default=False, init=False)

    def send(self, envelopes):
        outcomes = self.smtp.send(envelopes)
        self.calls += 1
        self.happens(self.calls)
        return outcomes

    def close(self):
        self.smtp.close()


def opened(url, smtp, clock, happens=lambda call: None, **settings):
    return Crm(
        url,
        plugins=[plugin(carrier=Between(smtp, happens), at_once=AT_ONCE, **settings)],
        clock=clock,
        secret="the same for both",
        durable=False,
    )


def agreed(crm, count=PEOPLE):
    """Register so many, who want news; return their ids."""
    found = people(crm, count)
    said = {"purpose": "news", "channel": "email"}
    names = [Identifier("email", f"p{number}@example.com") for number in range(count)]
    crm.record_many([Draft("consent.given", identifiers=(n,), payload=said) for n in names])
    return found


def broadcast(crm, key="news", audience="everyone"):
    crm.broadcast(key, audience, purpose="news", channel="email", content=CONTENT)


def subjects(receiver):
    """Return the subject of what each recipient got, one of all they got."""
    return {who: _SUBJECT.findall(raw)[0] for _, who, raw in receiver.taken}


@pytest.mark.each_database(partitioned=False)
def test_e20_what_is_paused_goes_on_with_whom_it_has_not_reached(tmp_path):
    """Paused from elsewhere in mid-send, edited, resumed: each gets it once, none nothing."""
    url, clock = shop_file(tmp_path), Hands()
    with (
        Receiver() as receiver,
        smtp_to(receiver) as smtp,
        smtp_to(receiver) as another,
        opened(url, another, clock) as desk,
    ):

        def pause(call):
            if call == 3:
                desk.pause_broadcast("news")

        with opened(url, smtp, clock, pause) as crm:
            agreed(crm)
            broadcast(crm)
            crm.deliver()
            before = subjects(receiver)
            assert 3 * AT_ONCE == len(before) == len(receiver.taken)
            clock.instant += DAY
            crm.deliver()
            desk.deliver()
            assert 3 * AT_ONCE == len(receiver.taken)
            desk.edit_broadcast("news", evolve(CONTENT, subject="Black tea"))
            desk.resume_broadcast("news")
            crm.deliver()

            assert {"accepted": PEOPLE} == states(crm)
            assert_sums(crm)
    assert {1} == set(Counter(receiver.recipients()).values())
    said = Counter(subjects(receiver).values())
    assert {b"Tea": 3 * AT_ONCE, b"Black tea": PEOPLE - 3 * AT_ONCE} == said
    assert {b"Tea"} == {subjects(receiver)[who] for who in before}


@pytest.mark.each_database(partitioned=False)
def test_e20_a_clock_that_jumps_sends_nothing_twice(tmp_path):
    """Forward past every lease while another process looks on, and back by more; and a fault."""
    url, clock = shop_file(tmp_path), Hands()
    lost = iter(range(1000))

    def fault(step, recipient):
        return TAKE_AND_HANG_UP if step == "content" and next(lost) % 17 == 16 else None

    with (
        Receiver(fault) as receiver,
        smtp_to(receiver) as smtp,
        smtp_to(receiver) as another,
        opened(url, another, clock) as beside,
    ):

        def jump(call):
            # What was just handed over is not settled, and its lease seems to have ended.
            clock.instant += (2, -3)[call % 2] * DAY
            if call % 2 == 0:
                beside.deliver()

        with opened(url, smtp, clock, jump) as crm:
            agreed(crm)
            broadcast(crm)
            crm.deliver()
            assert len(receiver.taken) > AT_ONCE
        clock.instant = START + 100 * DAY
        beside.deliver()
        told = dict(rows(beside, _STATES))
        assert_sums(beside)
    assert {1} == set(Counter(receiver.recipients()).values())
    assert PEOPLE == len(told) == len(receiver.taken)
    assert {"accepted", "unknown"} == set(told.values())


# ----------------------------------------------------------------------------- Postfix's sink

SINK = shutil.which("smtp-sink", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
FAULTS = {
    # Its options, what becomes of most at once, and of those in the end.
    "hangs up behind the dot": (("-q", "."), "deferred", "accepted"),
    "hangs up at DATA": (("-q", "DATA"), "deferred", "accepted"),
    "says 421 behind the dot": (("-Q", "."), "deferred", "accepted"),
    "says 450 to RCPT": (("-r", "RCPT"), "deferred", "accepted"),
    "says 450 behind the dot": (("-r", "."), "deferred", "accepted"),
    "says 500 to RCPT": (("-f", "RCPT"), "failed", "failed"),
    "says 550 in mid-mail": (("-A", "0"), "failed", "failed"),
    # With pipelining as well, its answers come in another order than the commands.
    "is slow": (("-p", "-W", ".:1"), "accepted", "accepted"),
    "has no pipelining": (("-p",), "accepted", "accepted"),
}
REFUSING = {"says 421 behind the dot", "says 450 behind the dot"}
"""What these write to their file they have not accepted."""


@frozen
class At:
    """Where a server is."""

    port: int


@contextmanager
def sink(file, port, *words):
    """Let Postfix's sink take mails on a port, and write them to a file."""
    user = ("-u", getpass.getuser()) if os.getuid() == 0 else ()
    command = [SINK, *user, "-D", str(file), *words, f"127.0.0.1:{port}", "100"]
    with subprocess.Popen(command) as process:
        for _ in range(500):
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionRefusedError:
                time.sleep(0.02)
        try:
            yield
        finally:
            process.terminate()


@pytest.mark.skipif(SINK is None, reason="smtp-sink, a part of Postfix, is not installed")
def test_e16_postfixs_sink_and_its_faults(tmp_path):
    """Six to each fault of it: what it has is accepted or unknown, once, and none is lost."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    each, clock, file = 6, Hands(), tmp_path / "sink"
    with smtp_to(At(port)) as smtp, opened(shop_file(tmp_path), smtp, clock) as crm:
        everybody = agreed(crm, each * len(FAULTS))
        for number, (name, (words, at_once, _)) in enumerate(FAULTS.items()):
            broadcast(crm, name, everybody[number * each :][:each])
            refused = tmp_path / f"refused {number}"
            with sink(refused if name in REFUSING else file, port, *words):
                crm.deliver()
            assert at_once == states(crm, name).most_common(1)[0][0], name
        with sink(file, port):
            for _ in range(3):
                clock.instant += DAY
                crm.deliver()
        for name, (_, _, in_the_end) in FAULTS.items():
            assert in_the_end == states(crm, name).most_common(1)[0][0], name
        told = dict(rows(crm, _STATES))
        assert_sums(crm)
    had = Counter(re.findall(r"^X-Rcpt-Args: <([^>]+)>", file.read_text(), re.MULTILINE))
    assert {"accepted", "failed", "unknown"} == set(told.values())
    assert {1} == set(had.values())
    accepted = {who for who, state in told.items() if state == "accepted"}
    unknown = {who for who, state in told.items() if state == "unknown"}
    assert accepted <= had.keys() <= accepted | unknown
