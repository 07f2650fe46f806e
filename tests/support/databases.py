"""The kind of database under test, and databases of that kind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from crmcore.persistence.database import Database
from crmcore.services.starting.catalogue import open_schema
from crmcore.testing.databases import KINDS, drop_schema, dsn, new_schema, server

__all__ = [
    "KINDS",
    "PARTITIONED",
    "drop_schema",
    "dsn",
    "making",
    "new_schema",
    "present_kind",
    "scratch",
    "server",
    "shop_file",
]

PARTITIONED = "partitioned"
"""PostgreSQL too, with the customers' tables partitioned."""

PARTITIONS = 2  # they take time to make; tests/integration/test_partitions.py has more


class _UnderTest:
    kind = "sqlite"
    schemas: ClassVar[list[str]] = []


@contextmanager
def making(kind: str) -> Iterator[None]:
    """Let `scratch` and `shop_file` make databases of that kind, and drop them in the end."""
    _UnderTest.kind, _UnderTest.schemas = kind, []
    try:
        yield
    finally:
        for url in _UnderTest.schemas:
            drop_schema(url)
        _UnderTest.kind, _UnderTest.schemas = "sqlite", []


def present_kind() -> str:
    """Return the kind of database under test: one of `KINDS`, or `PARTITIONED`."""
    return _UnderTest.kind


def scratch() -> str:
    """Return the URL of an empty database of the kind under test, which is opened once."""
    return "sqlite://" if present_kind() == "sqlite" else _schema_under_test()


def shop_file(folder: Path, name: str = "shop") -> str:
    """
    Return the URL of an empty database of the kind under test, which is opened several times.

    On SQLite it is a file in *folder*.
    """
    return f"sqlite:///{folder}/{name}.db" if present_kind() == "sqlite" else _schema_under_test()


def _schema_under_test() -> str:
    url = new_schema()
    _UnderTest.schemas.append(url)
    if present_kind() == PARTITIONED:
        database = Database(url, durable=False)
        open_schema(database, 0, partitions=PARTITIONS)
        database.close()
    return url
