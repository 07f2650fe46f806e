"""PostgreSQL: what holds cursors back, and settings that crmcore lives by."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from sqlalchemy import text

from crmcore.domain.clock import SECOND
from crmcore.services.checkups.finding import Finding, Patient, counted, lasted

HELD: Final = 60
"""Seconds after which a transaction that writes is one that holds others back."""

# Those that have written something: only they keep a later commit from being told.
_WRITERS: Final = text(
    "SELECT pid::text, coalesce(application_name, ''), state, "
    "CAST(extract(epoch FROM clock_timestamp() - xact_start) AS bigint) "
    "FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid() "
    f"AND xact_start < clock_timestamp() - interval '{HELD} seconds' "
    "ORDER BY xact_start"
)
# Of whom nothing is shown but that they are there, to whoever may not read all statistics.
_HIDDEN: Final = text(
    "SELECT count(*) FROM pg_stat_activity WHERE datname IS NOT NULL AND usename IS NOT NULL "
    "AND query = '<insufficient privilege>'"
)
_PREPARED: Final = text(
    "SELECT gid, CAST(extract(epoch FROM clock_timestamp() - prepared) AS bigint) "
    "FROM pg_prepared_xacts WHERE database = current_database() "
    f"AND prepared < clock_timestamp() - interval '{HELD} seconds' ORDER BY prepared"
)
_SETTINGS: Final = text(
    "SELECT name, setting FROM pg_settings WHERE name IN ('fsync', 'full_page_writes', "
    "'synchronous_commit', 'shared_buffers', 'idle_in_transaction_session_timeout', "
    "'default_transaction_isolation', 'server_encoding', 'autovacuum')"
)
_SIZE: Final = text("SELECT pg_database_size(current_database())")
_PAGE: Final = 8192
_SMALL: Final = 256 * 2**20


def check_cursors_held(patient: Patient) -> Iterable[Finding]:
    """Find transactions that keep plugins from being told what was committed since."""
    if patient.connection.database.portable.is_sqlite:
        return
    for pid, name, state, seconds in patient.connection.execute(_WRITERS):
        whose = f" of {name}" if name else ""
        yield Finding(
            "warning",
            check="cursors",
            found=f"process {pid}{whose} has had a transaction that writes open for "
            f"{lasted(seconds * SECOND)} ({state}), so after_ hooks are told nothing that was "
            "committed since",
            cure=f"let it end; if it is forgotten: SELECT pg_terminate_backend({pid})",
        )
    ((hidden,),) = patient.connection.execute(_HIDDEN)
    if hidden:
        yield Finding(
            "note",
            check="cursors",
            found=f"could not look at {counted(hidden, 'session')} of other users, one of which "
            "may keep after_ hooks from being told what was committed",
            cure="give the database's user the right to look, which is pg_read_all_stats",
        )
    for name, seconds in patient.connection.execute(_PREPARED):
        yield Finding(
            "warning",
            check="cursors",
            found=f"the prepared transaction {name!r} has waited for {lasted(seconds * SECOND)}, "
            "so after_ hooks are told nothing that was committed since",
            cure=f"COMMIT PREPARED '{name}' or ROLLBACK PREPARED '{name}'",
        )


def check_server(patient: Patient) -> Iterable[Finding]:
    """Find settings by which commits may be lost, or everything is slow."""
    if patient.connection.database.portable.is_sqlite:
        return
    settings: dict[str, str] = dict(patient.connection.execute(_SETTINGS))
    for name in ("fsync", "full_page_writes"):
        if settings.get(name) == "off":
            yield Finding(
                "fault",
                check="server",
                found=f"{name} is off: a power failure may destroy the database",
                cure=f"set {name} = on in postgresql.conf",
            )
    if settings.get("synchronous_commit") == "off":
        yield Finding(
            "warning",
            check="server",
            found="synchronous_commit is off: a crash may lose the last commits, and with them "
            "the trace of messages that were handed over",
            cure="set synchronous_commit = on, or hand no messages over from here",
        )
    if settings.get("autovacuum") == "off":
        yield Finding(
            "warning",
            check="server",
            found="autovacuum is off: tables that are updated often grow without end",
            cure="set autovacuum = on",
        )
    if settings.get("server_encoding") != "UTF8":
        yield Finding(
            "fault",
            check="server",
            found=f"the database is encoded in {settings.get('server_encoding')}, so not every "
            "name can be stored",
            cure="create a database with ENCODING 'UTF8' and restore into it",
        )
    yield from _memory(patient, int(settings.get("shared_buffers", 0)) * _PAGE)


def _memory(patient: Patient, buffers: int) -> Iterable[Finding]:
    ((size,),) = patient.connection.execute(_SIZE)
    if size > 4 * buffers and buffers < _SMALL:
        yield Finding(
            "note",
            check="server",
            found=f"shared_buffers are {buffers // 2**20} MB for a database of "
            f"{size // 2**20:,} MB",
            cure="a quarter of the machine's memory is the usual value of shared_buffers",
        )
