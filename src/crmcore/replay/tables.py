"""Tables: what every kind of history file offers, and what their readers share."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import Any, ClassVar, Protocol

from crmcore.errors import HistoryError, nearest
from crmcore.replay.columns import Column

Row = Any
"""One row, in whatever shape its reader has it; only getters take it apart."""
Getter = Callable[[Row], Any]
Report = Callable[[str, int], None]
"""Told what is wrong with a row, and its line; raises, or returns to go on with the next row."""


class Table(Protocol):
    """
    The rows of one file.

    Rows stay as the file's library makes them, and what takes a cell out of them is made once:
    a dictionary for each of a million rows would be most of the work.
    """

    path: Path
    uniform: ClassVar[bool]
    """Whether the cells of a column are all of one type, so that equal ones mean the same."""

    def missing(self, names: Collection[str]) -> Iterator[tuple[str, str]]:
        """Yield those columns that the file has not, or not once, and what is wrong with each."""

    def place(self, name: str) -> int | None:
        """Return the column's index in every row, if it has one."""

    def getter(self, name: str) -> Getter:
        """Return what takes the column's cell out of a row; None for one that is missing."""

    def rows(self, report: Report) -> Iterator[tuple[int, Row]]:
        """Yield each row with its line, the first being 1; lines that are no rows are reported."""

    def content(self, row: Row) -> str:
        """Return a text that equals another row's if all their cells do, in whatever order."""


def bind(table: Table, column: Column) -> Getter:
    """Return what takes the cell that *column* describes out of a row of *table*."""
    return _cut(table.getter(column.column), column.without_prefix)


def bind_item(column: Column) -> Getter:
    """Return what takes the field that *column* describes out of an item of a list."""
    return _cut(walk(column.column), column.without_prefix)


def _cut(get: Getter, prefix: str) -> Getter:
    if not prefix:
        return get

    def without_prefix(row: Row) -> Any:
        cell = get(row)
        return cell.strip().removeprefix(prefix) if isinstance(cell, str) else cell

    return without_prefix


def bind_all(table: Table, columns: Sequence[Column]) -> Callable[[Row], tuple[Any, ...]]:
    """Return what takes several cells out of a row of *table*, as a tuple."""
    places = [table.place(column.column) for column in columns if not column.without_prefix]
    if len(places) == len(columns) > 1 and None not in places:
        several: Callable[[Row], tuple[Any, ...]] = itemgetter(*places)
        return several
    getters = [bind(table, column) for column in columns]
    if len(getters) == 1:
        only = getters[0]
        return lambda row: (only(row),)
    return lambda row: tuple([get(row) for get in getters])


def walk(name: str) -> Getter:
    """Return what follows the path *name* into nested dicts; None where it leads nowhere."""
    first, dot, rest = name.partition(".")
    if not dot:
        return lambda row: row.get(name) if isinstance(row, dict) else None
    deeper = walk(rest)

    def get(row: Row) -> Any:
        if not isinstance(row, dict):
            return None
        return row[name] if name in row else deeper(row.get(first))

    return get


def missing_columns(names: Iterable[str], known: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield each name that is not known, with what to say of it."""
    for name in names:
        if name not in known:
            hint = nearest(name, known) or f"; there are: {', '.join(islice(known, 20))}"
            yield name, f"is not there{hint}"


@contextmanager
def read_errors(path: Path) -> Iterator[None]:
    """Turn what the operating system says into a history error."""
    try:
        yield
    except OSError as error:
        raise HistoryError(error.strerror or str(error), source=str(path)) from error
