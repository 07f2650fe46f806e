"""What all tables of the core share: metadata, column types and the revision of their shape."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import BigInteger, Column, Integer, MetaData, Sequence, Text

REVISION: Final = 4
"""Of the core's tables; a database with a higher one is from a newer crmcore."""

metadata = MetaData()

# SQLite makes a column the row's own number only where it is declared INTEGER; and it converts
# values of columns declared otherwise on connections that ask for it, so nothing else is used.
Whole: Final = BigInteger().with_variant(Integer(), "sqlite")

# Compared byte by byte on PostgreSQL too, so that no result depends on the database's collation.
Words: Final = Text().with_variant(Text(collation="C"), "postgresql")


def whole(name: str, **options: Any) -> Column[int]:
    """A 64-bit integer: an id, an amount in minor units, or an instant in microseconds UTC."""
    return Column(name, Whole, **{"nullable": False, **options})


def text(name: str, **options: Any) -> Column[str]:
    return Column(name, Words, **{"nullable": False, **options})


def ids(noun: str) -> Sequence:
    """Return the sequence that PostgreSQL takes the ids of *noun* from; SQLite needs none."""
    return Sequence(f"crm_{noun}_id", metadata=metadata)
