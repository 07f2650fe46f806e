"""Status: how things stand with a database and its plugins; looking changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from attrs import frozen
from sqlalchemy import Select, bindparam, case, func, or_, select

from crmcore.domain.message import State
from crmcore.errors import SchemaError
from crmcore.persistence.catalogue import revision
from crmcore.persistence.connection import Connection
from crmcore.persistence.cursors import Commits, backlog, cursor
from crmcore.persistence.customers import customer
from crmcore.persistence.database import Database
from crmcore.persistence.ledger import interaction
from crmcore.persistence.merges import match
from crmcore.persistence.messages import message
from crmcore.persistence.revisions import CORE, applied_revisions, has_ledger
from crmcore.persistence.schema import REVISION
from crmcore.persistence.settings import read_shadow
from crmcore.persistence.timers import timer
from crmcore.services import faults
from crmcore.services.faults import Fault
from crmcore.services.messaging.judging import SHADOW_GATE
from crmcore.services.starting.folder import check_folder, file_of
from crmcore.services.starting.revisions import refuse_newer, refuse_older

_customers = select(func.count(), func.count(customer.c.merged_into)).select_from(customer)
_interactions = select(func.count()).select_from(interaction)
_matches = (
    select(match.c.status, func.count())
    .where(match.c.status.in_(["open", "agreed"]))
    .group_by(match.c.status)
)
_messages = (
    select(message.c.state, func.count())
    .where(or_(message.c.gate.is_(None), message.c.gate != SHADOW_GATE))
    .group_by(message.c.state)
)
_revisions = select(revision.c.component, func.max(revision.c.revision)).group_by(
    revision.c.component
)
_is_due = timer.c.parked_at.is_(None) & (timer.c.run_at <= bindparam("now"))
_timers = select(
    timer.c.plugin, func.count(), func.count(case((_is_due, 1))), func.count(timer.c.parked_at)
).group_by(timer.c.plugin)
_waiting = select(backlog.c.plugin, func.count(), func.count(backlog.c.parked_at)).group_by(
    backlog.c.plugin
)
_cursors = select(cursor.c.plugin, cursor.c.position_xid, cursor.c.position_id)


class NoTablesError(SchemaError):
    """A database has no tables of crmcore's yet, or its path is not the right one."""


@frozen(kw_only=True)
class PluginStatus:
    """
    How things stand with one plugin.

    Attributes:
        is_on: Whether it is switched on; what it left waits while it is not.
        in_shadow: Whether it was when the database was opened last: nobody acts on its decisions.
        revision: The newest revision of its tables that the database has; 0 for none.
        debts: For how many customers it owes work.
        behind: How many interactions were committed that it has yet to be told of; None for a
            plugin that was never told of any.
        waiting: For how many customers rows wait that it failed with after the commit.
        waiting_parked: How many of those it failed with too often to be tried again by itself.
        timers: How many are set.
        timers_due: How many of them are to be tried by now.
        timers_parked: How many of them failed too often to be tried again by themselves.
        faults: How many it has left on record.
        last_fault: The newest of them.
    """

    name: str
    is_on: bool
    in_shadow: bool = False
    revision: int = 0
    debts: int = 0
    behind: int | None = None
    waiting: int = 0
    waiting_parked: int = 0
    timers: int = 0
    timers_due: int = 0
    timers_parked: int = 0
    faults: int = 0
    last_fault: Fault | None = None

    @property
    def has_failed(self) -> bool:
        """Whether anything is left to do that failed before."""
        return bool(self.debts or self.waiting or self.timers_parked)


@frozen(kw_only=True)
class Status:
    """
    How things stand with a database.

    Attributes:
        database: Its URL, without a password.
        revision: The newest revision of the core's tables that it has.
        customers: How many there are, without those merged into others.
        merged: How many were merged into others.
        duplicates: How many pairs may be one person, and wait for somebody to decide.
        agreed: How many pairs are one by policy, and wait to be merged.
        messages: How many stand in which state, but for what plugins in shadow would have said.
        plugins: Those switched on in their order, then those that left something, by name.
    """

    database: str
    revision: int
    customers: int
    merged: int
    interactions: int
    duplicates: int
    agreed: int
    messages: Mapping[State, int]
    plugins: Sequence[PluginStatus]


