"""Ids, known before the rows that bear them are written."""

from __future__ import annotations

from collections.abc import Sequence as Listed

from sqlalchemy import Column, Sequence, bindparam, func, select
from sqlalchemy.sql import literal_column

from crmcore.persistence.connection import Connection
from crmcore.persistence.schema import Whole


def next_ids(
    connection: Connection, sequence: Sequence, column: Column[int], count: int
) -> Listed[int]:
    """
    Return *count* ids that nobody has, ascending, for the table that *column* is the key of.

    On SQLite they follow the highest one: the transaction has the write lock. On PostgreSQL they
    come from *sequence*, which gives none twice; another transaction may have some in between.
    """
    database = connection.database
    if database.portable.is_sqlite:
        highest = database.once(f"highest {sequence.name}", lambda: select(func.max(column)))
        low = (connection.execute(highest)[0][0] or 0) + 1
        return range(low, low + count)
    following = database.once(
        f"next {sequence.name}",
        lambda: select(sequence.next_value()).select_from(
            func.generate_series(literal_column("1"), bindparam("count", type_=Whole))
        ),
    )
    found = sorted(row[0] for row in connection.execute(following, count=count))
    if found[-1] - found[0] == count - 1:
        return range(found[0], found[-1] + 1)
    return found
