"""Groups: what it costs to keep many of them, beside the core's statement that they rest on."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from crmcore_grouping import Grouping
from crmcore_grouping.groups import ALL
from crmcore_grouping.looks import LOOK
from crmcore_grouping.tables import look, member
from sqlalchemy import insert

from bench.sample import Comparison, compare, timed
from bench.segments import MANY, NOW, fill, service_of, texts
from bench.sizes import Sizes
from bench.table import Line
from crmcore import Crm, VirtualClock
from crmcore.domain.clock import DAY

_STEP = DAY // 96


def measure(sizes: Sizes) -> Iterator[Line]:
    """Yield lines for one order, and for everybody, among many groups on SQLite."""
    clock, largest = VirtualClock(NOW), sizes.ledgers[-1]
    with TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder, 'groups.db')}"
        with Crm(url, plugins=[Grouping()], clock=clock, durable=False, segments=texts()) as crm:
            fill(crm, *largest)
            _keep(crm, largest[0])
            yield _after_an_order(sizes, crm, clock)
            yield _everybody(sizes, crm, clock)


def _keep(crm: Crm, customers: int) -> None:
    """Keep who is in which group now, so that a look finds what is new, and not millions."""
    with crm.runtime.database.begin() as connection:
        found = service_of(crm).memberships(connection, NOW)
        for name, those in found.items():
            rows = [(customer, name, NOW, None) for customer in sorted(those)]
            connection.insert_rows(insert(member), rows)
        everyone = range(1, customers + 1)
        connection.insert_rows(insert(look), [(each, NOW, None) for each in everyone])


def _after_an_order(sizes: Sizes, crm: Crm, clock: VirtualClock) -> Line:
    """Measure what a single order costs: recording it, and the look that is due then."""
    count, customers = sizes.reevaluated, sizes.ledgers[-1][0]
    chance, service = random.Random(2), service_of(crm)

    def order() -> float:
        """Return the CPU seconds of orders of so many customers, without the groups' share."""
        took = 0.0
        for _ in range(count):
            who = 1 + int(customers * chance.random() ** 2)  # as whose orders the ledger has
            took += timed(lambda who=who: crm.record("order.placed", customer=who, amount="20"))  # type: ignore[misc]
            clock.advance_to(clock.now() + _STEP)
            took += timed(crm.run_due)
            # What time brings about for them later is no part of what an order costs.
            with crm.begin() as tx, tx.acting(Grouping) as (_, ctx):
                ctx.cancel_timer(LOOK, who)
        return took

    def statement() -> None:
        with crm.runtime.database.begin(read_only=True) as connection:
            for _ in range(count):
                who = 1 + int(customers * chance.random() ** 2)
                service.reevaluated(connection, ["order.placed"], [who], clock.now())

    for _ in range(3):  # statements are compiled once, each where it is first needed
        order()
    statement()
    return Line(
        title=f"{MANY} groups, one order and the look after it",
        beside="the core's statement alone",
        items=count,
        comparison=compare(sizes.rounds, lambda _: timed(statement), lambda _: order()),
    )


def _everybody(sizes: Sizes, crm: Crm, clock: VirtualClock) -> Line:
    """Measure a look at everybody, as after a rule has changed."""
    service = service_of(crm)

    def statement() -> None:
        with crm.runtime.database.begin(read_only=True) as connection:
            service.memberships(connection, clock.now())

    def everybody() -> float:
        due = clock.now() + _STEP
        with crm.begin() as tx, tx.acting(Grouping) as (_, ctx):
            ctx.set_timers(ALL, dict.fromkeys(ctx.segments.customers(), due))
        clock.advance_to(due)
        return timed(crm.run_due)

    comparison: Comparison = compare(1, lambda _: timed(statement), lambda _: everybody())
    return Line(
        title=f"{MANY} groups, a look at {sizes.ledgers[-1][0]:,} customers",
        beside="the core's statement alone",
        items=1,
        comparison=comparison,
    )
