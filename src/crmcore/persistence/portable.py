"""The few constructs that the two databases write differently."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable
from typing import Any

import sqlalchemy
from sqlalchemy import ColumnElement, Executable, Select, Table, bindparam, cast, func
from sqlalchemy.dialects import postgresql, sqlite


class Portable:
    """The few constructs that the two databases write differently."""

    def __init__(self, dialect_name: str) -> None:
        self.is_sqlite = dialect_name == "sqlite"
        self.insert: Callable[[Any], Any] = sqlite.insert if self.is_sqlite else postgresql.insert

    def is_in(self, column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
        """Return the condition that *column* is in a list of whole numbers, given as JSON."""
        listed = bindparam(name, type_=sqlalchemy.Text())
        if self.is_sqlite:
            return column.in_(
                sqlalchemy.select(func.json_each(listed).table_valued("value").c.value)
            )
        # An array's elements, not `= ANY`: where no index helps, that compares with each of them.
        braced = func.translate(listed, "[]", "{}")
        numbers = cast(braced, postgresql.ARRAY(sqlalchemy.BigInteger))
        return column.in_(sqlalchemy.select(func.unnest(numbers)))

    def is_hash(self, column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
        """Return the condition that *column* is in a list of hashes in hex, given as JSON."""
        listed = bindparam(name, type_=sqlalchemy.Text())
        if self.is_sqlite:
            return column.in_(
                sqlalchemy.select(func.json_each(listed).table_valued("value").c.value)
            )
        braced = func.translate(listed, "[]", "{}")
        return column.in_(
            sqlalchemy.select(func.unnest(cast(braced, postgresql.ARRAY(sqlalchemy.Text))))
        )

    def replace(self, table: Table, keep: Collection[str] = ()) -> Executable:
        """Return the upsert of a whole row of *table*; columns in *keep* stay as they are."""
        statement = self.insert(table)
        key = [column.name for column in table.primary_key.columns]
        rest = [c.name for c in table.columns if c.name not in key and c.name not in keep]
        if not rest:
            return statement.on_conflict_do_nothing()  # type: ignore[no-any-return]
        return statement.on_conflict_do_update(  # type: ignore[no-any-return]
            index_elements=key, set_={name: statement.excluded[name] for name in rest}
        )

    def locked(
        self, statement: Select[Any], *, of: Any = None, skip_locked: bool = False
    ) -> Select[Any]:
        """
        Return *statement* with its rows locked until the transaction ends, for other writers.

        On SQLite a writing transaction has the database for itself, so nothing is added. On
        PostgreSQL the lock lets foreign keys be checked. Order the rows: whoever locks in the
        same order cannot block another for good.
        """
        if self.is_sqlite:
            return statement
        return statement.with_for_update(key_share=True, skip_locked=skip_locked, of=of)


def json_hashes(hashes: Iterable[str]) -> str:
    """Return hashes in hex as `Portable.is_hash` takes them."""
    return json.dumps(sorted(hashes))


def json_list(numbers: Iterable[int]) -> str:
    """Return whole numbers as `Portable.is_in` takes them."""
    return f"[{','.join(map(str, numbers))}]"
