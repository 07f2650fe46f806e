"""Snapshot: a copy of all tables, opened to be asked; the same statements find the same in it."""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from sqlalchemy import Executable

from crmcore.domain.snapshot import SnapshotManifest
from crmcore.errors import ConfigurationError, InputError, StorageError
from crmcore.persistence.connection import Row
from crmcore.persistence.prepared import Prepared
from crmcore.services.snapshots.duck import DuckDialect
from crmcore.services.snapshots.taking import MANIFEST

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_DIALECT: Final = DuckDialect()
_KEPT: Final = 256  # statements that are not compiled again
_PATTERN: Final = re.compile(r"[*?\[]")  # what would stand for other files


class Snapshot:
    """
    A snapshot that `Crm.snapshot` took, opened in DuckDB; each table is a view over its file.

    Nothing is copied, and nothing is written. It is for one thread, as DuckDB's connections are.
    """

    def __init__(self, path: str | Path) -> None:
        """
        Open the snapshot in a directory; close it by a `with` block.

        Args:
            path: The directory.

        Raises:
            ConfigurationError: If DuckDB is not installed.
            InputError: If the directory is no snapshot, or not a whole one.
        """
        if not isinstance(path, str | Path):
            raise InputError(f"path is {path!r}; the directory of a snapshot is expected")
        self._path = Path(path)
        self._manifest = _manifest_in(self._path)
        self._prepared: OrderedDict[int, tuple[Executable, Prepared]] = OrderedDict()
        self._duckdb = _connect()
        try:
            for table in self._manifest.tables.values():
                self._view(table.name, self._path / table.file)
        except BaseException:
            self._duckdb.close()
            raise

    @property
    def manifest(self) -> SnapshotManifest:
        """What the snapshot says of itself: its instant, its tables, what was left out."""
        return self._manifest

    @property
    def duckdb(self) -> DuckDBPyConnection:
        """DuckDB's own connection, for SQL by hand and whatever else it can do."""
        return self._duckdb

    def execute(self, statement: Executable, **values: Any) -> list[Row]:
        """
        Run a Core statement, such as `crm.audience(...)`, and return its rows.

        A statement that is kept in a variable is compiled once.

        Args:
            statement: A select of the tables that crmcore and its plugins declare.
            values: Those of its named parameters.

        Raises:
            InputError: If it asks for a column that was left out.
            StorageError: If DuckDB refuses it.
        """
        import duckdb

        prepared = self._prepare(statement)
        try:
            return self._duckdb.execute(prepared.sql, prepared.bind(values)).fetchall()
        except duckdb.Error as error:
            raise self._refused(str(error), prepared.sql) from error

    def close(self) -> None:
        """Let go of the files."""
        self._duckdb.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _view(self, name: str, file: Path) -> None:
        import duckdb

        if not file.is_file():
            raise InputError(
                f"{str(self._path)!r} is not a whole snapshot: {file.name} is not there"
            )
        pattern = _PATTERN.sub(lambda found: f"[{found[0]}]", str(file.absolute()))
        quoted = pattern.replace("'", "''")
        try:
            self._duckdb.execute(
                f"CREATE VIEW {_named(name)} AS FROM "
                f"read_parquet('{quoted}', hive_partitioning = false)"
            )
        except duckdb.Error as error:
            raise InputError(f"{str(file)!r} cannot be read: {_first(str(error))}") from error

    def _prepare(self, statement: Executable) -> Prepared:
        found = self._prepared.get(id(statement))
        if found is not None:
            return found[1]
        prepared = Prepared.compile(statement, _DIALECT)
        # The statement is kept too, so that no other object can take over its id.
        self._prepared[id(statement)] = statement, prepared
        if len(self._prepared) > _KEPT:
            self._prepared.popitem(last=False)
        return prepared

    def _refused(self, told: str, sql: str) -> InputError | StorageError:
        for table in self._manifest.tables.values():
            for column in table.left_out:
                if f'"{column}"' in told and table.name in sql:
                    cure = f"; or plugin {table.plugin!r} declares which columns are personal"
                    return InputError(
                        f"column {column!r} of {table.name} is not in this snapshot, as it may "
                        "hold personal values; take one with them, by with_personal=True or "
                        f"--with-personal{cure if table.plugin else ''}"
                    )
        return StorageError(f"DuckDB refused a statement: {_first(told)}")


def _connect() -> DuckDBPyConnection:
    try:
        import duckdb
    except ImportError as error:
        raise ConfigurationError(
            "a snapshot is opened by DuckDB, which is not installed; install crmcore[snapshot]"
        ) from error
    # It would fetch what it lacks from the network.
    return duckdb.connect(":memory:", config={"autoinstall_known_extensions": "false"})


def _manifest_in(directory: Path) -> SnapshotManifest:
    try:
        told = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
        return SnapshotManifest.from_json(told)
    except FileNotFoundError as error:
        raise InputError(
            f"{str(directory)!r} is no snapshot: there is no {MANIFEST} in it; "
            "`crm snapshot DIRECTORY` takes one"
        ) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"the {MANIFEST} in {str(directory)!r} cannot be read ({error}); one that "
            "`crm snapshot` wrote is expected"
        ) from error


def _named(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _first(told: str) -> str:
    return told.partition("\n")[0]
