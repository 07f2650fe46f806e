"""
A mail server in a process of its own: `python -m plugins.email_link.tests.mail_server`.

It is aiosmtpd's, with faults at set rates. What it takes stands in a file, on the disk, before
anybody is told. The words are FILE, SEED and, perhaps, `calm`; it says its port in a line, and
serves until its standard input ends.
"""
# ruff: noqa: N802 - the names are those of the library

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

from attrs import frozen

from plugins.email_link.tests.receivers import TAKE_AND_HANG_UP, Receiver, Session

ROOT = Path(__file__).parents[3]
NOBODY = 50  # one of as many addresses is nobody's
UNWANTED = 97  # and what goes to one of as many is against a policy
RATES = (
    # Of a hundred mails, how many meet which fault, and at which step.
    ("RCPT", 2, "450 4.2.1 Try again"),
    ("RCPT", 1, "451 4.3.0 Not now"),
    ("content", 2, "451 4.3.0 Try again"),
    ("within", 1, "hang up before the dot"),
    ("content", 1, TAKE_AND_HANG_UP),
)
SLOW = 0.03  # of a hundred, three are answered slowly
SLOWEST = 0.1  # seconds
_NAME = re.compile(rb"^Message-ID: <([^>]+)>", re.MULTILINE)
_NUMBER = re.compile(r"\d+")


@frozen
class Taken:
    """A mail that was accepted: its name, its recipient, when, and whether that was ever said."""

    name: str
    recipient: str
    at: float
    is_told: bool


def taken(file: Path) -> list[Taken]:
    """Return the mails that stand in a file, in the order in which they were accepted."""
    return [
        Taken(name, to, float(at), how == "told")
        for name, to, at, how in _lines(file)
        if how != "cut"
    ]


def cut_off(file: Path) -> int:
    """Return within how many mails the server hung up, before the dot or behind it."""
    return sum(how != "told" for *_, how in _lines(file))


def _lines(file: Path) -> list[list[str]]:
    return [line.split() for line in file.read_text().splitlines()] if file.exists() else []


def standing_of(address: str) -> str | None:
    """Return what is always answered to an address; None: it depends."""
    found = _NUMBER.search(address)
    number = int(found[0]) if found else 0
    if number % NOBODY == NOBODY - 1:
        return "550 5.1.1 Nobody here by that name"
    if number % UNWANTED == UNWANTED - 1:
        return "554 5.7.1 Not from you"
    return None


class Faulty(Receiver):
    """Writes down what it takes; and fails at random where it is not calm."""

    def __init__(self, file: Path, seed: int, *, calm: bool) -> None:
        super().__init__(self._failing)
        self.random = Random(seed)
        self.calm = calm
        self.descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def _failing(self, step: str, recipient: str | None) -> str | None:
        if step == "RCPT" and recipient is not None and (always := standing_of(recipient)):
            return always
        if self.calm:
            return None
        found = self.random.random() * 100
        for where, rate, fault in RATES:
            if where == step:
                found -= rate
                if found < 0:
                    return fault
        return None

    def _session(self) -> Session:
        return Dropping(self)

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        said = self.fault("content", envelope.rcpt_tos[0])
        is_slow = not self.calm and self.random.random() < SLOW
        if is_slow:
            await asyncio.sleep(self.random.random() * SLOWEST)
        if said in (None, TAKE_AND_HANG_UP):
            name = _NAME.search(envelope.original_content)
            how = "told" if said is None else "untold"
            self.note(name[1].decode() if name else "-", envelope.rcpt_tos[0], how)
        if said == TAKE_AND_HANG_UP:
            server.transport.abort()
        if is_slow:
            await asyncio.sleep(self.random.random() * SLOWEST)
        return said or "250 2.0.0 Ok: queued as 4F2"

    def note(self, name: str, recipient: str, how: str) -> None:
        """Write down what became of a mail, so that it outlives all processes."""
        os.write(self.descriptor, f"{name} {recipient} {time.time()} {how}\n".encode())
        os.fsync(self.descriptor)


class Dropping(Session):
    """One connection, which may end in the middle of a mail."""

    async def smtp_DATA(self, arg: str | None) -> None:
        if self.receiver.fault("within", self.recipient) is None:
            await super().smtp_DATA(arg)
            return
        await self.push("354 End data with <CR><LF>.<CR><LF>")
        await self._reader.readline()
        self.receiver.note("-", self.recipient, "cut")
        self.transport.abort()
        await asyncio.sleep(3600)  # nor is what is left of the mail read as commands


@contextmanager
def serving(file: Path, seed: int, *words: str) -> Iterator[int]:
    """Serve in another process, and give its port."""
    command = [sys.executable, "-m", "plugins.email_link.tests.mail_server", str(file), str(seed)]
    with subprocess.Popen(
        [*command, *words], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.stdin.close()
            process.wait(20)


def main() -> None:
    file, seed, *words = sys.argv[1:]
    with Faulty(Path(file), int(seed), calm="calm" in words) as server:
        sys.stdout.write(f"{server.port}\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main()
