"""A process to be killed: does one job on a database, and kills itself at a given point.

A point is a statement handed to the driver, or a commit about to be made. Run as
`python -m tests.support.kill_target JOB URL SEED POINT NOTES`; with point 0 it goes on to the
end and says how many points there were.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any, ClassVar

from attrs import define, field
from crmcore_tiering import Tiering
from typing_extensions import override

from crmcore import (
    Context,
    Crm,
    Draft,
    Identifier,
    InteractionsRecorded,
    Kind,
    Line,
    Money,
    Plugin,
    TimersDue,
    VirtualClock,
    hookimpl,
)
from crmcore.domain.clock import DAY
from crmcore.errors import CrmError
from tests.support.histories import START, instant
from tests.support.kill_points import Points, watch
from tests.support.plugins import Books

JOBS = ("import", "merge", "unmerge", "worker", "erase")
PEOPLE = 40
DRAFTS = 300
BATCH = 20
SECRET = "the same in all runs, so that hashes compare equal"
NOW = instant(START) + 200 * DAY
LATER = NOW + 100 * DAY
HOUR = DAY // 24


@define(eq=False)
class Follow(Plugin):
    """Follows every order up ten days later, and notes in a file what was committed."""

    name: ClassVar[str] = "follow"
    notes: Path | None = None

    @hookimpl
    @override
    def register_kinds(self) -> Iterable[Kind]:
        return [Kind("follow.called")]

    @hookimpl
    @override
    def on_interactions_recorded(self, ctx: Context, event: InteractionsRecorded) -> None:
        for each in event:
            if each.kind == "order.placed":
                due = max(each.occurred_instant, ctx.clock.now()) + 10 * DAY
                ctx.set_timer(f"call:{each.source_key}", due, each.customer_id)

    @hookimpl
    @override
    def on_timers_due(self, ctx: Context, event: TimersDue) -> None:
        for timer in event:
            if timer.customer_id is not None:
                ctx.record(
                    Draft(
                        "follow.called",
                        customer=timer.customer_id,
                        occurred_at=timer.due_at,
                        source_key=timer.key,
                    )
                )

    @hookimpl
    @override
    def after_interactions_recorded(self, ctx: Context, event: InteractionsRecorded) -> None:
        if self.notes is not None:
            with self.notes.open("a") as file:
                file.writelines(f"{each.source}/{each.source_key}\n" for each in event)


@define(eq=False)
class Failing:
    """Says of every third batch that the books are to fail with it."""

    batches: int = field(default=0)

    def __call__(self, hook: str) -> bool:
        self.batches += hook == "on_interactions_recorded"
        return hook == "on_interactions_recorded" and self.batches % 3 == 0


def drafts(seed: int) -> list[Draft]:
    """Return a history: people who order, cancel and come by, some under several names."""
    random = Random(seed)
    found = []
    for number in range(DRAFTS):
        person = random.randrange(PEOPLE)
        names = [Identifier("email", f"p{person}@example.com")]
        if random.random() < 0.3:
            names.append(Identifier("account", f"{person}"))
        at = START + timedelta(days=random.uniform(0, 150))
        kind = random.choice(("order.placed",) * 4 + ("order.refunded", "order.shipped"))
        money = Money(random.randrange(100, 9000), "EUR")
        priced = kind != "order.shipped"
        found.append(
            Draft(
                kind,
                identifiers=tuple(names),
                occurred_at=at,
                amount=money if priced else None,
                lines=(Line(product="p", quantity=1, amount_minor=money.amount_minor),)
                if priced
                else (),
                source_key=f"d{number}",
                subject=f"order:{person}/{random.randrange(5)}",
            )
        )
    return found


def pairs(seed: int) -> list[tuple[str, str]]:
    """Return who is to be merged into whom, by email: chains, too."""
    random = Random(seed + 1)
    return [
        (f"p{survivor}@example.com", f"p{merged}@example.com")
        for survivor, merged in (random.sample(range(PEOPLE), 2) for _ in range(24))
    ]


def open_crm(url: str, *, now: int = NOW, notes: Path | None = None, fails: Any = None) -> Crm:
    books = Books(reviews=False) if fails is None else Books(reviews=False, fails=fails)
    return Crm(
        url,
        plugins=[Tiering(), books, Follow(notes)],
        clock=VirtualClock(now),
        secret=SECRET,
    )


def record(crm: Crm, seed: int) -> None:
    """Record the whole history; what came before is recorded once."""
    every = drafts(seed)
    for low in range(0, len(every), BATCH):
        crm.record_many(every[low : low + BATCH])


def merge(crm: Crm, seed: int) -> None:
    """Merge all pairs that are not merged yet; in a run that goes on, too."""
    done = merges_done(crm)
    for number, (survivor, merged) in enumerate(pairs(seed)):
        if f"{number}" not in done:
            into, other = (
                crm.find_customer(Identifier("email", name)) for name in (survivor, merged)
            )
            if into is not None and other is not None and into != other:
                crm.merge(into, other, reason=f"{number}")


def unmerge(crm: Crm, seed: int) -> None:
    """Undo all merges, the last one first."""
    while open_merges := [m for m in all_merges(crm) if m[2] is None]:
        crm.unmerge(open_merges[-1][0])


def work(crm: Crm, seed: int) -> None:
    """Do what is due, pay debts and tell who wants to know, until nothing is left."""
    crm.worker().once()


def plant(crm: Crm) -> None:
    """Give every customer something personal, and merge some."""
    for who in customers(crm):
        crm.record(
            "service.opened",
            customer=who,
            payload={"case": "1", "text": f"Canary {who} text"},
            source_key=f"case {who}",
        )
        crm.add_task(who, f"Canary {who} title", note=f"Canary {who} note", key="call")
    first, second, third, *_ = forgotten(crm, 0)
    crm.merge(first, third)
    crm.merge(first, second)


def customers(crm: Crm) -> list[int]:
    with crm.begin() as tx:
        rows = tx.connection.sqlalchemy.exec_driver_sql(
            "SELECT customer_id FROM crm_customer ORDER BY customer_id"
        )
        return [row[0] for row in rows]


def forgotten(crm: Crm, seed: int) -> list[int]:
    """Return who is to be erased: some, the same in every run."""
    return Random(4).sample(customers(crm), 7)


def erase(crm: Crm, seed: int) -> None:
    """Erase some customers; in a run that goes on, those again who were."""
    for who in forgotten(crm, seed):
        crm.erase(who, reason="their wish")


def all_merges(crm: Crm) -> list[tuple[int, str, int | None]]:
    with crm.begin() as tx:
        rows = tx.connection.sqlalchemy.exec_driver_sql(
            "SELECT merge_id, reason, undone_at FROM crm_merge ORDER BY merge_id"
        )
        return [(row[0], row[1], row[2]) for row in rows]


def merges_done(crm: Crm) -> set[str]:
    return {reason for _, reason, _ in all_merges(crm)}


WORK: dict[str, Callable[[Crm, int], None]] = {
    "import": record,
    "merge": merge,
    "unmerge": unmerge,
    "worker": work,
    "erase": erase,
}


def main() -> None:
    job, url, seed, point, notes = sys.argv[1:]
    now = LATER if job == "worker" else NOW
    if job == "worker" and point == "0":
        now += HOUR  # whoever was killed had taken something for a minute
    with open_crm(url, now=now, notes=Path(notes)) as crm:
        points = Points(int(point))
        watch(crm, points)
        try:
            WORK[job](crm, int(seed))
        except CrmError as error:
            sys.exit(f"{type(error).__name__}: {error}")
        sys.stdout.write(f"{points.count}\n")


if __name__ == "__main__":
    main()
