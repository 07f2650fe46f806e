"""Reading everything a database holds, to find what should not be there: tables, and bytes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import sqlalchemy
from attrs import frozen
from sqlalchemy import Text, bindparam, cast, column, select, text
from sqlalchemy.types import NullType

from crmcore.domain.spelling import Needle
from crmcore.persistence.connection import Connection
from crmcore.persistence.database import Database

_CHUNK: Final = 4 * 1024 * 1024
_PATIENCE: Final = 1000  # milliseconds
_OVERLAP: Final = 1024  # bytes: no spelling that is looked for is longer

_ON_SQLITE: Final = text("SELECT name, sql FROM sqlite_master WHERE type = 'table' ORDER BY name")
_ON_POSTGRESQL: Final = text(
    "SELECT c.relname, a.attname, format_type(a.atttypid, NULL) FROM pg_class c "
    "JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped "
    "WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p', 'm') "
    "AND NOT c.relispartition ORDER BY c.relname, a.attnum"
)
_NUMBERS: Final = frozenset(
    ("bigint", "integer", "smallint", "boolean", "xid8", "xid", "oid", "real", "double precision")
)
_VIRTUAL: Final = re.compile(r"CREATE\s+VIRTUAL\s+TABLE", re.I)
_FULL_TEXT: Final = re.compile(r"\bUSING\s+fts5\b", re.I)
_QUOTED: Final = re.compile(r'"')


@frozen
class Searched:
    """
    A table as it is read: the columns that may hold a text.

    Attributes:
        as_bytes: Those of them that PostgreSQL would write as digits, were they cast to a text.
    """

    name: str
    columns: tuple[str, ...]
    as_bytes: frozenset[str] = frozenset()


def tables(connection: Connection) -> list[Searched]:
    """Return every table there is, of whomever, less partitions and virtual ones."""
    if not connection.database.portable.is_sqlite:
        found: dict[str, dict[str, str]] = {}
        for name, attribute, kind in connection.execute(_ON_POSTGRESQL):
            found.setdefault(name, {})
            if kind not in _NUMBERS:
                found[name][attribute] = kind
        return [
            Searched(name, tuple(kinds), frozenset(c for c, k in kinds.items() if k == "bytea"))
            for name, kinds in found.items()
        ]
    run = connection.sqlalchemy.exec_driver_sql
    return [
        Searched(name, tuple(row[1] for row in run(f"PRAGMA table_info({_quoted(name)})")))
        for name, sql in connection.execute(_ON_SQLITE)
        if not _VIRTUAL.match(sql or "")
    ]


def full_text(connection: Connection) -> list[str]:
    """Return the names of SQLite's indexes of full text."""
    if not connection.database.portable.is_sqlite:
        return []
    rows = connection.execute(_ON_SQLITE)
    return [name for name, sql in rows if _VIRTUAL.match(sql or "") and _FULL_TEXT.search(sql)]


def read(
    connection: Connection, table: Searched, owners: Sequence[str]
) -> Iterator[tuple[tuple[Any, ...], tuple[Any, ...]]]:
    """Yield for each row whose it is, by the columns in *owners*, and what it says."""
    on_sqlite = connection.database.portable.is_sqlite
    whose = [column(name, NullType()) for name in owners]
    said: list[Any] = [column(name, Text()) for name in table.columns]
    if not said:
        return
    if not on_sqlite:
        said = [each if each.name in table.as_bytes else cast(each, Text) for each in said]
    statement = select(*whose, *said).select_from(sqlalchemy.table(table.name))
    for rows in connection.stream(statement):
        for row in rows:
            yield row[: len(whose)], row[len(whose) :]


def is_indexed(connection: Connection, index: str, phrase: str) -> bool:
    """Return whether an index of full text finds a phrase."""
    name = _quoted(index)
    wanted = '"' + _QUOTED.sub('""', phrase) + '"'
    found = text(f"SELECT 1 FROM {name} WHERE {name} MATCH :phrase LIMIT 1")
    statement = found.bindparams(bindparam("phrase", type_=Text()))
    return bool(connection.sqlalchemy.execute(statement, {"phrase": wanted}).fetchone())


def tidy_indexes(database: Database) -> None:
    """Let crmcore's indexes of full text drop what was deleted from them."""
    with database.begin() as connection:
        for name in full_text(connection):
            if name.startswith("crm_"):
                quoted = _quoted(name)
                connection.sqlalchemy.exec_driver_sql(
                    f"INSERT INTO {quoted}({quoted}) VALUES ('optimize')"
                )


def files_of(database: Database) -> list[Path]:
    """Return the files of a SQLite database that are there."""
    path = database.engine.url.database
    if not database.portable.is_sqlite or database.is_in_memory or path is None:
        return []
    path = path.removeprefix("file:").partition("?")[0]
    return [
        each for each in (Path(path + end) for end in ("", "-wal", "-journal")) if each.exists()
    ]


def found_in(path: Path, wanted: Mapping[bytes, Needle]) -> set[Needle]:
    """Return those of *wanted*, by their spellings in bytes, that stand in a file."""
    found: set[Needle] = set()
    with path.open("rb") as file:
        kept = b""
        while chunk := file.read(_CHUNK):
            folded = (kept + chunk).lower()
            for spelling, needle in wanted.items():
                if needle in found or spelling not in folded:
                    continue
                if not needle.is_word or _stands_alone(spelling, folded):
                    found.add(needle)
            kept = folded[-_OVERLAP:]
    return found


def _stands_alone(word: bytes, folded: bytes) -> bool:
    return re.search(rb"(?<![a-z0-9])%b(?![a-z0-9])" % re.escape(word), folded) is not None


def empty_log(database: Database) -> bool:
    """Write SQLite's log into its file and cut it off; returns whether nobody stood in the way."""
    if not database.portable.is_sqlite:
        return True
    with database.engine.connect() as opened:
        run = opened.connection.driver_connection.execute  # type: ignore[union-attr]
        # Nobody can write while it waits for those who read, so it does not wait for long.
        (patience,) = run("PRAGMA busy_timeout").fetchone()
        run(f"PRAGMA busy_timeout = {_PATIENCE}").fetchall()
        try:
            row = run("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        finally:
            run(f"PRAGMA busy_timeout = {patience}").fetchall()
    return row is None or row[0] == 0


def write_anew(database: Database) -> bool:
    """Write the whole database anew, without what was deleted; False where others are at it."""
    with database.engine.connect() as opened:
        raw: Any = opened.connection.driver_connection
        try:
            raw.execute("VACUUM")
        except database.statements.driver_error:
            return False
    return empty_log(database)


def overwrite(connection: Connection) -> None:
    """Let SQLite overwrite with zeros what the transaction deletes."""
    if connection.database.portable.is_sqlite:
        connection.sqlalchemy.exec_driver_sql("PRAGMA secure_delete = ON").fetchall()


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
