"""Rows: what tables look like to the database, and rows made up for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import MetaData, Table, inspect, select, text
from sqlalchemy.engine import Inspector
from sqlalchemy.exc import IntegrityError

from crmcore.persistence.connection import Connection

Shape = Mapping[str, Mapping[str, Any]]
"""By table: columns, keys and indexes, by what they are."""

Rows = Mapping[str, Sequence[Mapping[str, Any]]]

_COUNT: Final = 3


def shape_of(connection: Connection, prefix: str) -> Shape:
    """Return what the tables whose names begin with *prefix* look like."""
    inspector = inspect(connection.sqlalchemy)
    return {table: dict(_parts(inspector, table)) for table in _named(inspector, prefix)}


def _named(inspector: Inspector, prefix: str) -> list[str]:
    return sorted(name for name in inspector.get_table_names() if name.startswith(prefix))


def _parts(inspector: Inspector, table: str) -> Iterator[tuple[str, Any]]:
    for column in inspector.get_columns(table):
        kind = str(column["type"]).partition(" COLLATE")[0]
        yield (
            f"column {column['name']}",
            f"{kind}{'' if column['nullable'] else ' NOT NULL'}",
        )
    yield "primary key", ", ".join(inspector.get_pk_constraint(table)["constrained_columns"])
    for key in inspector.get_foreign_keys(table):
        yield f"foreign key to {key['referred_table']}", ", ".join(key["constrained_columns"])
    for index in inspector.get_indexes(table):
        columns = ", ".join(str(each) for each in index["column_names"])
        yield f"index {index['name']}", f"{'unique on' if index['unique'] else 'on'} {columns}"
    for unique in inspector.get_unique_constraints(table):
        yield f"unique {', '.join(sorted(unique['column_names']))}", "there"


def unlike(expected: Shape, found: Shape) -> str:
    """Return in what tables differ, in words; nothing if they do not."""
    told = []
    for table in sorted({*expected, *found}):
        if table not in found:
            told.append(f"table {table!r} is not there")
        elif table not in expected:
            told.append(f"table {table!r} is there and not declared")
        else:
            wanted, there = expected[table], found[table]
            told += [
                f"{part} of table {table!r} is {there.get(part, 'missing')}, declared "
                f"{wanted.get(part, 'is none')}"
                for part in sorted({*wanted, *there})
                if wanted.get(part) != there.get(part)
            ]
    return "; ".join(told[:4])


def rows_of(connection: Connection, prefix: str) -> Rows:
    """Return the rows of the tables whose names begin with *prefix*."""
    names = _named(inspect(connection.sqlalchemy), prefix)
    return {
        name: [
            dict(row)
            for row in connection.sqlalchemy.execute(text(f"SELECT * FROM {name}")).mappings()
        ]
        for name in names
    }


def fill(connection: Connection, prefix: str) -> Rows:
    """Put rows into the tables whose names begin with *prefix*; returns what they hold then."""
    metadata = MetaData()
    inspector = inspect(connection.sqlalchemy)
    customers = [
        row[0]
        for row in connection.sqlalchemy.execute(text("SELECT customer_id FROM crm_customer"))
    ]
    for name in _named(inspector, prefix):
        table = Table(name, metadata, autoload_with=connection.sqlalchemy)
        for number in range(_COUNT):
            values = {
                column.name: _value(connection, column, number, customers)
                for column in table.columns
            }
            try:
                with connection.sqlalchemy.begin_nested():
                    connection.sqlalchemy.execute(table.insert().values(values))
            except IntegrityError:  # a check that nobody can guess, or a key to what is not there
                break
    return rows_of(connection, prefix)


def _value(connection: Connection, column: Any, number: int, customers: Sequence[int]) -> Any:
    """Return a value that a column can hold, another for each row."""
    if column.name == "customer_id":
        return customers[number % len(customers)]
    for key in column.foreign_keys:
        target = key.column
        found = connection.sqlalchemy.execute(select(target).order_by(target)).fetchall()
        return found[number % len(found)][0] if found else None
    kind = column.type.python_type
    return {int: number + 1, str: f"text {number}", bytes: bytes([number])}.get(kind, number)
