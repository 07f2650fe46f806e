"""Segments: rules compiled to statements, beside the statements that somebody writes by hand."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import Select, insert

from bench.bare import opened
from bench.hand import Database, beside_hand, millions
from bench.postgres import bare, schema
from bench.sample import compare, timed
from bench.sizes import Sizes
from bench.table import Line
from crmcore import Crm, VirtualClock
from crmcore.domain.clock import DAY
from crmcore.persistence.customers import customer
from crmcore.persistence.ledger import interaction, line
from crmcore.services.segments.segments import SegmentService

MANY = 200
NOW = 20_000 * DAY
LENGTH = 547 * DAY
_AT_ONCE = 20_000
_KINDS = (
    ("product.viewed", 40, None),
    ("order.placed", 30, None),
    ("message.opened", 13, "email"),
    ("cart.changed", 10, None),
    ("order.refunded", 3, None),
    ("service.opened", 2, "web"),
    ("order.cancelled", 2, None),
)
_SIGNS = {"order.placed": 1, "order.refunded": -1, "order.cancelled": -1}

_COUNTED = """
FROM (SELECT customer_id,
             sum(CASE kind WHEN 'order.cancelled' THEN -1 ELSE 1 END) AS orders
      FROM crm_interaction
      WHERE kind IN ('order.placed', 'order.cancelled')
        AND (origin = 'observed' OR substr(source, 1, 7) <> 'shadow:')
        AND occurred_at > {now} - {quarter} AND occurred_at <= {now}
      GROUP BY customer_id) counted
JOIN crm_customer USING (customer_id)
WHERE merged_into IS NULL AND erased_at IS NULL AND orders >= 3
"""
_RFM = """
FROM (SELECT customer_id,
             sum(CASE WHEN kind = 'order.refunded' OR occurred_at <= {now} - {year} THEN 0
                      WHEN kind = 'order.cancelled' THEN -1 ELSE 1 END) AS frequency,
             sum(CASE WHEN occurred_at > {now} - {year} THEN amount_base_minor END) AS monetary,
             max(CASE WHEN kind = 'order.placed' THEN occurred_at END) AS recent
      FROM crm_interaction
      WHERE kind IN ('order.placed', 'order.cancelled', 'order.refunded')
        AND (origin = 'observed' OR substr(source, 1, 7) <> 'shadow:')
        AND occurred_at <= {now}
      GROUP BY customer_id) scored
JOIN crm_customer USING (customer_id)
WHERE merged_into IS NULL AND erased_at IS NULL
  AND frequency >= 3 AND monetary >= 10000 AND recent > {now} - {quarter}
"""
_LAPSED = """
FROM crm_customer
LEFT JOIN (SELECT customer_id, max(occurred_at) AS recent
           FROM crm_interaction
           WHERE kind = 'order.placed' AND occurred_at <= {now}
             AND (origin = 'observed' OR substr(source, 1, 7) <> 'shadow:')
           GROUP BY customer_id) bought USING (customer_id)
WHERE merged_into IS NULL AND erased_at IS NULL
  AND NOT (recent IS NOT NULL AND recent > {now} - {quarter})
"""
_BOUGHT = """
FROM crm_customer
WHERE merged_into IS NULL AND erased_at IS NULL AND customer_id IN (
    SELECT customer_id FROM crm_interaction
    WHERE interaction_id IN (SELECT interaction_id FROM crm_line WHERE product = 'P0007')
      AND kind IN ('order.placed', 'order.cancelled')
      AND (origin = 'observed' OR substr(source, 1, 7) <> 'shadow:')
      AND occurred_at > {now} - {year} AND occurred_at <= {now}
    GROUP BY customer_id
    HAVING sum(CASE kind WHEN 'order.cancelled' THEN -1 ELSE 1 END) >= 1)
