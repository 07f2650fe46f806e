"""Readers: the rows of a CSV, JSON Lines or Parquet file, one at a time, each with its line."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from operator import itemgetter
from pathlib import Path
from typing import IO, Any, ClassVar, Protocol

from attrs import define, field

from crmcore.errors import ConfigurationError, HistoryError
from crmcore.replay.mapping import Format, HistoryMapping
from crmcore.replay.parquet import ParquetTable
from crmcore.replay.tables import (
    Getter,
    Report,
    Row,
    Table,
    missing_columns,
    read_errors,
    walk,
)

ENDINGS: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}


def open_table(path: str | Path, mapping: HistoryMapping) -> Table:
    """
    Return the file's rows, having seen that every column of the mapping is there.

    Raises:
        HistoryError: If the file cannot be read, or misses a column.
        ConfigurationError: If its format is not known, or needs an extra that is not installed.
    """
    path = Path(path)
    form = mapping.format or ENDINGS.get(path.suffix.lower())
    columns = list(mapping.file_columns())
    table: Table
    if form == "parquet":
        # The key of a row that has no other is made of all its cells.
        whole_rows = mapping.key is None and not mapping.group_by
        table = ParquetTable.open(path, None if whole_rows else [c.column for _, c in columns])
    elif form == "jsonl":
        table = JsonLinesTable(path, encoding=_with_mark(mapping.encoding))
    elif form == "csv":
        table = CsvTable.open(path, mapping)
    else:
        raise ConfigurationError(
            f"{path}: the ending {path.suffix!r} says no format; "
            "set format in the mapping to csv, jsonl or parquet"
        )
    needed = {column.column: key for key, column in columns if not column.optional}
    for name, problem in table.missing(needed):
        raise HistoryError(
            f"the mapping's {needed[name]!r} names the column {name!r}, which {problem}",
            source=str(path),
        )
    return table


def _with_mark(encoding: str) -> str:
    # A byte order mark, which spreadsheets write, would become part of the first column's name.
    return "utf-8-sig" if encoding.lower().replace("_", "-") in ("utf-8", "utf8") else encoding


@contextmanager
def _open_text(path: Path, encoding: str, newline: str | None = None) -> Iterator[IO[str]]:
    """Open the file; what cannot be read or decoded in it is a history error with its line."""
    try:
        with read_errors(path), path.open(encoding=encoding, newline=newline) as file:
            yield file
    except UnicodeError as error:
        raise HistoryError(
            f"not {encoding.removesuffix('-sig')} text; "
            'set encoding in the mapping, such as encoding = "cp1252"',
            source=str(path),
            line=_undecodable_line(path, encoding),
        ) from error


def _undecodable_line(path: Path, encoding: str) -> int | None:
    if len("ab".encode(encoding)) - len("a".encode(encoding)) != 1:
        return None  # lines cannot be told apart before such text is decoded
    with path.open("rb") as file:
        for line, raw in enumerate(file, start=1):
            try:
                raw.decode(encoding)
            except UnicodeError:
                return line
    return None


# -------------------------------------------------------------------------------- CSV


class _Rows(Protocol):
    @property
    def line_num(self) -> int: ...

    def __next__(self) -> list[str]: ...


@define
class _BlankSeparated:
    """The counterpart of `csv.reader` for columns set apart by any run of blanks."""

    _lines: Iterator[str]
    line_num: int = 0

    def __next__(self) -> list[str]:
        line = next(self._lines)
        self.line_num += 1
        return line.split()


def _split(lines: Iterator[str], delimiter: str) -> _Rows:
    if delimiter == "whitespace":
        return _BlankSeparated(lines)
    # Strict: a quote that is never closed would otherwise swallow the rows up to the next one.
    return csv.reader(lines, delimiter=delimiter, strict=True)


def _header(path: Path, delimiter: str, encoding: str) -> tuple[str, ...]:
    with _open_text(path, encoding, newline="") as file:
        rows = _split(file, delimiter)
        try:
            while not (names := next(rows)):
                pass
        except StopIteration:
            raise HistoryError(
                "the file is empty; a header is expected", source=str(path)
            ) from None
        except csv.Error as error:
            raise HistoryError(f"not a header: {error}", source=str(path), line=1) from error
        return tuple(name.strip() for name in names)


@define
class CsvTable:
    """A file of cells set apart by one character, or by blanks; rows are lists of text."""

    path: Path
    names: tuple[str, ...]
    delimiter: str
    encoding: str
    has_header: bool
    uniform: ClassVar[bool] = True
    _in_order_of_names: Callable[[Row], Any] = field(init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        places = sorted(range(len(self.names)), key=self.names.__getitem__)
        # Given twice, the first place makes it a tuple also where it is the only one.
        self._in_order_of_names = itemgetter(*places, places[0])

    @classmethod
    def open(cls, path: Path, mapping: HistoryMapping) -> CsvTable:
        """Return the table, having read the header."""
        delimiter = mapping.delimiter or ("\t" if path.suffix.lower() == ".tsv" else ",")
        encoding = _with_mark(mapping.encoding)
        names = mapping.columns or _header(path, delimiter, encoding)
        return cls(path, names, delimiter, encoding, has_header=not mapping.columns)

    def missing(self, names: Collection[str]) -> Iterator[tuple[str, str]]:
        yield from missing_columns(names, self.names)
        counts = Counter(self.names)
        yield from ((n, f"is there {counts[n]} times") for n in names if counts[n] > 1)

    def place(self, name: str) -> int | None:
        return self.names.index(name) if name in self.names else None

    def getter(self, name: str) -> Getter:
        place = self.place(name)
        return (lambda row: None) if place is None else itemgetter(place)

    def rows(self, report: Report) -> Iterator[tuple[int, Row]]:
        width, header_is_due = len(self.names), self.has_header
        with _open_text(self.path, self.encoding, newline="") as file:
            rows = _split(file, self.delimiter)
            while True:
                line = rows.line_num + 1
                try:
                    row = next(rows)
                except StopIteration:
                    return
                except csv.Error as error:
                    report(f"not a row of cells: {error}", line)
                    continue
                if not row:
                    continue
                if header_is_due:
                    header_is_due = False
                # A delimiter too many at the end of each row is common, and harmless.
                elif len(row) == width or (len(row) > width and not any(row[width:])):
                    yield line, row
                else:
                    report(f"{len(row)} cells found, {width} expected", line)

    def content(self, row: Row) -> str:
        return "\x1f".join(self._in_order_of_names(row))


# ------------------------------------------------------------------------- JSON Lines


def _paths(row: Row, prefix: str = "") -> Iterator[str]:
    """Yield the path of everything in nested objects."""
    for name, value in row.items():
        yield prefix + name
        if isinstance(value, dict):
            yield from _paths(value, f"{prefix}{name}.")


def _not_a_number(text: str) -> Any:
    raise ValueError(f"JSON has no number {text}")


def _is_text(row: Row) -> bool:
    """Return whether all text of the row can be stored; JSON can write half a character."""
    try:
        json.dumps(row, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


@define
class JsonLinesTable:
    """A file with one JSON object a line; rows are dicts."""

    path: Path
    encoding: str
    uniform: ClassVar[bool] = False

    def missing(self, names: Collection[str]) -> Iterator[tuple[str, str]]:
        """Yield what no row has; reads only as far as needed to have seen all."""
        unseen, seen = set(names), dict[str, None]()
        problems: list[tuple[str, int]] = []
        for _, row in self.rows(lambda problem, line: problems.append((problem, line))):
            paths = dict.fromkeys(_paths(row))
            seen |= paths
            unseen -= paths.keys()
            if not unseen:
                return
        if not seen:
            problem, line = problems[0] if problems else ("the file is empty", None)
            raise HistoryError(problem, source=str(self.path), line=line)
        yield from missing_columns([name for name in names if name in unseen], seen)

    def place(self, name: str) -> int | None:
        return None

    def getter(self, name: str) -> Getter:
        return walk(name)

    def rows(self, report: Report) -> Iterator[tuple[int, Row]]:
        with _open_text(self.path, self.encoding) as file:
            for line, text in enumerate(file, start=1):
                if not (text := text.strip()):
                    continue
                try:
                    row = json.loads(text, parse_constant=_not_a_number)
                except json.JSONDecodeError as error:
                    report(f"not JSON: {error.msg}, at character {error.pos + 1}", line)
                    continue
                except (ValueError, RecursionError) as error:
                    report(f"not JSON: {error}", line)
                    continue
                if not isinstance(row, dict):
                    report("a JSON object, { name: value }, is expected", line)
                elif "\\ud" in text.lower() and not _is_text(row):
                    report("half of a character, as of an emoji that was cut in two", line)
                else:
                    yield line, row

    def content(self, row: Row) -> str:
        return json.dumps(row, sort_keys=True, separators=(",", ":"))
