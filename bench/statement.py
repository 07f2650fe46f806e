"""Statement: what tiering asks of all customers, beside the same question written by hand."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from crmcore_tiering import Tiering
from crmcore_tiering.reports import POINTS, concentration
from crmcore_tiering.tables import total
from sqlalchemy import Executable

from bench.bare import opened
from bench.hand import Database, beside_hand, millions
from bench.postgres import bare, schema
from bench.segments import NOW, fill
from bench.sizes import Sizes
from bench.table import Line
from crmcore import Crm, VirtualClock
from crmcore.domain.clock import DAY

PARETO = """
WITH standing AS (
    SELECT customer_id, orders, net_minor, max(net_minor, 0) AS worth,
           coalesce(sum(max(net_minor, 0)) OVER (
               ORDER BY max(net_minor, 0) DESC
               RANGE BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS above,
           sum(max(net_minor, 0)) OVER () AS revenue,
           count(*) OVER () AS customers
    FROM crm_tiering_total WHERE first_order_at IS NOT NULL
),
graded AS (
    SELECT standing.*, tier AS held, since,
           CASE WHEN above * 100 < revenue * CASE WHEN tier IS NULL THEN :a
                    WHEN tier <= 'A' THEN :a + :band ELSE :a - :band END THEN 'A'
                WHEN above * 100 < revenue * CASE WHEN tier IS NULL THEN :b
                    WHEN tier <= 'B' THEN :b + :band ELSE :b - :band END THEN 'B'
                ELSE 'C' END AS earned,
           min(CASE WHEN above * 100 < revenue * (:a - :band) THEN worth END) OVER () AS a_from,
           min(CASE WHEN above * 100 < revenue * (:b - :band) THEN worth END) OVER () AS b_from
    FROM standing LEFT JOIN crm_tiering_tier USING (customer_id)
)
SELECT customer_id, coalesce(held, 'none'), earned, orders, net_minor, customers, above, revenue,
       a_from, b_from, NULL, NULL, NULL, since
FROM graded WHERE earned <> coalesce(held, 'none') AND (since IS NULL OR since < :at)
ORDER BY customer_id
"""

RFM = """
WITH ranked AS (
    SELECT customer_id, orders, net_minor,
           count(*) OVER () AS customers,
           sum(max(net_minor, 0)) OVER () > 0 AS has_revenue,
           rank() OVER (ORDER BY last_order_at DESC) - 1 AS recent,
           rank() OVER (ORDER BY orders DESC) - 1 AS frequent,
           rank() OVER (ORDER BY net_minor DESC) - 1 AS monetary
    FROM crm_tiering_total WHERE first_order_at IS NOT NULL
),
scored AS (
    SELECT customer_id, orders, net_minor, customers, has_revenue,
           5 - 5 * recent / customers AS r,
           5 - 5 * frequent / customers AS f,
           5 - 5 * monetary / customers AS m
    FROM ranked
),
graded AS (
    SELECT scored.*, tier AS held, since,
           CASE WHEN has_revenue AND r + f + m >= CASE WHEN tier IS NULL THEN :a
                    WHEN tier <= 'A' THEN :a - :band ELSE :a + :band END THEN 'A'
                WHEN has_revenue AND r + f + m >= CASE WHEN tier IS NULL THEN :b
                    WHEN tier <= 'B' THEN :b - :band ELSE :b + :band END THEN 'B'
                ELSE 'C' END AS earned
    FROM scored LEFT JOIN crm_tiering_tier USING (customer_id)
)
SELECT customer_id, coalesce(held, 'none'), earned, orders, net_minor, customers, NULL, NULL, NULL,
       NULL, r, f, m, since
FROM graded WHERE earned <> coalesce(held, 'none') AND (since IS NULL OR since < :at)
ORDER BY customer_id
"""

CONCENTRATION = """
WITH placed AS (
    SELECT net_minor, max(net_minor, 0) AS worth,
           row_number() OVER best - 1 AS place,
           sum(max(net_minor, 0)) OVER (best ROWS UNBOUNDED PRECEDING) AS reached,
           sum(max(net_minor, 0)) OVER () AS revenue,
           count(*) OVER () AS customers
    FROM crm_tiering_total WHERE first_order_at IS NOT NULL
    WINDOW best AS (ORDER BY max(net_minor, 0) DESC, customer_id)
),
numbered AS (
    SELECT *, place * :points / customers AS stretch,
           place - (place * :points / customers * customers + :points - 1) / :points AS within
    FROM placed
)
SELECT count(*), sum(net_minor), sum(worth), sum(within * (worth / 1048576)),
       sum(within * (worth % 1048576)),
       sum(CASE WHEN place < (customers + 4) / 5 THEN worth ELSE 0 END),
       sum(CASE WHEN (reached - worth) * 100 < revenue * 80 THEN 1 ELSE 0 END)
FROM numbered GROUP BY stretch ORDER BY stretch
"""


def measure(sizes: Sizes) -> Iterator[Line]:
    """Yield one line for each statement, on both databases."""
    clock = VirtualClock(NOW)
    for size in sizes.ledgers:
        with TemporaryDirectory() as folder:
            path = Path(folder, "reviewed.db")
            with _reviewed(f"sqlite:///{path}", clock, size) as crm, opened(path) as held:
                yield from _lines(sizes, size, crm, Database.sqlite(held))
        with schema() as url, _reviewed(url, clock, size) as crm, bare(url) as held:
            yield from _lines(sizes, size, crm, Database.postgresql(held, crm))


@contextmanager
def _reviewed(url: str, clock: VirtualClock, size: tuple[int, int]) -> Iterator[Crm]:
    """Open a shop with a ledger, reviewed half a year ago, so that there are tiers to move from."""
    with Crm(url, clock=clock, durable=False) as crm:
        fill(crm, *size)
    with Crm(url, plugins=[Tiering()], clock=clock, durable=False) as crm:
        crm.pay_debts()
        with crm.begin() as tx, tx.acting(Tiering) as (tiering, ctx):
            tiering.review_now(ctx, NOW - 180 * DAY)
        with crm.runtime.database.begin() as connection:
            connection.sqlalchemy.exec_driver_sql("ANALYZE")
        yield crm


def _lines(sizes: Sizes, size: tuple[int, int], crm: Crm, database: Database) -> Iterator[Line]:
    own, by_rfm = Tiering(), Tiering(scheme="rfm")
    at = {"at": NOW + 1}
    share = {"a": own.a_percent, "b": own.b_percent, "band": own.band_percent}
    score = {"a": own.a_score, "b": own.b_score, "band": own.band_score}
    cases: tuple[tuple[str, Executable, dict[str, int], str, dict[str, int]], ...] = (
        ("Pareto review", own.changes(total), at, PARETO, share | at),
        ("RFM review", by_rfm.changes(total), at, RFM, score | at),
        ("concentration", concentration(total), {}, CONCENTRATION, {"points": POINTS}),
    )
    with crm.runtime.database.begin(read_only=True) as connection:
        database.alone(connection)
        for title, statement, values, text, numbers in cases:
            sql = _for(database, text)

            def ours(
                statement: Executable = statement, values: dict[str, int] = values
            ) -> list[Any]:
                return connection.execute(statement, **values)

            def theirs(sql: str = sql, numbers: dict[str, int] = numbers) -> list[Any]:
                return database.fetched(sql, numbers)

            yield beside_hand(
                f"{title} on {database.name}, {millions(size)}",
                sizes.rounds,
                database,
                ours,
                theirs,
                times=sizes.selects,
            )


def _for(database: Database, text: str) -> str:
    """Return a statement as it is written for a database."""
    if database.name == "SQLite":
        return text
    text = re.sub(r":(\w+)", r"%(\1)s", text.replace("%", "%%"))
    return text.replace("max(net_minor, 0)", "greatest(net_minor, 0)")
