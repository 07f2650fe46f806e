"""A ledger and tiering's tables, to run the plugin's statements on alone."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from crmcore_tiering.tables import Whole, Words, metadata
from sqlalchemy import (
    Column,
    Connection,
    Executable,
    FromClause,
    MetaData,
    Table,
    create_engine,
    insert,
    select,
)

from crmcore import Facts, Fold
from crmcore.persistence.portable import Portable
from tests.support.databases import scratch

interaction = Table(
    "crm_interaction",
    MetaData(),
    Column("interaction_id", Whole, primary_key=True, autoincrement=False),
    Column("kind", Words, nullable=False),
    Column("customer_id", Whole, nullable=False),
    Column("occurred_at", Whole, nullable=False),
    Column("source", Words, nullable=False),
    Column("source_key", Words),
    Column("amount_base_minor", Whole),
    Column("caused_by", Whole),
    Column("payload", Words, nullable=False),
)


class Sheet:
    """A ledger with the columns that tiering reads, and tiering's tables."""

    currency = "EUR"

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._portable = Portable(connection.dialect.name)
        interaction.create(connection)
        metadata.create_all(connection)

    def record(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Add rows to the ledger, in their order."""
        plain = {"source": "shop", "source_key": None, "amount_base_minor": None}
        complete = [plain | {"caused_by": None, "payload": "{}"} | dict(row) for row in rows]
        if complete:
            self._connection.execute(insert(interaction), complete)

    def facts(self, low: int = 0, high: int = 2**62) -> FromClause:
        """Return the interactions with ids from *low* to *high*."""
        chosen = interaction.c.interaction_id.between(low, high)
        return select(interaction).where(chosen).subquery("facts")

    def fold(self, fold: Fold, low: int = 0, high: int = 2**62) -> None:
        """Run a fold over the interactions with ids from *low* to *high*."""
        facts = self.facts(low, high)
        self._connection.execute(fold.build(Facts(facts, facts), self._portable.insert))

    def execute(self, statement: Executable, **values: Any) -> Sequence[tuple[Any, ...]]:
        return [tuple(row) for row in self._connection.execute(statement, values)]

    def write(self, table: Table, rows: Iterable[Mapping[str, Any]]) -> None:
        """Add rows, or replace those with the same key."""
        complete = [dict.fromkeys(table.c.keys()) | dict(row) for row in rows]
        if complete:
            self._connection.execute(self._portable.replace(table), complete)

    def rows(self, table: Table) -> list[tuple[Any, ...]]:
        """Return all rows of a table, in the order of its key."""
        return list(self.execute(select(table).order_by(*table.primary_key.columns)))


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