def read_status(url: str, plugins: Collection[str], now: int) -> Status:
    """
    Return how things stand with the database at *url*, which is not opened for that.

    Opening lets everything be tried again that failed before, so that none of it would be seen.

    Raises:
        SchemaError: If it has no tables, or they are from a newer version.
        OutdatedSchemaError: If they are of an older revision.
    """
    with looking(url) as connection:
        return status_of(connection, plugins, now)


@contextmanager
def looking(url: str) -> Iterator[Connection]:
    """
    Read the database at *url*, without its being opened as an application's.

    Raises:
        SchemaError: If it has no tables, or they are from a newer version.
        OutdatedSchemaError: If they are of an older revision.
    """
    database = Database(url)
    try:
        _check_there(database)
        with database.begin(read_only=True) as connection:
            if not has_ledger(connection):
                raise _no_tables(database)
            found = applied_revisions(connection, CORE)
            refuse_newer(CORE, found, REVISION)
            refuse_older(CORE, found, REVISION)
            yield connection
    finally:
        database.close()


def status_of(connection: Connection, plugins: Collection[str], now: int) -> Status:
    """Return how things stand with an opened database; *plugins* are those switched on."""
    ((every, merged),) = connection.execute(_customers)
    matches: dict[str, int] = dict(connection.execute(_matches))
    revisions: dict[str, int] = dict(connection.execute(_revisions))
    return Status(
        database=_url_of(connection.database),
        revision=revisions.pop(CORE, 0),
        customers=every - merged,
        merged=merged,
        interactions=connection.execute(_interactions)[0][0],
        duplicates=matches.get("open", 0),
        agreed=matches.get("agreed", 0),
        messages=dict(connection.execute(_messages)),
        plugins=_plugins(connection, plugins, now, revisions),
    )


def _plugins(
    connection: Connection, plugins: Collection[str], now: int, revisions: Mapping[str, int]
) -> list[PluginStatus]:
    told: dict[str, dict[str, Any]] = {name: {} for name in plugins}

    def note(rows: Sequence[Sequence[Any]], *names: str) -> None:
        for plugin, *values in rows:
            told.setdefault(plugin, {}).update(zip(names, values, strict=True))

    note([*revisions.items()], "revision")
    note([*faults.count_debt(connection).items()], "debts")
    note(connection.execute(_waiting), "waiting", "waiting_parked")
    note(connection.execute(_timers, now=now), "timers", "timers_due", "timers_parked")
    note([*faults.count_faults(connection).items()], "faults")
    note([(name, _last_fault(connection, name)) for name in told], "last_fault")
    note(_behind(connection), "behind")
    shadow = read_shadow(connection)
    note([(name, name in shadow) for name in told], "in_shadow")
    others = sorted(told.keys() - set(plugins))
    return [
        PluginStatus(name=name, is_on=name in plugins, **told[name]) for name in (*plugins, *others)
    ]


def _last_fault(connection: Connection, plugin: str) -> Fault | None:
    return next(iter(faults.find_faults(connection, plugin, most=1)), None)


def _behind(connection: Connection) -> list[tuple[str, int]]:
    count = connection.database.once("count following", _count(connection.database))
    return [
        (plugin, connection.execute(count, beyond_xid=xid, beyond_id=last)[0][0])
        for plugin, xid, last in connection.execute(_cursors)
    ]


def _count(database: Database) -> Callable[[], Select[Any]]:
    return lambda: Commits(database.portable).count_following


def _check_there(database: Database) -> None:
    """Refuse a file that is not there, which SQLite would make."""
    check_folder(database)
    path = file_of(database)
    if path is not None and not path.exists():
        raise _no_tables(database)


def _no_tables(database: Database) -> NoTablesError:
    return NoTablesError(
        f"the database {_url_of(database)} has no tables of crmcore's; they are made when it is "
        "first opened, such as by `crm record`"
    )


def _url_of(database: Database) -> str:
    return str(database.engine.url.render_as_string())
