"""The database: an engine, its transactions, and statements that go to the driver directly."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import sqlalchemy
from sqlalchemy import ColumnElement, Executable, Table, bindparam, cast, create_engine, event, func
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Engine, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from crmcore.errors import ConfigurationError, StorageError
from crmcore.persistence.prepared import Prepared

_CACHED = 512  # statements kept compiled for each engine; those of the core are about 60
Row = tuple[Any, ...]
T = TypeVar("T")


class Portable:
    """The few constructs that the two databases write differently."""

    def __init__(self, dialect_name: str) -> None:
        self.is_sqlite = dialect_name == "sqlite"
        self.insert: Callable[[Any], Any] = sqlite.insert if self.is_sqlite else postgresql.insert

    def is_in(self, column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
        """Return the condition that *column* is in a list of whole numbers, given as JSON."""
        listed = bindparam(name, type_=sqlalchemy.Text())
        if self.is_sqlite:
            return column.in_(
                sqlalchemy.select(func.json_each(listed).table_valued("value").c.value)
            )
        items = func.json_array_elements_text(cast(listed, postgresql.JSON)).table_valued("value")
        return column.in_(sqlalchemy.select(cast(items.c.value, sqlalchemy.BigInteger)))

    def replace(self, table: Table, keep: Collection[str] = ()) -> Executable:
        """Return the upsert of a whole row of *table*; columns in *keep* stay as they are."""
        statement = self.insert(table)
        key = [column.name for column in table.primary_key.columns]
        rest = [c.name for c in table.columns if c.name not in key and c.name not in keep]
        if not rest:
            return statement.on_conflict_do_nothing()  # type: ignore[no-any-return]
        return statement.on_conflict_do_update(  # type: ignore[no-any-return]
            index_elements=key, set_={name: statement.excluded[name] for name in rest}
        )


def json_list(numbers: Iterable[int]) -> str:
    """Return whole numbers as `Portable.is_in` takes them."""
    return f"[{','.join(map(str, numbers))}]"


class Connection:
    """One open transaction. Statements are compiled once, and run on the driver's cursor."""

    def __init__(self, database: Database, connection: sqlalchemy.Connection) -> None:
        self.database = database
        self.sqlalchemy = connection
        self._cursor = connection.connection.cursor()
        self._savepoints = 0

    def execute(self, statement: Executable, **values: Any) -> list[Row]:
        """Run a statement and return its rows, if it has any."""
        prepared = self.database.prepare(statement)
        cursor = self._run(prepared.sql, prepared.bind(values))
        return cursor.fetchall() if cursor.description is not None else []

    def change(self, statement: Executable, **values: Any) -> int:
        """Run a statement and return how many rows it wrote."""
        prepared = self.database.prepare(statement)
        return int(self._run(prepared.sql, prepared.bind(values)).rowcount)

    def stream(
        self, statement: Executable, size: int = 5000, **values: Any
    ) -> Iterator[Sequence[Row]]:
        """Run a statement and yield its rows in lists of at most *size*."""
        prepared = self.database.prepare(statement)
        cursor = self.sqlalchemy.connection.cursor()
        try:
            self._run(prepared.sql, prepared.bind(values), cursor)
            while rows := cursor.fetchmany(size):
                yield rows
        finally:
            cursor.close()

    def change_many(self, statement: Executable, rows: Sequence[Mapping[str, Any]]) -> int:
        """Run a statement for each of *rows*, in one call, and return how many rows it wrote."""
        if not rows:
            return 0
        prepared = self.database.prepare(statement)
        return self._run_many(prepared.sql, [prepared.bind(row) for row in rows])

    def insert_rows(self, statement: Executable, rows: Sequence[Row]) -> int:
        """Run an `insert(table)` for rows that hold a value for every column, in their order."""
        if not rows:
            return 0
        prepared = self.database.prepare(statement)
        if prepared.positional:
            return self._run_many(prepared.sql, rows)
        return self._run_many(
            prepared.sql, [dict(zip(prepared.names, row, strict=True)) for row in rows]
        )

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Undo what is done inside if it raises."""
        self._savepoints += 1
        name = f"crm_{self._savepoints}"
        self._run(f"SAVEPOINT {name}", ())
        try:
            yield
        except BaseException:
            self._run(f"ROLLBACK TO SAVEPOINT {name}", ())
            self._run(f"RELEASE SAVEPOINT {name}", ())
            raise
        else:
            self._run(f"RELEASE SAVEPOINT {name}", ())
        finally:
            self._savepoints -= 1

    def _run(self, sql: str, values: Any, cursor: Any = None) -> Any:
        cursor = self._cursor if cursor is None else cursor
        try:
            cursor.execute(sql, values)
        except self.database.driver_error as error:
            raise _translated(error, sql) from error
        return cursor

    def _run_many(self, sql: str, rows: Sequence[Any]) -> int:
        try:
            self._cursor.executemany(sql, rows)
        except self.database.driver_error as error:
            raise _translated(error, sql) from error
        return int(self._cursor.rowcount)

    def close(self) -> None:
        self._cursor.close()


def _translated(error: BaseException, sql: str) -> StorageError:
    start = " ".join(sql.split())[:120]
    return StorageError(f"the database refused a statement: {error} ({start} ...)")


class Database:
    """One database, and the statements compiled for it."""

    def __init__(self, url: str, *, durable: bool = True) -> None:
        """
        Open *url* lazily; *durable* False gives up safety against power failure, for scratch.

        Raises:
            ConfigurationError: If the URL is malformed or its driver is not installed.
        """
        try:
            parsed = make_url(url)
            if parsed.get_backend_name() not in ("sqlite", "postgresql"):
                raise ConfigurationError(
                    f"database {parsed.render_as_string()!r} is of no kind crmcore knows; "
                    "sqlite and postgresql+psycopg are"
                )
            options: dict[str, Any] = (
                {"connect_args": {"timeout": 30}} if parsed.get_backend_name() == "sqlite" else {}
            )
            self.engine: Engine = create_engine(parsed, **options)
        except (ArgumentError, ModuleNotFoundError) as error:
            raise ConfigurationError(
                f"database {url!r} cannot be opened: {error}; a URL such as "
                "'sqlite:///crm.db' is expected"
            ) from error
        self.dialect = self.engine.dialect
        self.portable = Portable(self.dialect.name)
        self.driver_error: type[Exception] = self.dialect.dbapi.Error  # type: ignore[union-attr]
        self._made: dict[str, Any] = {}
        self._prepared: OrderedDict[int, tuple[Executable, Prepared]] = OrderedDict()
        if self.portable.is_sqlite:
            _set_up_sqlite(self.engine, durable=durable)

    def prepare(self, statement: Executable) -> Prepared:
        """Return the compiled statement; it is compiled once for each statement object."""
        found = self._prepared.get(id(statement))
        if found is not None:
            return found[1]
        prepared = Prepared.compile(statement, self.dialect)
        # The statement is kept too, so that no other object can take over its id.
        self._prepared[id(statement)] = statement, prepared
        if len(self._prepared) > _CACHED:
            self._prepared.popitem(last=False)
        return prepared

    def once(self, name: str, build: Callable[[], T]) -> T:
        """Return what *build* made the first time it was asked for under *name*."""
        if name not in self._made:
            self._made[name] = build()
        return self._made[name]  # type: ignore[no-any-return]

    @contextmanager
    def begin(self, *, read_only: bool = False) -> Iterator[Connection]:
        """Open a transaction: leaving cleanly commits, an exception rolls back."""
        try:
            opened = self.engine.connect()
        except SQLAlchemyError as error:
            raise StorageError(f"the database cannot be opened: {error.args[0]}") from error
        with opened:
            if read_only:
                opened = opened.execution_options(crmcore_read_only=True)
            try:
                transaction = opened.begin()
            except self.driver_error as error:
                raise StorageError(f"no transaction could be opened: {error}") from error
            with transaction:
                connection = Connection(self, opened)
                try:
                    yield connection
                finally:
                    connection.close()

    def close(self) -> None:
        self.engine.dispose()


def _set_up_sqlite(engine: Engine, *, durable: bool) -> None:
    @event.listens_for(engine, "connect")
    def _(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # the driver opens no transaction of its own
        for pragma in (
            "journal_mode = WAL" if durable else "journal_mode = MEMORY",
            "synchronous = FULL" if durable else "synchronous = OFF",
            "cache_size = -32768",
            "temp_store = MEMORY",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _(connection: sqlalchemy.Connection) -> None:
        read_only = connection.get_execution_options().get("crmcore_read_only", False)
        # A writer takes its lock at once: waiting for it later could only end in an error.
        begin = "BEGIN" if read_only else "BEGIN IMMEDIATE"
        connection.connection.driver_connection.execute(begin)  # type: ignore[union-attr]