"""
_FOLLOWED = """
FROM crm_customer
WHERE merged_into IS NULL AND erased_at IS NULL AND customer_id IN (
    SELECT viewed.customer_id FROM crm_interaction AS viewed
    JOIN crm_interaction AS placed ON placed.customer_id = viewed.customer_id
     AND placed.occurred_at > viewed.occurred_at
     AND placed.occurred_at <= viewed.occurred_at + {week}
    WHERE viewed.kind = 'product.viewed' AND placed.kind = 'order.placed'
      AND (viewed.origin = 'observed' OR substr(viewed.source, 1, 7) <> 'shadow:')
      AND (placed.origin = 'observed' OR substr(placed.source, 1, 7) <> 'shadow:')
      AND viewed.occurred_at > {now} - {quarter}
      AND viewed.occurred_at <= {now} AND placed.occurred_at <= {now})
"""
CASES = (
    ("orders counted", "orders(days=90).count >= 3", _COUNTED),
    (
        "RFM",
        "orders(days=365).count >= 3 and orders(days=365).sum >= 100 EUR "
        "and orders.last after 90 days ago",
        _RFM,
    ),
    ("lapsed", "not orders.last after 90 days ago", _LAPSED),
    ("bought a product", 'orders(product="P0007", days=365)', _BOUGHT),
    ("viewed, then bought", "views(days=90) then orders within 7 days", _FOLLOWED),
)
_VALUES = {"now": NOW, "week": 7 * DAY, "quarter": 90 * DAY, "year": 365 * DAY}


def by_hand(text: str) -> str:
    """Return a statement as somebody writes it, with its numbers in it."""
    return f"SELECT customer_id {text.format(**_VALUES)}"


def texts() -> dict[str, str]:
    """Return many segments, as a shop that is keen on them would have."""
    days = (7, 14, 30, 60, 90, 120, 180, 365)
    products = tuple(f"P{number:04}" for number in range(0, 40, 5))
    made = []
    for number, window in enumerate(days):
        for least in (1, 2, 3, 5):
            made.append(f"orders(days={window}).count >= {least}")
            made.append(f"orders(days={window}).sum >= {40 * least} EUR and emails.opened(days=30)")
            made.append(f"views(days={window}).count >= {least} and not orders(days={window})")
            made.append(
                f"days_since(orders.last) > {window} and orders.count >= {least} "
                f"and not refunds(days={window})"
            )
        made.append(f'orders(product="{products[number]}", days={window})')
        made.append(f"carts(days={window}) then not orders within {number + 1} days")
        made.append(f"views(days={window}) then orders within {number + 1} days")
        made.append(f"orders.first after {window} days ago")
        made.append(f"orders(amount >= {10 * number} EUR).count >= 2")
        made.append(f"in s0 and not emails.opened(days={window})")
        made.append(f"calls(days={window}) or service.opened(days={window}).count >= 2")
        made.append(f"emails.opened(days={window}).count >= 3 and orders.sum < 50 EUR")
        made.append(f"refunds.sum < -{10 + number} EUR")
    made += [f"orders.count >= {number}" for number in range(MANY - len(made))]
    return {f"s{number}": text for number, text in enumerate(made)}


def _rows(customers: int, interactions: int) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Yield interactions as rows of the ledger, in time order, each with its line or None."""
    chance = random.Random(1)
    kinds = [each for each in _KINDS for _ in range(each[1])]
    pace = LENGTH // interactions
    for number in range(1, interactions + 1):
        kind, _, channel = kinds[int(chance.random() * len(kinds))]
        who = 1 + int(customers * chance.random() ** 2)
        at = NOW - LENGTH + number * pace
        sign = _SIGNS.get(kind)
        amount = None if sign is None else sign * (500 + int(5_000 * chance.random()))
        currency = None if amount is None else "EUR"
        source = (kind, 1, who, who, at, at, "observed", "shop", f"k{number}", channel)
        money = (amount, currency, amount)
        row = (number, *source, *(None,) * 4, *money, None, '{"order":"1"}', None)
        if kind == "order.placed":
            product = f"P{int(1_000 * chance.random() ** 2):04}"
            yield row, (number, 1, who, "1", None, product, None, "tea", 1, 1, amount, amount, None)
        else:
            yield row, None


