"""Joining the shop's transaction: used through a cursor, and within a savepoint."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Final

from sqlalchemy import update
from sqlalchemy.exc import SQLAlchemyError

from crmcore.errors import InputError, RetryTransaction, StorageError
from crmcore.persistence.borrowed import Borrowed, Joinable, borrow
from crmcore.persistence.catalogue import setting
from crmcore.persistence.connection import Connection
from crmcore.persistence.settings import INSTANCE, read_setting

if TYPE_CHECKING:
    from crmcore.persistence.database import Database

_NO_TRANSACTION: Final = "25P01"  # no_active_sql_transaction
_FAILED: Final = "25P02"  # in_failed_sql_transaction
_NO_TABLE: Final = "42P01"  # undefined_table

# Writes nothing; but SQLite gives the write lock before it looks what there is to be written.
_take_lock = update(setting).where(setting.c.setting == "").values(setting_value="")


@contextmanager
def join(database: Database, given: Joinable) -> Iterator[Connection]:
    """
    Work in a transaction that the shop has open on *given*, which stays the shop's.

    Nothing here can commit it, roll it back, reset or close it: there is a cursor of ours on the
    shop's connection, and a savepoint. An exception inside undoes what was done inside.

    Raises:
        InputError: If it cannot be joined, or is of another database; nothing has changed.
        RetryTransaction: If another transaction stood in the way: the shop rolls its transaction
            back, and does it again.
        StorageError: If the database says no.
    """
    database.check_open()
    borrowed = borrow(database, given)
    failed: BaseException | None = None
    finished = False
    try:
        with ExitStack() as stack:
            connection = _enter(stack, database, borrowed)
            try:
                yield connection
            except BaseException as error:
                failed = error
                raise
            finished = True
    except StorageError as error:
        if finished and not isinstance(error, RetryTransaction):
            raise StorageError(
                "the shop's transaction was ended or lost before `join` was left; commit or roll "
                f"it back afterwards: {error}"
            ) from error
        if failed is None:
            raise
    if failed is not None:
        raise failed  # rather than that it could not be undone: the transaction itself is lost


def _enter(stack: ExitStack, database: Database, borrowed: Borrowed) -> Connection:
    """Open a savepoint in the shop's transaction, once it is sure to be of our database."""
    try:
        cursor = borrowed.new_cursor()
        connection = Connection(
            database, borrowed.statements, cursor, new_cursor=borrowed.new_cursor
        )
        stack.callback(connection.close)
        if borrowed.to_begin:
            _check_instance(connection)  # first, so that no transaction is begun where none should
            connection.begin()
        stack.enter_context(connection.savepoint())
        if not borrowed.to_begin:
            if database.portable.is_sqlite:
                # Ids follow the highest one, so nobody else may give any from here on. The shop
                # may have begun without the lock; asked for now, it can still be waited for.
                connection.change(_take_lock)
            _check_instance(connection)
    except RetryTransaction:
        raise
    except StorageError as error:
        raise _explained(error, borrowed) from error
    except (SQLAlchemyError, borrowed.statements.driver_error) as error:
        raise InputError(f"the connection cannot be joined: {error}") from error
    return connection


def _check_instance(connection: Connection) -> None:
    found = read_setting(connection, INSTANCE)
    if found != connection.database.instance:
        raise InputError(
            "the connection is to another database: crmcore's tables in it are not those that "
            "were given to Crm"
        )


def _explained(error: StorageError, borrowed: Borrowed) -> StorageError | InputError:
    """Return what the database said to our first statements, as what was wrong with the shop's."""
    said = error.__cause__
    state = getattr(said, "sqlstate", None) or getattr(said, "pgcode", None)
    if state == _NO_TRANSACTION:
        return InputError(borrowed.outside)
    if state == _FAILED:
        return InputError(
            "the transaction of the connection has failed, and nothing but its rollback, or one "
            "to a savepoint, is possible; do that before joining"
        )
    if state == _NO_TABLE or str(said).startswith("no such table"):
        return InputError(
            "the connection is to a database without crmcore's tables, or does not look where "
            "they are; a connection to the database that was given to Crm is expected"
        )
    return error
