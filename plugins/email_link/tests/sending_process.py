"""
A process that sends, to be killed: `python -m plugins.email_link.tests.sending_process`.

The words are URL, PORT, NOW, NOTE, STAGE, MAIL and LATER. It kills itself at a stage of the
MAILth mail, and notes the stage beforehand: `half` of the mail's octets are out, its `dot` is, it
is `waiting` for the answer for LATER milliseconds, or the `answer` is there and not heard yet; or
it is `anywhere`, LATER points behind the mail's dot, where a statement, a commit, and whatever is
said or heard are a point each. With `never` it goes on to the end; `together`, it says when it is
ready, and begins once it is told a line.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any, cast

from attrs import define
from crmcore_email_link.throttle import Limits, Throttle
from crmcore_email_link.transports.conversation import Conversation, Relay
from crmcore_email_link.transports.smtp import Smtp
from crmcore_email_link.transports.transaction import Job

from crmcore import Content, Crm, Draft, Identifier, VirtualClock
from crmcore.domain.consent import Purpose
from plugins.email_link.tests.shops import START, plugin
from tests.support.kill_points import Points, watch

STAGES = ("half", "dot", "waiting", "answer")
HOUR = 3_600_000_000
KEY = "news"
EVERY_TENTH = 10  # has said no to what the others agreed to
AT_ONCE = 10
_DOT = b"\r\n.\r\n"
_QUICK = Limits(pause=0.01, longest_pause=0.02)

HTML = "<html><body><p>Green tea is here, and so is <b>black</b> tea.</p></body></html>"
CONTENT = Content(subject="Tea", text="Green tea is here, and so is black tea.\n", html=HTML)


def open_crm(url: str, port: int, now: int, **settings: Any) -> Crm:
    """Return the shop, whose mails go to a server on this machine."""
    relay = Relay(host="127.0.0.1", port=port, tls="never")
    throttle = Throttle[Job](limits=_QUICK)
    carrier = Smtp(relay=relay, throttle=throttle, hello="shop.example")
    return Crm(
        url,
        plugins=[plugin(carrier=carrier, at_once=AT_ONCE, **settings)],
        clock=VirtualClock(now),
        secret="the same in all runs",
        durable=False,
    )


def prepare(url: str, people: int, purpose: str) -> None:
    """Register everybody, of whom nine of ten agree; and plan the broadcast."""
    with open_crm(url, 1, START) as crm:
        names = [Identifier("email", f"p{number}@example.com") for number in range(people)]
        crm.record_many([Draft("account.registered", identifiers=(name,)) for name in names])
        agreed = {"purpose": purpose, "channel": "email"}
        crm.record_many(
            [
                Draft("consent.given", identifiers=(name,), payload=agreed)
                for number, name in enumerate(names)
                if number % EVERY_TENTH and purpose != "service"
            ]
        )
        given = cast(Purpose, purpose)
        crm.broadcast(KEY, "everyone", purpose=given, channel="email", content=CONTENT)


def send_all(crm: Crm) -> None:
    """Work until nothing of the broadcast is to come any more, whenever it would be due."""
    worker = crm.worker()
    worker.once()
    while crm.find_broadcast(KEY).pending:
        due = crm.next_due()
        assert due is not None
        crm.runtime.clock.advance_to(due)  # type: ignore[attr-defined]
        worker.once()


@define
class Death(Points):
    """When this process is to die; the points are those behind the mail's dot."""

    stage: str = "never"
    mail: int = 0
    later: int = 0
    note: Path = Path()
    dots: int = 0
    answers: int = 0

    def now(self) -> None:
        """Die, as if somebody had pulled the plug."""
        with self.note.open("a") as file:
            file.write(f"{self.stage}\n")
        os.kill(os.getpid(), signal.SIGKILL)

    def pass_one(self) -> None:
        """Pass a statement, a commit, or something said or heard."""
        if self.stage != "anywhere" or self.dots < self.mail:
            return
        self.count += 1
        if self.count > self.later:
            self.now()


def listen(death: Death) -> None:
    """Let everything that is said to the server, and heard of it, be a point."""
    say, hear = Conversation.write, Conversation.data_received

    def write(self: Conversation, data: bytes) -> None:
        is_mail = _DOT in data
        if is_mail:
            death.dots += 1
            if death.dots == death.mail and death.stage == "half":
                say(self, data[: data.index(_DOT) // 2])
                death.now()
        say(self, data)
        if is_mail and death.dots == death.mail:
            if death.stage == "dot":
                death.now()
            if death.stage == "waiting":
                asyncio.get_running_loop().call_later(death.later / 1000, death.now)
        death.pass_one()

    def data_received(self: Conversation, data: bytes) -> None:
        death.answers += data.count(b"queued as")
        if death.answers >= death.mail and death.stage == "answer":
            death.now()
        hear(self, data)
        death.pass_one()

    Conversation.write = write  # type: ignore[method-assign]
    Conversation.data_received = data_received  # type: ignore[method-assign]


def main() -> None:
    url, port, now, note, stage, mail, later = sys.argv[1:]
    death = Death(0, stage=stage, mail=int(mail), later=int(later), note=Path(note))
    listen(death)
    with open_crm(url, int(port), int(now)) as crm:
        watch(crm, death)
        if stage == "together":
            sys.stdout.write("ready\n")
            sys.stdout.flush()
            sys.stdin.readline()
        send_all(crm)
        sys.stdout.write(f"{death.dots}\n")


if __name__ == "__main__":
    main()
