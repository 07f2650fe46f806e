"""View: all that is known of one customer, looked at."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from crmcore_tiering import Tiering

from bench.application import assembled
from bench.bare import opened
from bench.count import count
from bench.history import History, load
from bench.sample import compare, timed
from bench.sizes import Sizes
from bench.table import Line
from crmcore import Crm, Plugin
from crmcore.services.customers import CustomerView

GOAL = 5.0
LATEST = 50

# What a shop would write by hand for the same page.
CORE = (
    "SELECT customer_id, recorded_at FROM crm_customer WHERE customer_id = :customer",
    "SELECT scheme, identifier_value FROM crm_identifier WHERE customer_id = :customer"
    " ORDER BY recorded_at, scheme, identifier_value",
    "SELECT count(*), min(occurred_at), max(occurred_at), total(amount_base_minor),"
    " sum(amount_minor IS NOT NULL AND amount_base_minor IS NULL)"
    " FROM crm_interaction WHERE customer_id = :customer",
    "SELECT * FROM crm_interaction WHERE customer_id = :customer"
    f" ORDER BY occurred_at DESC, interaction_id DESC LIMIT {LATEST}",
    "SELECT lifecycle, subject, stage, entered_at, reason, caused_by FROM crm_stage"
    " WHERE customer_id = :customer ORDER BY lifecycle, subject",
)
TIERING = (
    "SELECT tier, since, scheme, position FROM crm_tiering_tier WHERE customer_id = :customer",
    "SELECT net_minor, orders FROM crm_tiering_total WHERE customer_id = :customer",
    "SELECT since, scheme, a_from_minor, b_from_minor FROM crm_tiering_tier_change"
    " ORDER BY since DESC, customer_id DESC LIMIT 1",
)


def fetch(connection: sqlite3.Connection, queries: Sequence[str], customer: int) -> list[Any]:
    """Return the rows of each query, all from one state of the database."""
    execute = connection.execute
    execute("BEGIN")
    rows = [execute(query, {"customer": customer}).fetchall() for query in queries]
    execute("COMMIT")
    return rows


def decoded(view: CustomerView) -> CustomerView:
    for interaction in view.latest:
        assert interaction.payload is not None
    return view


def _check(found: list[Any], view: CustomerView) -> None:
    """Make sure that both sides saw the same."""
    totals, latest = found[2][0], found[3]
    seen = (view.interactions, view.revenue.amount_minor, [i.id for i in view.latest])
    if seen != (totals[0], totals[3], [row[0] for row in latest]):
        raise RuntimeError(f"the view of customer {view.customer.id} is not what the tables hold")


def measure(sizes: Sizes) -> Iterator[Line]:
    """Yield a line without any plugin, one with tiering, and one with all payloads decoded."""
    customers, interactions = sizes.view
    history = History(customers=customers, interactions=interactions)
    cases: tuple[
        tuple[str, tuple[type[Plugin], ...], Callable[[CustomerView], CustomerView], float | None],
        ...,
    ] = (
        ("view, no plugin", (), lambda view: view, None),
        ("view, tiering", (Tiering,), lambda view: view, GOAL),
        ("view, tiering, payloads decoded", (Tiering,), decoded, None),
    )
    with TemporaryDirectory() as folder:
        for title, plugins, use, goal in cases:
            path, clock = Path(folder, f"{len(plugins)}.db"), history.clock()
            fresh = not path.exists()
            with assembled(path, plugins, clock) as crm:
                if fresh:
                    load(crm, clock, history)
                queries = CORE + (TIERING if plugins else ())
                with opened(path) as connection:
                    yield _line(sizes, title, crm, connection, queries, use, goal)


def _line(
    sizes: Sizes,
    title: str,
    crm: Crm,
    connection: sqlite3.Connection,
    queries: Sequence[str],
    use: Callable[[CustomerView], CustomerView],
    goal: float | None,
) -> Line:
    often = connection.execute(
        "SELECT customer_id FROM crm_interaction GROUP BY customer_id HAVING count(*) >= ?",
        (LATEST,),
    ).fetchall()
    known = [customer for (customer,) in often]
    # Spread over all of them, so that no page is in any cache more than another.
    wanted = [known[number * 7919 % len(known)] for number in range(sizes.views)]
    for customer in wanted[:5]:
        _check(fetch(connection, queries, customer), crm.customer(customer, most=LATEST))
    asked = count(crm, lambda: crm.customer(wanted[0], most=LATEST))
    return Line(
        title=title,
        beside="the queries by hand",
        items=sizes.views,
        comparison=compare(
            sizes.rounds,
            lambda _: timed(lambda: [fetch(connection, queries, each) for each in wanted]),
            lambda _: timed(lambda: [use(crm.customer(each, most=LATEST)) for each in wanted]),
        ),
        goal=goal,
        statements=(len(queries) + 2, asked.statements),
    )
