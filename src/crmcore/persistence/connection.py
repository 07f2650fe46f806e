"""One open transaction: statements compiled once and run on the driver's cursor."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy
from sqlalchemy import Executable, inspect
from sqlalchemy.engine import Dialect
from sqlalchemy.engine.reflection import Inspector

from crmcore.errors import RetryTransaction, StorageError
from crmcore.persistence.portable import Portable
from crmcore.persistence.prepared import CopiedInto, Prepared

if TYPE_CHECKING:
    from crmcore.persistence.database import Database

Row = tuple[Any, ...]

_CACHED = 512  # statements kept compiled for each driver; those of the core are about 60
_COPIED = 64  # from so many rows on, COPY is cheaper than one statement for each
# admin_shutdown, crash_shutdown, cannot_connect_now; 08 is the class of lost connections
_SHUT_DOWN = frozenset({"57P01", "57P02", "57P03"})
_WAITED = "55P03"  # lock_not_available: after as long as SQLite would wait
OPEN_ELSEWHERE: Final = (
    "if this thread has a transaction of the shop's own open, use crm.join in it"
)
_RETRIED = frozenset({"40001", "40P01"})  # serialization_failure, deadlock_detected
_STARTING = int.from_bytes(b"crmcore", "big")  # a key among those of advisory locks
_BUSY = 5  # SQLITE_BUSY, in the low byte of the extended code


class Statements:
    """Statements as one driver takes them; each is compiled once."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self.portable = Portable(dialect.name)
        self.driver_error: type[Exception] = dialect.dbapi.Error  # type: ignore[union-attr]
        self._prepared: OrderedDict[int, tuple[Executable, Prepared]] = OrderedDict()

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


