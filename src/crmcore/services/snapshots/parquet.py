"""Parquet: rows written to a file a part at a time; pyarrow is not imported before."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import sqlalchemy
from sqlalchemy import Column
from sqlalchemy.types import TypeEngine

from crmcore.errors import ConfigurationError, StorageError

_GROUP: Final = 100_000  # rows that a reader takes at once
_BYTES: Final = 64 * 1024 * 1024  # or fewer, where they are long

Rows = Iterable[Sequence[Sequence[Any]]]


def pyarrow() -> ModuleType:
    """
    Return the module that writes Parquet.

    Raises:
        ConfigurationError: If it is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ConfigurationError(
            "a snapshot needs pyarrow, which is not installed; install crmcore[snapshot]"
        ) from error
    return pyarrow  # type: ignore[no-any-return]


def write(path: Path, name: str, columns: Sequence[Column[Any]], rows: Rows) -> int:
    """
    Write the rows of table *name* to a new file, and return how many there were.

    What is in memory does not depend on their number.

    Raises:
        OSError: If the file cannot be written.
        StorageError: If a value is not what its column says.
    """
    arrow = pyarrow()
    kinds = [_kind_of(arrow, each.type) for each in columns]
    schema = arrow.schema([(c.name, k) for c, (k, _) in zip(columns, kinds, strict=True)])
    count = 0
    with path.open("xb") as file:
        try:
            with arrow.parquet.ParquetWriter(file, schema, compression="zstd") as writer:
                waiting: list[Any] = []
                for some in rows:
                    waiting.append(_batch(arrow, schema, kinds, some))
                    count += len(some)
                    if _is_enough(waiting):
                        writer.write_table(arrow.Table.from_batches(waiting, schema))
                        waiting = []
                if waiting:
                    writer.write_table(arrow.Table.from_batches(waiting, schema))
        except arrow.ArrowException as error:
            told = str(error).partition("\n")[0]
            raise StorageError(f"table {name} holds what its columns do not say: {told}") from error
        file.flush()
        os.fsync(file.fileno())
    return count


def _is_enough(waiting: Sequence[Any]) -> bool:
    rows: int = sum(each.num_rows for each in waiting)
    size: int = sum(each.nbytes for each in waiting)
    return rows >= _GROUP or size >= _BYTES


def _batch(arrow: ModuleType, schema: Any, kinds: Sequence[Any], some: Sequence[Any]) -> Any:
    made = []
    for (kind, convert), values in zip(kinds, zip(*some, strict=True), strict=True):
        if convert is not None:
            values = tuple(None if each is None else convert(each) for each in values)
        made.append(arrow.array(values, type=kind))
    return arrow.record_batch(made, schema=schema)


def _kind_of(arrow: ModuleType, of: TypeEngine[Any]) -> tuple[Any, Callable[[Any], Any] | None]:
    """Return the type that a column has in Parquet, and what brings its values into it."""
    if isinstance(of, sqlalchemy.Integer):
        return arrow.int64(), None
    if isinstance(of, sqlalchemy.Boolean):
        return arrow.bool_(), None
    if isinstance(of, sqlalchemy.Float):
        return arrow.float64(), None
    if isinstance(of, sqlalchemy.LargeBinary):
        return arrow.binary(), bytes
    if isinstance(of, sqlalchemy.String) and not isinstance(of, sqlalchemy.Enum):
        return arrow.string(), None
    if isinstance(of, sqlalchemy.DateTime):
        return arrow.timestamp("us", tz="UTC" if of.timezone else None), None
    if isinstance(of, sqlalchemy.Date):
        return arrow.date32(), None
    if "JSON" in type(of).__name__.upper():
        return arrow.string(), _json
    return arrow.string(), str


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)
