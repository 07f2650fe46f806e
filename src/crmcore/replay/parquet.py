"""Parquet: the reader that needs pyarrow, which is not imported before a file is opened."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from itertools import count
from operator import itemgetter
from pathlib import Path
from typing import Any, ClassVar

from attrs import define

from crmcore.errors import ConfigurationError, HistoryError
from crmcore.replay.tables import (
    Getter,
    Report,
    Row,
    missing_columns,
    read_errors,
    walk,
)


@define
class ParquetTable:
    """A Parquet file; rows are tuples, and lines are numbers of rows, the first being 1."""

    path: Path
    names: tuple[str, ...]
    """The columns that are read."""
    known: dict[str, None]
    """All columns of the file, with the paths into nested ones."""
    uniform: ClassVar[bool] = True

    @classmethod
    def open(cls, path: Path, wanted: Collection[str] | None) -> ParquetTable:
        """Return the table of the *wanted* columns, or of all."""
        with _parquet_file(path) as file:
            schema = file.schema_arrow
        known = dict.fromkeys(name for field in schema for name in _paths(field, field.name))
        tops = (
            None
            if wanted is None
            else {n if n in schema.names else n.partition(".")[0] for n in wanted}
        )
        names = tuple(name for name in schema.names if tops is None or name in tops)
        return cls(path, names, known)

    def missing(self, names: Collection[str]) -> Iterator[tuple[str, str]]:
        return missing_columns(names, self.known)

    def place(self, name: str) -> int | None:
        return self.names.index(name) if name in self.names else None

    def getter(self, name: str) -> Getter:
        place = self.place(name)
        if place is not None:
            return itemgetter(place)
        top, _, path = name.partition(".")
        place = self.place(top)
        if place is None or name not in self.known:
            return lambda row: None
        outer, inner = itemgetter(place), walk(path)
        return lambda row: inner(outer(row))

    def rows(self, report: Report) -> Iterator[tuple[int, Row]]:
        lines = count(1)
        with _parquet_file(self.path) as file:
            # Small batches: as Python objects, a value takes ten times its room in the file.
            for batch in file.iter_batches(batch_size=8_192, columns=list(self.names)):
                cells = [_in_microseconds(column).to_pylist() for column in batch.columns]
                for row in zip(*cells, strict=True):
                    yield next(lines), row

    def content(self, row: Row) -> str:
        named = sorted(zip(self.names, map(repr, row), strict=True))
        return "\x1f".join([cell for _, cell in named])


def _paths(field: Any, name: str) -> Iterator[str]:
    """Yield the path of a column and of everything nested in it."""
    yield name
    if hasattr(field.type, "num_fields") and str(field.type).startswith("struct"):
        for place in range(field.type.num_fields):
            inner = field.type.field(place)
            yield from _paths(inner, f"{name}.{inner.name}")


def _in_microseconds(column: Any) -> Any:
    """Return the column with its instants in microseconds, which is all that Python can hold."""
    if str(column.type).startswith("timestamp[ns"):
        import pyarrow

        return column.cast(pyarrow.timestamp("us", tz=column.type.tz), safe=False)
    return column


@contextmanager
def _parquet_file(path: Path) -> Iterator[Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ConfigurationError(
            f"{path}: reading Parquet needs pyarrow; install crmcore[parquet]"
        ) from error
    try:
        with read_errors(path), path.open("rb") as raw, pyarrow.parquet.ParquetFile(raw) as file:
            yield file
    except pyarrow.ArrowException as error:
        problem = str(error).partition("\n")[0]
        raise HistoryError(f"not a Parquet file: {problem}", source=str(path)) from error