class Connection:
    """
    One open transaction. Statements are compiled once, and run on the driver's cursor.

    It never commits, rolls back or closes the transaction, so the cursor may be of a connection
    that is somebody else's.

    Attributes:
        database: The database it is a transaction of.
        statements: How this connection's driver takes statements.
    """

    def __init__(
        self,
        database: Database,
        statements: Statements,
        cursor: Any,
        *,
        new_cursor: Callable[[], Any],
        opened: sqlalchemy.Connection | None = None,
    ) -> None:
        self.database = database
        self.statements = statements
        self._cursor = cursor
        self._new_cursor = new_cursor
        self._opened = opened
        self._savepoints = 0
        self._lost = False
        self._has_ended = False
        # Asked of the class: an awaited cursor may pass on one that cannot be used from here.
        self._copies = hasattr(type(cursor), "copy")

    @property
    def joined(self) -> bool:
        """Whether the transaction is the shop's, so that others may write in it meanwhile."""
        return self._opened is None

    @property
    def sqlalchemy(self) -> sqlalchemy.Connection:
        """The SQLAlchemy connection beneath; a transaction that was joined has none of ours."""
        if self._opened is None:
            raise StorageError(
                "the transaction was joined, so use the connection it was joined with"
            )
        return self._opened

    @property
    def inspector(self) -> Inspector:
        """What tables the database has; asked on a connection of ours where this one is joined."""
        if self._opened is not None:
            return inspect(self._opened)
        # It must not wait for the write lock, which the joined transaction may have.
        return inspect(self.database.engine.execution_options(crmcore_read_only=True))

    def execute(self, statement: Executable, **values: Any) -> list[Row]:
        """Run a statement and return its rows, if it has any."""
        prepared = self.statements.prepare(statement)
        cursor = self._run(prepared.sql, prepared.bind(values))
        return cursor.fetchall() if cursor.description is not None else []

    def change(self, statement: Executable, **values: Any) -> int:
        """Run a statement and return how many rows it wrote."""
        prepared = self.statements.prepare(statement)
        return int(self._run(prepared.sql, prepared.bind(values)).rowcount)

    def stream(
        self, statement: Executable, size: int = 5000, **values: Any
    ) -> Iterator[Sequence[Row]]:
        """Run a statement and yield its rows in lists of at most *size*."""
        prepared = self.statements.prepare(statement)
        cursor = self._new_cursor()
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
        prepared = self.statements.prepare(statement)
        return self._run_many(prepared.sql, [prepared.bind(row) for row in rows])

    def insert_rows(self, statement: Executable, rows: Sequence[Row]) -> int:
        """
        Run an `insert(table)` for rows that hold a value for every column, in their order.

        No two rows have the same key, unless what is there already stays as it is.
        """
        return self.insert_made(statement, len(rows), rows)

    def insert_made(self, statement: Executable, count: int, rows: Iterable[Row]) -> int:
        """
        Run an `insert(table)` as `insert_rows` does, for *count* rows made as they are asked for.

        Thousands of rows that wait in a list are gone through by each collection of garbage.
        """
        if not count:
            return 0
        prepared = self.statements.prepare(statement)
        if prepared.copied_into and count >= _COPIED and self._copies:
            return self._copy(prepared, prepared.copied_into, count, rows)
        given: Iterable[Any] = rows
        if not prepared.positional:
            given = (dict(zip(prepared.names, row, strict=True)) for row in rows)
        if count == 1:
            return int(self._run(prepared.sql, next(iter(given))).rowcount)
        return self._run_many(prepared.sql, given)

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Undo what is done inside if it raises."""
        self._savepoints += 1
        name = f"crm_{self._savepoints}"
        self._run(f"SAVEPOINT {name}", ())
        try:
            yield
        except BaseException:
            self._undo(name)
            raise
        else:
            self._run(f"RELEASE SAVEPOINT {name}", ())
        finally:
            self._savepoints -= 1

    def _undo(self, savepoint: str) -> None:
        if self._lost:
            return
        try:
            self._run(f"ROLLBACK TO SAVEPOINT {savepoint}", ())
            self._run(f"RELEASE SAVEPOINT {savepoint}", ())
        except StorageError:
            # The transaction is gone. Whoever goes on nevertheless must not write outside of it.
            self._lost = True
            self.close()
            raise

    def begin(self) -> None:
        """Begin the transaction that the driver has put off, as a writer; on SQLite only."""
        self._run("BEGIN IMMEDIATE", ())

    def wait_for_turn(self) -> None:
        """Let no other process start on this database until the transaction ends."""
        if not self.database.portable.is_sqlite:  # there a writer has the database for itself
            self._run("SET LOCAL lock_timeout = 0", ())  # it may be making everything anew
            self._run(f"SELECT pg_advisory_xact_lock({_STARTING})", ())

    def take_turns(self, what: str) -> None:
        """Let nobody else who takes turns at the same go on until the transaction ends."""
        if not self.database.portable.is_sqlite:
            key = int.from_bytes(sha256(what.encode()).digest()[:8], "big", signed=True)
            self._run(f"SELECT pg_advisory_xact_lock({key})", ())

    @contextmanager
    def waiting_at_most(self, milliseconds: int) -> Iterator[None]:
        """Wait for no lock longer than that inside, and raise `RetryTransaction` instead."""
        before = self._run("SELECT current_setting('lock_timeout')", ()).fetchone()[0]
        self._run(f"SET LOCAL lock_timeout = {milliseconds}", ())
        try:
            yield
        except StorageError as error:
            if _state_of(error.__cause__) != _WAITED:
                raise
            said = f"two transactions stood in each other's way: {error}"
            raise RetryTransaction(said) from error
        self._run(f"SET LOCAL lock_timeout = '{before}'", ())

    def have_customers_alone(self) -> None:
        """Let nobody else write about any customer until the transaction ends; reading goes on."""
        if not self.database.portable.is_sqlite:
            self._run("LOCK TABLE crm_customer IN EXCLUSIVE MODE", ())

    def close(self) -> None:
        self._has_ended = True
        self._cursor.close()

    def _run(self, sql: str, values: Any, cursor: Any = None) -> Any:
        cursor = self._cursor if cursor is None else cursor
        try:
            cursor.execute(sql, values)
        except self.statements.driver_error as error:
            if self._has_ended:
                raise StorageError(
                    "the transaction has ended; what belongs to it goes inside its with block"
                ) from error
            raise translated(error, sql) from error
        return cursor

    def _run_many(self, sql: str, rows: Iterable[Any]) -> int:
        try:
            self._cursor.executemany(sql, rows)
        except self.statements.driver_error as error:
            raise translated(error, sql) from error
        return int(self._cursor.rowcount)

    def _copy(self, prepared: Prepared, into: CopiedInto, count: int, rows: Iterable[Row]) -> int:
        """Bring rows to the server by COPY: beside the table first, where some may be there."""
        if not into.on_conflict:
            self._copy_rows(into.table, into.columns, rows)
            return count
        self._run(f"CREATE TEMPORARY TABLE crm_put (LIKE {into.table}) ON COMMIT DROP", ())
        self._copy_rows("pg_temp.crm_put", into.columns, rows)
        written = self._run(
            f"INSERT INTO {into.table} ({into.columns}) "
            f"SELECT {into.columns} FROM pg_temp.crm_put{into.on_conflict}",
            prepared.constants,
        ).rowcount
        self._run("DROP TABLE pg_temp.crm_put", ())
        return int(written)

    def _copy_rows(self, table: str, columns: str, rows: Iterable[Row]) -> None:
        try:
            with self._cursor.copy(f"COPY {table} ({columns}) FROM STDIN") as copy:
                for row in rows:
                    copy.write_row(row)
        except self.statements.driver_error as error:
            raise translated(error, f"COPY {table}") from error


def is_lost(error: BaseException) -> bool:
    """Return whether an error means that the server has gone, and the transaction with it."""
    state = _state_of(error)
    return state in _SHUT_DOWN or state.startswith("08")


def _state_of(error: BaseException | None) -> str:
    return getattr(error, "sqlstate", None) or getattr(error, "pgcode", None) or ""


def translated(error: BaseException, sql: str = "") -> StorageError:
    """Return what a driver raised, as an error of ours; *sql* is what it was about."""
    about = f" ({' '.join(sql.split())[:120]} ...)" if sql else ""
    said = " ".join(str(error).split())
    state = _state_of(error)
    if state == _WAITED:
        return StorageError(f"a lock was not to be had: {said}; {OPEN_ELSEWHERE}{about}")
    if is_lost(error):
        return RetryTransaction(f"the connection to the database was lost: {said}{about}")
    if state in _RETRIED:
        return RetryTransaction(f"two transactions stood in each other's way: {said}{about}")
    code = getattr(error, "sqlite_errorcode", None)
    if code is not None and code & 0xFF == _BUSY:
        return RetryTransaction(f"another transaction has the database: {said}{about}")
    return StorageError(f"the database refused a statement: {said}{about}")