def fill(crm: Crm, customers: int, interactions: int) -> None:
    """Write a ledger below the services: recording two million interactions takes minutes."""
    people = [(n, NOW, f"{n:032}", None, 0, n, None) for n in range(1, customers + 1)]
    with crm.runtime.database.begin() as connection:
        connection.insert_rows(insert(customer), people)
    made = _rows(customers, interactions)
    into, lines = insert(interaction), insert(line)
    while portion := list(islice(made, _AT_ONCE)):
        with crm.runtime.database.begin() as connection:
            connection.insert_rows(into, [row for row, _ in portion])
            connection.insert_rows(lines, [of for _, of in portion if of is not None])
    with crm.runtime.database.begin() as connection:
        if crm.runtime.database.dialect.name == "postgresql":
            for noun, last in (("customer", customers), ("interaction", interactions)):
                connection.sqlalchemy.exec_driver_sql(f"SELECT setval('crm_{noun}_id', {last})")
        connection.sqlalchemy.exec_driver_sql("ANALYZE")


def service_of(crm: Crm) -> SegmentService:
    return crm._parts.segments


def measure(sizes: Sizes) -> Iterator[Line]:
    """Yield lines for statements on both databases, and for many segments on SQLite."""
    clock = VirtualClock(NOW)
    for size in sizes.ledgers:
        with TemporaryDirectory() as folder:
            path = Path(folder, "segments.db")
            with Crm(f"sqlite:///{path}", clock=clock, durable=False, segments=texts()) as crm:
                fill(crm, *size)
                with opened(path) as held:
                    database = Database.sqlite(held)
                    yield from _statements(sizes, size, crm, database)
                    if size == sizes.ledgers[-1]:
                        yield from _many(sizes, crm, database.fetched)
        with schema() as url, Crm(url, clock=clock, durable=False) as crm:
            fill(crm, *size)
            with bare(url) as connection:
                yield from _statements(sizes, size, crm, Database.postgresql(connection, crm))


def _statements(
    sizes: Sizes, size: tuple[int, int], crm: Crm, database: Database
) -> Iterator[Line]:
    service = service_of(crm)
    with crm.runtime.database.begin(read_only=True) as connection:
        database.alone(connection)
        for title, text, hand in CASES:
            statement, sql = service.statement(text), by_hand(hand)

            def ours(statement: Select[Any] = statement) -> list[Any]:
                return connection.execute(statement, now=NOW)

            def theirs(sql: str = sql) -> list[Any]:
                return database.fetched(sql)

            yield beside_hand(
                f"segment on {database.name}, {millions(size)}, {title}",
                sizes.rounds,
                database,
                ours,
                theirs,
            )


def _many(sizes: Sizes, crm: Crm, fetched: Callable[[str], list[Any]]) -> Iterator[Line]:
    """Yield lines for all segments at once, and for those that one interaction can change."""
    service = service_of(crm)
    with crm.runtime.database.begin(read_only=True) as connection:
        yield Line(
            title=f"{MANY} segments, everybody in them",
            beside="one of them by hand",
            items=1,
            comparison=compare(
                sizes.rounds,
                lambda _: timed(lambda: fetched(by_hand(_RFM))),
                lambda _: timed(lambda: service.memberships(connection, NOW)),
            ),
        )
        one = itertools.count(1)
        of_one = "SELECT * FROM crm_interaction WHERE customer_id = {}"

        def again() -> None:
            for _ in range(sizes.reevaluated):
                service.reevaluated(connection, ["order.placed"], [next(one)], NOW)

        def look() -> None:
            for number in range(1, sizes.reevaluated + 1):
                fetched(of_one.format(number))

        again()  # the statement is compiled once
        yield Line(
            title=f"{MANY} segments, after one order",
            beside="the customer's facts by hand",
            items=sizes.reevaluated,
            comparison=compare(sizes.rounds, lambda _: timed(look), lambda _: timed(again)),
        )
