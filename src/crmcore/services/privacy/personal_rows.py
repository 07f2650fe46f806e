"""Rows about some customers in any table: counted, emptied, deleted, and cleared of their names."""

from __future__ import annotations

import functools
import json
import operator
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Final

import sqlalchemy
from attrs import field, frozen
from sqlalchemy import (
    Boolean,
    ColumnElement,
    Date,
    DateTime,
    Enum,
    Inspector,
    Integer,
    Interval,
    LargeBinary,
    Numeric,
    String,
    Table,
    Text,
    Time,
    UniqueConstraint,
    and_,
    bindparam,
    cast,
    column,
    func,
    literal,
    or_,
    select,
)
from sqlalchemy.types import NullType, TypeEngine

from crmcore.domain.spelling import Needle, as_json, holding, without
from crmcore.persistence.connection import Connection, Row
from crmcore.persistence.customers import customer

_COUNTED: Final = (Integer, Numeric, Boolean)
"""What anonymising leaves: it says how many or how much, and of whom nobody knows."""

_ENDED: Final = (Date, DateTime, Time)
_DAY: Final = "'1970-01-01'"
_LONGEST_KEY: Final = 64


@frozen
class PersonalTable:
    """
    A table that may hold rows about customers, as far as it has to be known.

    Attributes:
        key: The columns of its primary key, in order.
        owners: The columns that say whose a row is; none: nobody can say.
        nullable: The columns that may be empty.
        unique: The columns in which no two rows may have the same, be it with others.
    """

    name: str
    key: tuple[str, ...]
    owners: tuple[str, ...]
    types: Mapping[str, TypeEngine[Any]] = field(repr=False)
    nullable: frozenset[str]
    unique: frozenset[str] = frozenset()

    @classmethod
    def of(cls, table: Table, owners: Sequence[str] = ("customer_id",)) -> PersonalTable:
        """Return what has to be known of a table that is declared."""
        return cls(
            table.name,
            tuple(table.primary_key.columns.keys()),
            tuple(owners),
            {each.name: each.type for each in table.columns},
            frozenset(each.name for each in table.columns if each.nullable),
            _unique(table),
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
            _reflected_unique(found, name),
        )

    @property
    def texts(self) -> tuple[str, ...]:
        """The columns that may hold a text."""
        return tuple(name for name, kind in self.types.items() if _is_text(kind))

    def emptied(self) -> dict[str, Any]:
        """Return what anonymising puts in the columns that say more than how many or how much."""
        return {
            name: None if name in self.nullable else self._nothing_in(name, kind)
            for name, kind in self.types.items()
            if name not in self.key and not isinstance(kind, _COUNTED)
        }

    @property
    def unforgettable(self) -> tuple[str, ...]:
        """The columns in which anonymising can put nothing, as they must not be empty."""
        return tuple(
            name
            for name, kind in self.types.items()
            if name not in self.key
            and name not in self.nullable
            and not isinstance(kind, _COUNTED)
            and not _has_nothing(kind, is_unique=name in self.unique)
        )

    def _nothing_in(self, name: str, kind: TypeEngine[Any]) -> Any:
        if name not in self.unique:
            return _nothing(kind)
        # The row's own key, which is no other row's; what names somebody in it is cleared with it.
        key = [cast(column(each, self.types[each]), Text) for each in self.key]
        parts: list[ColumnElement[str]] = [literal("erased")]
        for each in key:
            parts += [literal("/"), each]
        return functools.reduce(operator.add, parts)


def _unique(table: Table) -> frozenset[str]:
    names: set[str] = set()
    for constraint in table.constraints:
        if isinstance(constraint, UniqueConstraint):
            names.update(constraint.columns.keys())
    for index in table.indexes:
        if index.unique:
            names.update(index.columns.keys())
    return frozenset(names)


def _reflected_unique(found: Inspector, name: str) -> frozenset[str]:
    names: set[str | None] = set()
    for constraint in found.get_unique_constraints(name):
        names.update(constraint["column_names"])
    for index in found.get_indexes(name):
        if index["unique"]:
            names.update(index["column_names"])
    return frozenset(each for each in names if each is not None)


def _has_nothing(kind: TypeEngine[Any], *, is_unique: bool) -> bool:
    if isinstance(kind, Enum | Interval):
        return False
    if is_unique:
        return isinstance(kind, String) and (kind.length is None or kind.length >= _LONGEST_KEY)
    return isinstance(kind, (String, LargeBinary, *_ENDED)) or _is_json(kind)


def _is_text(kind: TypeEngine[Any]) -> bool:
    return isinstance(kind, (String, NullType)) and not isinstance(kind, (*_COUNTED, *_ENDED))


def _nothing(kind: TypeEngine[Any]) -> Any:
    if isinstance(kind, LargeBinary):
        return b""
    # Without a type of its own, so that every database takes it for the column's.
    if isinstance(kind, Time):
        return sqlalchemy.text("'00:00:00'")
    if isinstance(kind, _ENDED):
        return sqlalchemy.text("'1970-01-01 00:00:00'" if isinstance(kind, DateTime) else _DAY)
    return sqlalchemy.text("'{}'") if _is_json(kind) else ""


def _is_json(kind: TypeEngine[Any]) -> bool:
    return "JSON" in type(kind).__name__.upper()


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
        if isinstance(value, str | bytes | ColumnElement):
            return here != value
        return sqlalchemy.true()

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
        spared: Collection[str] = (),
    ) -> None:
        """
        Replace texts of *columns* in their rows, in which a needle stands, by their hash.

        Those *spared* stay, whatever stands in them.
        """
        if not columns or not needles:
            return

        def tells(text: str | None) -> bool:
            return bool(text) and text not in spared and bool(holding(needles, text or ""))

        skipped, there = len(self.table.key), self.table.texts
        places = [skipped + there.index(name) for name in columns]
        found: list[Row] = [
            row
            for rows in connection.stream(self._texts, people=people)
            for row in rows
            if any(tells(row[place]) for place in places)
        ]
        for row in found:
            changed = {
                name: cleared(needles, row[place], hashed)
                for name, place in zip(columns, places, strict=True)
                if tells(row[place])
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
    value = as_json(text)
    if value is None:
        return hashed(text)
    # Never as a whole: whoever reads JSON there still has to find JSON.
    clear = without(needles, value, hashed)
    return json.dumps(clear, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def _plain(of: ColumnElement[Any], is_sqlite: bool) -> ColumnElement[Any]:
    """Return a column whose values any driver gives as they are, or as text."""
    if is_sqlite or isinstance(of.type, (*_COUNTED, String)):
        return of
    return cast(of, Text)
