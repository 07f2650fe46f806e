"""A ledger and the profile's tables, to run the plugin's statements on alone."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import pytest
from crmcore_profile.tables import Whole, Words, metadata
from sqlalchemy import (
    Column,
    Connection,
    Executable,
    MetaData,
    Table,
    bindparam,
    create_engine,
    insert,
    select,
)

from crmcore import Facts, Fold, Trait
from crmcore.persistence.portable import Portable
from tests.support.databases import scratch

DAY = 86_400_000_000

ledger = MetaData()
interaction = Table(
    "crm_interaction",
    ledger,
    Column("interaction_id", Whole, primary_key=True, autoincrement=False),
    Column("kind", Words, nullable=False),
    Column("customer_id", Whole, nullable=False),
    Column("occurred_at", Whole, nullable=False),
    Column("source", Words, nullable=False),
    Column("source_key", Words),
    Column("channel", Words),
    Column("subject", Words),
    Column("amount_base_minor", Whole),
    Column("payload", Words, nullable=False),
    Column("personal", Words),
)
line = Table(
    "crm_line",
    ledger,
    Column("interaction_id", Whole, nullable=False),
    Column("category", Words),
    Column("amount_base_minor", Whole),
    Column("cost_minor", Whole),
)
_PLAIN: Mapping[str, Any] = dict.fromkeys(
    ("source_key", "channel", "subject", "amount_base_minor", "personal")
) | {"source": "shop", "payload": "{}"}


class Sheet:
    """A ledger with the columns that the profile reads, and the profile's tables."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._portable = Portable(connection.dialect.name)
        ledger.create_all(connection)
        metadata.create_all(connection)

    def record(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Add rows to the ledger; payloads, personal parts and lines are plain Python."""
        for row in rows:
            made = {**_PLAIN, **row}
            lines = made.pop("lines", ())
            for name in ("payload", "personal"):
                if isinstance(made[name], dict):
                    made[name] = json.dumps(made[name])
            self._connection.execute(insert(interaction), made)
            for each in lines:
                there = {"category": None, "amount_base_minor": None, "cost_minor": None, **each}
                self._connection.execute(
                    insert(line), {"interaction_id": made["interaction_id"], **there}
                )

    def fold(self, fold: Fold, low: int = 0, high: int = 2**62) -> None:
        """Run a fold over the interactions with ids from *low* to *high*."""
        chosen = interaction.c.interaction_id.between(low, high)
        facts = select(interaction).where(chosen).subquery("facts")
        lines = select(line).where(line.c.interaction_id.between(low, high)).subquery("lines")
        self._connection.execute(fold.build(Facts(facts, lines), self._portable.insert))

    def fold_in_parts(self, fold: Fold, cuts: Iterable[int]) -> None:
        """Run a fold over the ledger, cut after some ids."""
        ends = sorted({*cuts, 2**61})
        for low, high in zip([0, *ends], ends, strict=False):
            self.fold(fold, low + 1, high)

    def write(self, table: Table, rows: Iterable[Mapping[str, Any]]) -> None:
        """Put rows into a table of the profile, which is emptied first."""
        self._connection.execute(table.delete())
        complete = [dict.fromkeys(table.c.keys()) | dict(row) for row in rows]
        if complete:
            self._connection.execute(insert(table), complete)

    def execute(self, statement: Executable, **values: Any) -> Sequence[tuple[Any, ...]]:
        return [tuple(row) for row in self._connection.execute(statement, values)]

    def rows(self, table: Table) -> list[tuple[Any, ...]]:
        """Return all rows of a table, in the order of its key."""
        return list(self.execute(select(table).order_by(*table.primary_key.columns)))

    def values(self, trait: Trait[Any], now: int = 0) -> dict[int, Any]:
        """Return each customer's value of a trait."""
        rows = self.execute(_asking(trait), now=now)
        assert len(rows) == len(dict(rows))
        return dict(rows)


@cache
def _asking(trait: Trait[Any]) -> Executable:
    now = bindparam("now", type_=Whole)
    return select(trait.table.c.customer_id, trait.column(now))


@contextmanager
def _open() -> Iterator[Sheet]:
    engine = create_engine(scratch())
    try:
        with engine.begin() as connection:
            yield Sheet(connection)
    finally:
        engine.dispose()


@pytest.fixture(scope="session")
def open_sheet():
    """Open an empty sheet; hypothesis needs one for each example, not for each test."""
    return _open


@pytest.fixture
def sheet():
    with _open() as opened:
        yield opened
