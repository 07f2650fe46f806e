"""
A process to be killed while it sends: run as `python -m tests.support.sending_target`.

Its channel is the provider, too: what it took it appends to a file, which outlives the process.
The words are WAY (plain or idempotent), URL, PEOPLE, POINT and FILE; a point is a statement handed
to the driver, a commit about to be made, or a message that the provider took, or is about to.
With point 0 it goes on to the end, some while later, and says how many points there were.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import ClassVar

from attrs import define, field
from typing_extensions import override

from crmcore import (
    Accepted,
    Channel,
    Content,
    Context,
    Crm,
    Draft,
    Identifier,
    MessagesClaimed,
    Outcome,
    Plugin,
    VirtualClock,
    hookimpl,
)
from crmcore.domain.clock import DAY
from tests.support.histories import START, instant
from tests.support.kill_points import Points, watch

WAYS = ("plain", "idempotent")
NOW = instant(START)
LATER = NOW + DAY  # whoever was killed had leased something for a minute
KEY = "news"
EVERY_TENTH = 10  # has opted out of what is a service to the others
INSIDE = "inside"


@define(eq=False)
class Provider(Plugin):
    """
    Takes messages, each by one line at the end of a file, and waits until it is on the disk.

    One that is idempotent knows what it took by its key, and takes it once.
    """

    name: ClassVar[str] = "provider"

    file: Path
    idempotent: bool
    points: Inside | None = None
    _had: set[str] = field(factory=set, init=False)

    @hookimpl
    @override
    def register_channels(self) -> Iterable[Channel]:
        return [Channel("email", scheme="email", idempotent=self.idempotent, at_once=25)]

    @hookimpl
    @override
    def deliver_messages(self, ctx: Context, event: MessagesClaimed) -> Sequence[Outcome]:
        if self.idempotent:
            self._had = {line.split()[0] for line in taken(self.file)}
        for number, each in enumerate(event.deliveries):
            # Before one is taken, and after another: there are statements to be killed at, too.
            if number % 2:
                self._pass()
            if each.idempotency_key not in self._had:
                self._take(f"{each.idempotency_key} {each.address}\n")
            if not number % 2:
                self._pass()
        return [Accepted(each.idempotency_key) for each in event.deliveries]

    def _take(self, line: str) -> None:
        descriptor = os.open(self.file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            os.write(descriptor, line.encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _pass(self) -> None:
        if self.points is not None:
            self.points.pass_inside()


def taken(file: Path) -> list[str]:
    """Return what the provider took, by line."""
    return file.read_text().splitlines() if file.exists() else []


@define
class Inside(Points):
    """Points that tell, before they kill, whether the provider had a call in its hands."""

    note: Path = Path()

    def pass_inside(self) -> None:
        """Pass a point in the middle of deliver_messages."""
        if self.count + 1 == self.wanted:
            self.note.write_text(INSIDE)
        self.pass_one()


def open_crm(url: str, way: str, file: Path, *, now: int = NOW) -> Crm:
    provider = Provider(file, way == "idempotent")
    return Crm(
        url,
        plugins=[provider],
        clock=VirtualClock(now),
        secret="the same in all runs",
        durable=False,
    )


def prepare(url: str, way: str, people: int, file: Path) -> None:
    """Register everybody; every tenth says no, so that something is withheld."""
    with open_crm(url, way, file) as crm:
        names = [Identifier("email", f"p{number}@example.com") for number in range(people)]
        crm.record_many([Draft("account.registered", identifiers=(name,)) for name in names])
        agreed = {"purpose": "news", "channel": "email"}
        crm.record_many(
            [
                Draft("consent.given", identifiers=(name,), payload=agreed)
                for number, name in enumerate(names)
                if number % EVERY_TENTH
            ]
        )


def send(crm: Crm) -> None:
    """Plan the broadcast, and deliver it."""
    crm.broadcast(KEY, "everyone", purpose="news", channel="email", content=Content(text="Hello"))
    crm.deliver()


def end(url: str, way: str, file: Path) -> None:
    """Go on, a day later, where somebody was killed."""
    with open_crm(url, way, file, now=LATER) as crm:
        _send_all(crm)


def _send_all(crm: Crm) -> None:
    send(crm)
    while (due := crm.next_due()) is not None:
        crm.runtime.clock.advance_to(due)  # type: ignore[attr-defined]
        crm.deliver()


def main() -> None:
    way, url, _, point, file = sys.argv[1:]
    resumes = point == "0"
    crm = open_crm(url, way, Path(file), now=LATER if resumes else NOW)
    with crm:
        points = Inside(int(point), note=Path(f"{file}.inside"))
        crm.plugin(Provider).points = points
        watch(crm, points)
        _send_all(crm)
        sys.stdout.write(f"{points.count}\n")


if __name__ == "__main__":
    main()
