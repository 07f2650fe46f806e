"""Gate: a message planned for everybody, beside the bare driver that writes its rows."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from datetime import timedelta
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
from crmcore.domain.gate import Cap, GateSettings, Holdout
from crmcore.domain.message import Content
from crmcore.domain.quiet import QuietHours

SETTINGS = GateSettings(
    caps=[Cap(most=3, days=7), Cap(most=1, per="day")],
    quiet=[QuietHours(since="21:00", until="08:00")],
    holdouts=[Holdout(name="control", share=0.05)],
)
ZONES = ("Europe/Paris", "America/New_York", "Asia/Tokyo", "Australia/Sydney")
_AT_ONCE = 5_000
_ROWS = "SELECT * FROM crm_message WHERE message_key = 'news-0' ORDER BY message_id"


def _drafts(number: int) -> Iterator[Draft]:
    """Yield what a customer said: nine of ten agreed, one of twenty of these took it back."""
    name = (Identifier("email", f"c{number}@example.com"),)
    about = {"purpose": "promotion", "channel": "email"}
    yield Draft("account.registered", identifiers=name)
    if number % 10:
        yield Draft("consent.given", identifiers=name, occurred_at=START, payload=about)
    if number % 20 == 1:
        later = START + timedelta(days=1)
        yield Draft("consent.withdrawn", identifiers=name, occurred_at=later, payload=about)
    if number % 3 == 0:
        zone = {"zone": ZONES[number % len(ZONES)]}
        yield Draft("customer.zone_changed", identifiers=name, payload=zone)


def _filled(crm: Crm, customers: int) -> None:
    drafts = [draft for number in range(customers) for draft in _drafts(number)]
    for low in range(0, len(drafts), _AT_ONCE):
        crm.record_many(drafts[low : low + _AT_ONCE])


def measure(sizes: Sizes) -> Iterator[Line]:
    """Yield a line for a broadcast: its audience frozen, judged by every gate, and written."""
    noon = to_instant(START + timedelta(days=400, hours=12))
    with TemporaryDirectory() as folder:
        path, beside = Path(folder, "shop.db"), Path(folder, "bare.db")
        with Crm(
            f"sqlite:///{path}",
            plugins=[Recording(channel="email")],
            clock=VirtualClock(noon),
            gate=SETTINGS,
            durable=False,
        ) as crm:
            _filled(crm, sizes.recipients)
            shutil.copy(path, beside)

            def plan(number: int) -> None:
                crm.broadcast(
                    f"news-{number}",
                    "everyone",
                    purpose="promotion",
                    channel="email",
                    content=Content(text="News"),
                )

            done = count(crm, lambda: plan(0))
            with opened(path) as written:
                rows = written.execute(_ROWS).fetchall()
            with opened(beside) as bare:
                yield _line(sizes, rows, bare, done.statements, plan)


def _line(sizes: Sizes, rows: Sequence[Any], bare: Any, statements: float, plan: Any) -> Line:
    marks = ", ".join("?" * len(rows[0]))

    def write(number: int) -> None:
        fresh = [
            (row[0] + (number + 1) * len(rows), *row[1:4], f"b-{number}", *row[5:]) for row in rows
        ]
        bare.execute("BEGIN IMMEDIATE")
        bare.executemany(f"INSERT INTO crm_message VALUES ({marks})", fresh)
        bare.execute("COMMIT")

    return Line(
        title="broadcast, judged and planned",
        beside="its rows alone",
        items=sizes.recipients,
        comparison=compare(
            sizes.rounds,
            lambda number: timed(lambda: write(number)),
            lambda number: timed(lambda: plan(number + 1)),
        ),
        rows=(1, 1),
        statements=(1, statements),
    )
