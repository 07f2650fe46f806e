"""Partitions: on PostgreSQL, the tables of customers may be cut into pieces by customer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from sqlalchemy import Table, bindparam, column, func, select, table, text

from crmcore.errors import ConfigurationError, SchemaError
from crmcore.persistence.connection import Connection
from crmcore.persistence.customers import identifier
from crmcore.persistence.settings import read_setting, write_setting

PARTITIONS: Final = "partitions"
CUSTOMER: Final = "customer_id"
MOST: Final = 1024

_class = table("pg_class", column("oid"), column("relname"), column("relispartition"))
_pieces = select(_class.c.relname).where(
    _class.c.relispartition, func.pg_table_is_visible(_class.c.oid)
)
_KEYS = text(
    "SELECT conname, pg_get_constraintdef(oid), contype = 'p', ARRAY(SELECT attname::text FROM "
    "pg_attribute WHERE attrelid = conrelid AND attnum = ANY (conkey)) FROM pg_constraint "
    "WHERE conrelid = to_regclass(:whole) AND contype IN ('p', 'u', 'f') ORDER BY conname"
).bindparams(bindparam("whole"))
_INDEXES = text(
    "SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = to_regclass(:whole) "
    "AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid) ORDER BY indexrelid"
).bindparams(bindparam("whole"))


def start_partitions(connection: Connection, wanted: int, tables: Iterable[Table]) -> None:
    """
    Cut *tables*, which were just created, into *wanted* partitions each; 0: leave them whole.

    Whatever is created in this database later follows; see `follow_partitions`.
    """
    _check(connection, wanted)
    if wanted:
        write_setting(connection, PARTITIONS, str(wanted))
        for each in tables:
            follow_partitions(connection, each)


def check_partitions(connection: Connection, wanted: int) -> None:
    """
    Refuse another number of partitions than the database was first used with; 0 is any.

    Raises:
        ConfigurationError: If it is no number of partitions, or SQLite is to have some.
        SchemaError: If the database has another number.
    """
    _check(connection, wanted)
    kept = int(read_setting(connection, PARTITIONS) or 0)
    if wanted not in (0, kept):
        raise SchemaError(
            f"the tables of customers have {kept or 'no'} partitions and the configuration says "
            f"{wanted}; the number is fixed with the first use of a database"
        )


_SEQUENCES: Final = text(
    "SELECT d.objid::regclass::text, a.attname FROM pg_depend d "
    "JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S' "
    "JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid "
    "WHERE d.refobjid = to_regclass(:whole) AND d.deptype = 'a'"
)


def follow_partitions(connection: Connection, created: Table) -> None:
    """
    Cut a table that was just created into as many partitions as the database has.

    Tables that are not by customer stay whole; so do identifiers, which are found by their own
    value. What is unique holds the customer from then on, as PostgreSQL demands.
    """
    if connection.database.portable.is_sqlite:
        return
    count = int(read_setting(connection, PARTITIONS) or 0)
    if count and CUSTOMER in created.columns and created.name != identifier.name:
        _cut(connection, created.name, count)


def partitions_of(connection: Connection) -> frozenset[str]:
    """Return the names of all partitions, which are tables too, but none of anybody's own."""
    if connection.database.portable.is_sqlite:
        return frozenset()
    return frozenset(name for (name,) in connection.execute(_pieces))


def _check(connection: Connection, wanted: int) -> None:
    if type(wanted) is not int or not 0 <= wanted <= MOST:
        raise ConfigurationError(
            f"partitions is {wanted!r}; a whole number from 0 (none) to {MOST} is expected"
        )
    if wanted and connection.database.portable.is_sqlite:
        raise ConfigurationError(
            f"partitions is {wanted}, and SQLite has none; leave it out, or use PostgreSQL"
        )


def _cut(connection: Connection, name: str, count: int) -> None:
    """
    Put a partitioned table in the place of an empty one.

    A table cannot become partitioned, so another is made like it. Made from the table as it is
    in the database, it has whatever events and revisions gave it beyond its definition here.
    """
    database = connection.sqlalchemy
    keys = [_key(*row) for row in database.execute(_KEYS, {"whole": name}).all()]
    indexes = [row[0] for row in database.execute(_INDEXES, {"whole": name}).all()]
    counted = database.execute(_SEQUENCES, {"whole": name}).all()
    statements = (
        f"ALTER TABLE {name} RENAME TO {name}_whole",
        f"CREATE TABLE {name} (LIKE {name}_whole INCLUDING ALL EXCLUDING INDEXES) "
        f"PARTITION BY HASH ({CUSTOMER})",
        # What numbers a column would be dropped with the table that it was made for.
        *(f"ALTER SEQUENCE {sequence} OWNED BY {name}.{column}" for sequence, column in counted),
        f"DROP TABLE {name}_whole",
        *(f"ALTER TABLE {name} ADD CONSTRAINT {key}" for key in keys),
        *indexes,
        *(
            f"CREATE TABLE {name}_p{place} PARTITION OF {name} "
            f"FOR VALUES WITH (MODULUS {count}, REMAINDER {place})"
            for place in range(count)
        ),
    )
    database.exec_driver_sql("; ".join(statements).replace("%", "%%"))  # none is a placeholder


def _key(name: str, definition: str, is_primary: bool, columns: Iterable[str]) -> str:
    """Return the definition of a key; a primary one gets the customer, if it has none."""
    if is_primary and CUSTOMER not in columns:
        definition = f"{definition.removesuffix(')')}, {CUSTOMER})"
    return f"{name} {definition}"
