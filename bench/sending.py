"""Sending: what was planned claimed, handed over and settled, beside the bare driver's rows."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.bare import opened
from bench.count import count
from bench.history import START
from bench.sample import compare, timed
from bench.sizes import Sizes
from bench.table import Line
from crmcore import Crm, Draft, Identifier, VirtualClock, to_instant
from crmcore.channels.recording import Recording
from crmcore.domain.message import Content

NOW = to_instant(START)
_AT_ONCE = 100
_BATCH = 5_000
_STATES = (
    "UPDATE crm_message SET state = 'claimed', lease = 'token', leased_until = ? "
    "WHERE message_id = ?",
    "UPDATE crm_message SET state = 'handed', attempt = 1, handed_at = ? WHERE message_id = ?",
    "UPDATE crm_message SET state = 'accepted', lease = NULL, settled_at = ? WHERE message_id = ?",
)


def _plan(crm: Crm, number: int) -> None:
    crm.broadcast(
        f"news-{number}",
        "everyone",
        purpose="service",
        channel="email",
        content=Content(text="News"),
    )


def measure(sizes: Sizes) -> Iterator[Line]:
    """Yield a line for a broadcast through a channel that takes everything."""
    customers = sizes.recipients // 10
    with TemporaryDirectory() as folder:
        path, beside = Path(folder, "shop.db"), Path(folder, "bare.db")
        clock = VirtualClock(NOW)
        with Crm(f"sqlite:///{path}", plugins=[Recording()], clock=clock, durable=False) as crm:
            names = [Identifier("email", f"c{number}@example.com") for number in range(customers)]
            for low in range(0, customers, _BATCH):
                some = names[low : low + _BATCH]
                crm.record_many([Draft("account.registered", identifiers=(each,)) for each in some])
            _plan(crm, 0)
            shutil.copy(path, beside)
            done = count(crm, crm.deliver)
            with opened(path) as sent, opened(beside) as bare:
                yield _line(sizes, _Written.of(sent), bare, crm, done.statements / customers)


class _Written:
    """What sending wrote, ready for the bare driver to write again."""

    def __init__(self, attempts: Sequence[Any], facts: Sequence[Any]) -> None:
        self.attempts, self.facts = attempts, facts

    @classmethod
    def of(cls, sent: Any) -> _Written:
        attempts = sent.execute("SELECT * FROM crm_attempt ORDER BY message_id").fetchall()
        facts = sent.execute("SELECT * FROM crm_interaction WHERE kind = 'message.sent'")
        return cls(attempts, facts.fetchall())

    def write(self, bare: Any, number: int) -> None:
        """Write it in transactions as many and as large, each row in all the states it has."""
        into = {
            name: f"INSERT INTO {name} VALUES ({', '.join('?' * len(rows[0]))})"
            for name, rows in (("crm_attempt", self.attempts), ("crm_interaction", self.facts))
        }
        for low in range(0, len(self.attempts), _AT_ONCE):
            attempts = self.attempts[low : low + _AT_ONCE]
            ids = [(NOW, row[0]) for row in attempts]
            tried = [(row[0], number + 2, *row[2:]) for row in attempts]
            facts = [
                (row[0] + (number + 1) * 10**9, *row[1:])
                for row in self.facts[low : low + _AT_ONCE]
            ]
            for state, name, rows in (
                (0, None, ()),
                (1, "crm_attempt", tried),
                (2, "crm_interaction", facts),
            ):
                bare.execute("BEGIN IMMEDIATE")
                bare.executemany(_STATES[state], ids)
                if name is not None:
                    bare.executemany(into[name], rows)
                bare.execute("COMMIT")


def _line(sizes: Sizes, written: _Written, bare: Any, crm: Crm, statements: float) -> Line:
    def deliver(number: int) -> float:
        _plan(crm, number + 1)
        return timed(crm.deliver)

    return Line(
        title="broadcast, claimed, handed over and settled",
        beside="its rows alone",
        items=len(written.attempts),
        comparison=compare(
            sizes.rounds, lambda number: timed(lambda: written.write(bare, number)), deliver
        ),
        rows=(5, 5),
        statements=(5, statements),
    )
