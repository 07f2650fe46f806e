"""Rows of one table that a merge moves, and that come back when it is undone."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import sqlalchemy
from attrs import field, frozen
from sqlalchemy import (
    BindParameter,
    Boolean,
    ColumnElement,
    Date,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    Numeric,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    and_,
    bindparam,
    cast,
    column,
)
from sqlalchemy.types import NullType, TypeEngine
from typing_extensions import override

from crmcore.errors import StorageError
from crmcore.persistence.connection import Connection, Row

OWNER = "customer_id"


@frozen
class Shape:
    """
    What has to be known of a table to move rows of it.

    Attributes:
        columns: All of them, in order.
        key: Those of the primary key, without the customer.
        uniques: Groups of columns, the customer among them, that no two rows may have in common.
    """

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    uniques: tuple[tuple[str, ...], ...]
    types: Mapping[str, TypeEngine[Any]] = field(repr=False)

    @classmethod
    def of(cls, table: Table) -> Shape:
        """Return the shape of a table that is declared."""
        groups = [tuple(table.primary_key.columns.keys())]
        groups += [
            tuple(c.name for c in each.columns)
            for each in table.constraints
            if isinstance(each, UniqueConstraint)
        ]
        groups += [tuple(i.columns.keys()) for i in table.indexes if _is_unique(i)]
        return cls._made(table.name, {c.name: c.type for c in table.columns}, groups)

    @classmethod
    def reflected(cls, connection: Connection, name: str) -> Shape | None:
        """Return the shape of a table nobody declares at present; None if it is not there."""
        found = connection.inspector
        if not found.has_table(name):
            return None
        groups: list[tuple[Any, ...]] = [
            tuple(found.get_pk_constraint(name)["constrained_columns"])
        ]
        groups += [tuple(u["column_names"]) for u in found.get_unique_constraints(name)]
        groups += [
            tuple(filter(None, i["column_names"])) for i in found.get_indexes(name) if i["unique"]
        ]
        return cls._made(name, {c["name"]: c["type"] for c in found.get_columns(name)}, groups)

    @classmethod
    def _made(
        cls, name: str, types: Mapping[str, TypeEngine[Any]], groups: Sequence[tuple[str, ...]]
    ) -> Shape:
        own = dict.fromkeys(tuple(group) for group in groups if OWNER in group)
        key = tuple(c for c in groups[0] if c != OWNER)
        return cls(name, tuple(types), key, tuple(own), types)


def _is_unique(index: Index) -> bool:
    return bool(index.unique)


_PLAIN = (Integer, Numeric, String, Boolean, LargeBinary, DateTime, Date, NullType)


class _AsText(TypeDecorator[str]):
    """Values of another type, which the database itself casts to text, and back."""

    impl = Text
    cache_ok = False

    def __init__(self, cast_to: TypeEngine[Any]) -> None:
        super().__init__()
        self._cast_to = cast_to

    @override
    def column_expression(self, column: ColumnElement[Any]) -> ColumnElement[str]:
        return cast(column, Text)

    @override
    def bind_expression(self, bindvalue: BindParameter[Any]) -> ColumnElement[Any]:
        return cast(bindvalue, self._cast_to)


def _passed(kind: TypeEngine[Any], connection: Connection) -> TypeEngine[Any]:
    """Return the type as which values of a column pass through here."""
    found = kind.dialect_impl(connection.statements.dialect)
    while isinstance(found, TypeDecorator):
        found = found.impl_instance.dialect_impl(connection.statements.dialect)
    if connection.database.portable.is_sqlite or isinstance(found, _PLAIN):
        return NullType()
    return _AsText(kind)


class OwnedRows:
    """
    Moves the rows of one table from customer to customer.

    Values pass through as the driver gives and takes them, or as text where JSON could not hold
    them: such as a UUID, an array, or JSON itself.
    """

    def __init__(self, shape: Shape, connection: Connection) -> None:
        columns = [column(name, _passed(kind, connection)) for name, kind in shape.types.items()]
        table = sqlalchemy.table(shape.name, *columns)
        insert = connection.database.portable.insert
        mine = table.c[OWNER] == bindparam("crm_owner")
        row = and_(mine, *(table.c[k] == bindparam(f"crm_key_{k}") for k in shape.key))
        self.shape = shape
        self._select = (
            sqlalchemy.select(*table.columns).where(mine).order_by(*(table.c[k] for k in shape.key))
        )
        self._delete = sqlalchemy.delete(table).where(row)
        self._give = sqlalchemy.update(table).where(row).values({OWNER: bindparam("crm_to")})
        self._insert = insert(table).on_conflict_do_nothing()

    @classmethod
    def cached(cls, connection: Connection, shape: Shape) -> OwnedRows:
        """Return the mover of a table, whose statements are compiled once for each shape."""
        return connection.database.once(f"owned {shape}", lambda: cls(shape, connection))

    def of(self, connection: Connection, customer: int) -> list[dict[str, Any]]:
        """Return a customer's rows, as dictionaries of their columns."""
        rows: list[Row] = connection.execute(self._select, crm_owner=customer)
        return [dict(zip(self.shape.columns, row, strict=True)) for row in rows]

    def move(
        self, connection: Connection, merged: int, survivor: int
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """
        Give the survivor the merged one's rows.

        Returns the rows that moved, as they were, and those that were taken out of the table, as
        the survivor has rows of the same key.
        """
        theirs = self.of(connection, merged)
        moved, shelved = self._parted(theirs, self.of(connection, survivor), survivor)
        connection.change_many(self._delete, [self._named(row, merged) for row in shelved])
        self.give(connection, moved, merged, survivor)
        return moved, shelved

    def _parted(
        self, rows: Sequence[dict[str, Any]], present: Iterable[Mapping[str, Any]], owner: int
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Return those of *rows* that may be *owner*'s beside those *present*, and the others."""
        taken = {
            (group, self._place(row, group, owner))
            for row in present
            for group in self.shape.uniques
        }
        free: list[dict[str, Any]] = []
        others: list[dict[str, Any]] = []
        for row in rows:
            collides = any(
                (group, place) in taken
                for group in self.shape.uniques
                if (place := self._place(row, group, owner)) is not None
            )
            (others if collides else free).append(row)
        return free, others

    def _place(
        self, row: Mapping[str, Any], group: tuple[str, ...], owner: int
    ) -> tuple[Any, ...] | None:
        """Return what the row would stand under as *owner*'s; None: under nothing, as for NULL."""
        values = tuple(owner if name == OWNER else row[name] for name in group)
        return None if None in values else values

    def give(
        self, connection: Connection, keys: Iterable[Mapping[str, Any]], giver: int, taker: int
    ) -> int:
        """Give the rows of these keys from one customer to another; returns how many there were."""
        named = [{**self._named(key, giver), "crm_to": taker} for key in keys]
        return connection.change_many(self._give, named)

    def give_back(
        self, connection: Connection, keys: Iterable[Mapping[str, Any]], giver: int, taker: int
    ) -> tuple[int, list[dict[str, Any]]]:
        """
        Give rows of these keys back, but for those in whose place the taker has another by now.

        Returns how many there were, and those taken out of the table instead.
        """
        wanted = {tuple(key[k] for k in self.shape.key) for key in keys}
        there = self.of(connection, giver)
        back = [row for row in there if tuple(self.key_of(row).values()) in wanted]
        free, left = self._parted(back, self.of(connection, taker), taker)
        self.drop(connection, left, giver)
        return self.give(connection, free, giver, taker), left

    def drop(self, connection: Connection, keys: Iterable[Mapping[str, Any]], owner: int) -> None:
        """Delete a customer's rows of these keys."""
        connection.change_many(self._delete, [self._named(key, owner) for key in keys])

    def put(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> int:
        """Write rows, but for those whose key is taken."""
        return connection.change_many(self._insert, rows)

    def key_of(self, row: Mapping[str, Any]) -> dict[str, Any]:
        return {name: row[name] for name in self.shape.key}

    def _named(self, key: Mapping[str, Any], owner: int) -> dict[str, Any]:
        return {"crm_owner": owner, **{f"crm_key_{name}": key[name] for name in self.shape.key}}


def encoded(row: Mapping[str, Any], table: str) -> dict[str, Any]:
    """Return a row's values as JSON holds them."""
    return {name: _encoded(value, f"{table}.{name}") for name, value in row.items()}


def decoded(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a row that was `encoded`."""
    return {name: _decoded(value) for name, value in row.items()}


def _encoded(value: Any, where: str) -> Any:
    match value:
        case None | bool() | int() | float() | str():
            return value
        case bytes() | bytearray() | memoryview():
            return {"bytes": base64.b64encode(bytes(value)).decode()}
        case Decimal():
            return {"decimal": str(value)}
        case datetime():
            return {"datetime": value.isoformat()}
        case date():
            return {"date": value.isoformat()}
    raise StorageError(
        f"{where} holds a {type(value).__name__}, which a merge cannot put aside; integers, "
        "text, bytes, decimals and instants are expected"
    )


def _decoded(value: Any) -> Any:
    match value:
        case {"bytes": text}:
            return base64.b64decode(text)
        case {"decimal": text}:
            return Decimal(text)
        case {"datetime": text}:
            return datetime.fromisoformat(text)
        case {"date": text}:
            return date.fromisoformat(text)
    return value
