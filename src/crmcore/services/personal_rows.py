"""Rows about some customers in any table: counted, emptied, deleted, and cleared of their names."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Final

import sqlalchemy
from attrs import field, frozen
from sqlalchemy import (
    Boolean,
    ColumnElement,
    Date,
    DateTime,
    Integer,
    LargeBinary,
    Numeric,
    String,
    Table,
    Text,
    Time,
    and_,
    bindparam,
    cast,
    column,
    func,
    or_,
    select,
)
from sqlalchemy.types import NullType, TypeEngine

from crmcore.domain.spelling import Needle, holding, without
from crmcore.persistence.connection import Connection, Row
from crmcore.persistence.customers import customer

_COUNTED: Final = (Integer, Numeric, Boolean)
"""What anonymising leaves: it says how many or how much, and of whom nobody knows."""

_ENDED: Final = (Date, DateTime, Time)


@frozen
class PersonalTable:
    """
    A table that may hold rows about customers, as far as it has to be known.

    Attributes:
        key: The columns of its primary key, in order.
        owners: The columns that say whose a row is; none: nobody can say.
        nullable: The columns that may be empty.
    """

    name: str
    key: tuple[str, ...]
    owners: tuple[str, ...]
    types: Mapping[str, TypeEngine[Any]] = field(repr=False)
    nullable: frozenset[str]

    @classmethod
    def of(cls, table: Table, owners: Sequence[str] = ("customer_id",)) -> PersonalTable:
        """Return what has to be known of a table that is declared."""
        return cls(
            table.name,
            tuple(table.primary_key.columns.keys()),
            tuple(owners),
            {each.name: each.type for each in table.columns},
            frozenset(each.name for each in table.columns if each.nullable),
        )

    @classmethod
    def reflected(cls, connection: Connection, name: str) -> PersonalTable | None:
        """Return what the database says of a table; None if it is not there."""
        found = connection.inspector
        if not found.has_table(name):
            return None
        columns = found.get_columns(name)
        names = [each["name"] for each in columns]
        return cls(
            name,
            tuple(found.get_pk_constraint(name)["constrained_columns"]),
            ("customer_id",) if "customer_id" in names else (),
            {each["name"]: each["type"] for each in columns},
            frozenset(each["name"] for each in columns if each["nullable"]),
        )

    @property
    def texts(self) -> tuple[str, ...]:
        """The columns that may hold a text."""
        return tuple(name for name, kind in self.types.items() if _is_text(kind))

    def emptied(self) -> dict[str, Any]:
        """Return what anonymising puts in the columns that say more than how many or how much."""
        return {
            name: None if name in self.nullable else _nothing(kind)
            for name, kind in self.types.items()
            if name not in self.key and not isinstance(kind, _COUNTED)
        }


def _is_text(kind: TypeEngine[Any]) -> bool:
    return isinstance(kind, (String, NullType)) and not isinstance(kind, (*_COUNTED, *_ENDED))


def _nothing(kind: TypeEngine[Any]) -> Any:
    if isinstance(kind, LargeBinary):
        return b""
    # Without a type of its own, so that every database takes it for the column's.
    if isinstance(kind, _ENDED):
        return sqlalchemy.text("'1970-01-01'")
    return sqlalchemy.text("'{}'") if "JSON" in type(kind).__name__.upper() else ""


class PersonalRows:
    """Statements on the rows of some customers in one table, compiled once."""

    def __init__(self, table: PersonalTable, connection: Connection) -> None:
        portable = connection.database.portable
        columns = [column(name, kind) for name, kind in table.types.items()]
        there = sqlalchemy.table(table.name, *columns)
        self.table = table
        self._there = there
        theirs = or_(*(portable.is_in(there.c[o], "people") for o in table.owners))
        every = select(customer.c.customer_id).where(customer.c.erased_at.is_not(None))
        erased = or_(*(there.c[o].in_(every) for o in table.owners))
        self._count = select(func.count()).select_from(there).where(theirs)
        self._delete = sqlalchemy.delete(there).where(theirs)
        self._delete_erased = sqlalchemy.delete(there).where(erased)
        self._theirs, self._erased = theirs, erased
        plain = [_plain(there.c[name], portable.is_sqlite) for name in (*table.key, *table.texts)]
        self._texts = select(*plain).where(theirs)
        self._updates: dict[tuple[str, ...], Any] = {}

    @classmethod
    def cached(cls, connection: Connection, table: PersonalTable) -> PersonalRows:
        return connection.database.once(
            f"personal {table} {table.types}", lambda: cls(table, connection)
        )

    def count(self, connection: Connection, people: str) -> int:
        """Return how many rows these customers have; *people* are their ids, as JSON."""
        return int(connection.execute(self._count, people=people)[0][0])

    def delete(self, connection: Connection, people: str | None) -> int:
        """Delete their rows; None: those of all who were erased."""
        if people is None:
            return connection.change(self._delete_erased)
        return connection.change(self._delete, people=people)

    def empty(self, connection: Connection, people: str | None, values: Mapping[str, Any]) -> int:
        """Put *values* into their rows; None: into those of all who were erased."""
        if not values:
            return 0
        name = f"empty {people is None} {self.table} {sorted(map(str, values.items()))}"
        where = self._erased if people is None else self._theirs
        # What is as it should be is not written again.
        other = or_(*(self._differs(name, value) for name, value in values.items()))
        statement = connection.database.once(
            name, lambda: sqlalchemy.update(self._there).where(where, other).values(**values)
        )
        given = {} if people is None else {"people": people}
        return connection.change(statement, **given)

    def _differs(self, name: str, value: Any) -> ColumnElement[bool]:
        here = self._there.c[name]
        if value is None:
            return here.is_not(None)
        return here != value if isinstance(value, str | bytes) else sqlalchemy.true()

    def texts(self, connection: Connection, people: str) -> Iterator[dict[str, str]]:
        """Yield the texts of their rows, by column."""
        skipped = len(self.table.key)
        for rows in connection.stream(self._texts, people=people):
            for row in rows:
                yield {
                    name: text
                    for name, text in zip(self.table.texts, row[skipped:], strict=True)
                    if isinstance(text, str) and text
                }

    def clear(
        self,
        connection: Connection,
        people: str,
        columns: Sequence[str],
        needles: Collection[Needle],
        hashed: Callable[[str], str],
    ) -> None:
        """Replace texts of *columns* in their rows, in which a needle stands, by their hash."""
        if not columns or not needles:
            return
        skipped, there = len(self.table.key), self.table.texts
        places = [skipped + there.index(name) for name in columns]
        found: list[Row] = [
            row
            for rows in connection.stream(self._texts, people=people)
            for row in rows
            if any(row[place] and holding(needles, row[place]) for place in places)
        ]
        for row in found:
            changed = {
                name: cleared(needles, row[place], hashed)
                for name, place in zip(columns, places, strict=True)
                if row[place] and holding(needles, row[place])
            }
            self._write(connection, dict(zip(self.table.key, row, strict=False)), changed)

    def _write(
        self, connection: Connection, key: Mapping[str, Any], changed: Mapping[str, str]
    ) -> None:
        columns = tuple(sorted(changed))
        if columns not in self._updates:
            on_sqlite = connection.database.portable.is_sqlite
            row = and_(
                *(
                    _plain(self._there.c[name], on_sqlite) == bindparam(f"key_{name}")
                    for name in key
                )
            )
            new: dict[str, Any] = {name: bindparam(f"new_{name}") for name in columns}
            self._updates[columns] = sqlalchemy.update(self._there).where(row).values(new)
        connection.change(
            self._updates[columns],
            **{f"key_{name}": value for name, value in key.items()},
            **{f"new_{name}": value for name, value in changed.items()},
        )


def cleared(needles: Collection[Needle], text: str, hashed: Callable[[str], str]) -> str:
    """Return a text, or every text within it if it is JSON, by its hash where a needle stands."""
    if text[:1] in ("{", "["):
        try:
            value = json.loads(text)
        except ValueError:
            return hashed(text)
        clear = without(needles, value, hashed)
        told = json.dumps(clear, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
        return told if not holding(needles, told) else hashed(text)
    return hashed(text)


def _plain(of: ColumnElement[Any], is_sqlite: bool) -> ColumnElement[Any]:
    """Return a column whose values any driver gives as they are, or as text."""
    if is_sqlite or isinstance(of.type, (*_COUNTED, String)):
        return of
    return cast(of, Text)
