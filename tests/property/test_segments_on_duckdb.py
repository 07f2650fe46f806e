"""The same Core statements find the same customers on DuckDB."""

from __future__ import annotations

from typing import Any

import duckdb
from crmcore_tiering import Tiering
from crmcore_tiering.tables import total
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Text, insert, select
from sqlalchemy.dialects import postgresql

from crmcore import Crm, VirtualClock
from crmcore.domain.clock import DAY
from crmcore.domain.segments.parser import parse
from crmcore.persistence.customers import customer
from crmcore.persistence.ledger import interaction, line
from crmcore.persistence.portable import Portable
from crmcore.persistence.stages import stage
from crmcore.services.segments.compiler import Compiler
from tests.support.histories import START, instant
from tests.support.segments import (
    FAMILIES,
    Profile,
    accounts,
    card,
    cards,
    draft_of,
    happenings,
    segments,
)

TABLES = (customer, interaction, line, stage, card, total)
DIALECT = postgresql.dialect()


def copied(crm: Crm) -> duckdb.DuckDBPyConnection:
    """Return a database of DuckDB with the rows of the tables that segments ask."""
    duck = duckdb.connect(":memory:")
    with crm._read() as unit:
        for table in TABLES:
            columns = ", ".join(f"{c.name} {_type(c)}" for c in table.columns)
            duck.execute(f"CREATE TABLE {table.name} ({columns})")
            rows = [list(row) for row in unit.connection.execute(select(*table.columns))]
            if rows:
                marks = ", ".join("?" * len(table.columns))
                duck.executemany(f"INSERT INTO {table.name} VALUES ({marks})", rows)
    return duck


def _type(column: Any) -> str:
    if isinstance(column.type, Text):
        return "VARCHAR"
    return "DOUBLE" if "FLOAT" in str(column.type) else "BIGINT"


@settings(max_examples=15)
@given(data=st.data(), history=st.lists(happenings(), min_size=1, max_size=25))
def test_duckdb(data, history):
    """Whatever the segment and the history, DuckDB finds whom SQLite finds."""
    trees = data.draw(st.lists(segments(), min_size=1, max_size=5))
    moment = data.draw(st.sampled_from(history))[1].occurred_at + data.draw(
        st.sampled_from((0, 1, 7 * DAY, 30 * DAY - 1, 84 * DAY))
    )
    with Crm(
        "sqlite://",
        plugins=[Tiering(), Profile()],
        clock=VirtualClock(instant(START) + 500 * DAY),
        segments={"named": parse('orders.count >= 2 or profile.city == "Rome"')},
        families=FAMILIES,
    ) as crm:
        crm.record_many([draft_of(number, *each) for number, each in enumerate(history)])
        ids = [crm.find_customer(account) for account in accounts()]
        kept = data.draw(st.lists(cards(), max_size=3))
        rows = [(each, *row) for each, row in zip(ids, kept, strict=False) if each]
        with crm.begin() as tx:
            tx.connection.insert_rows(insert(card), rows)
        compiler = Compiler(crm._parts.segments.registry.names, Portable("postgresql"))
        with copied(crm) as duck:
            for tree in trees:
                checked = crm.segment(tree).condition
                statement = compiler.members(checked).params(now=moment)
                text = str(
                    statement.compile(dialect=DIALECT, compile_kwargs={"literal_binds": True})
                )

                found = duck.execute(text.replace("%%", "%")).fetchall()

                assert crm.members(tree, at=moment) == sorted(row[0] for row in found), text
