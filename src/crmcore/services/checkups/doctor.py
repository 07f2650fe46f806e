"""The doctor: everything that is wrong with an installation, each with its cure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from crmcore.errors import CrmError, OutdatedSchemaError, SchemaError, StorageError
from crmcore.persistence.database import Database
from crmcore.services.checkups.access import check_looks
from crmcore.services.checkups.finding import SEVERITIES, Checkup, Finding, Patient
from crmcore.services.checkups.messages import check_messages
from crmcore.services.checkups.plugins import check_shadows, check_slow_plugins
from crmcore.services.checkups.postgresql import check_cursors_held, check_server
from crmcore.services.checkups.sqlite import check_file
from crmcore.services.checkups.status import NoTablesError, read_status
from crmcore.services.checkups.tables import check_tables
from crmcore.services.checkups.work import (
    check_debts,
    check_due,
    check_future,
    check_lag,
    check_parked,
)
from crmcore.services.starting.assembly import Assembly

CHECKUPS: Final[Sequence[Checkup]] = (
    check_tables,
    check_future,
    check_due,
    check_debts,
    check_parked,
    check_lag,
    check_looks,
    check_messages,
    check_slow_plugins,
    check_shadows,
    check_cursors_held,
    check_server,
    check_file,
)


_MIGRATE: Final = "make a backup, then `crm migrate`; `crm migrate --plan` shows what it does"


def examine(url: str, assembly: Assembly, now: int) -> list[Finding]:
    """
    Return what is wrong with the database at *url*, the worst first; nothing is changed.

    The application is not opened for that: opening lets everything be tried again that failed.
    """
    names = [plugin.name for plugin in assembly]
    try:
        status = read_status(url, names, now)
    except CrmError as error:
        return [_closed(error)]
    database = Database(url)
    try:
        with database.begin(read_only=True) as connection:
            patient = Patient(connection=connection, assembly=assembly, status=status, now=now)
            found = [each for check in CHECKUPS for each in _looked(check, patient)]
    finally:
        database.close()
    return sorted(found, key=lambda each: SEVERITIES.index(each.severity))


def obstacle(error: CrmError) -> Finding:
    """Return the finding that nothing starts for what the start says."""
    cure = "mend it in crm.toml: until then nothing starts, and nobody is served"
    if isinstance(error, OutdatedSchemaError):
        cure = _MIGRATE
    elif isinstance(error, SchemaError):
        cure = "put it back in crm.toml as it was with this database, or name another database"
    return Finding("fault", check="start", found=str(error), cure=cure)


def _looked(check: Checkup, patient: Patient) -> Iterable[Finding]:
    """Return what a check-up found; one that cannot look says so, and the others go on."""
    try:
        with patient.connection.savepoint():
            return list(check(patient))
    except StorageError as error:
        name = getattr(check, "__name__", str(check)).removeprefix("check_")
        return [
            Finding(
                "warning",
                check=name,
                found=f"could not look: {error}",
                cure="give the database's user the right to look, such as pg_monitor",
            )
        ]


def _closed(error: CrmError) -> Finding:
    cure = "read what it says, and look whether the database is there and runs"
    if isinstance(error, OutdatedSchemaError):
        cure = _MIGRATE
    elif isinstance(error, NoTablesError):
        cure = (
            "where it is new, use it: the first interaction makes it; where it is not, mend "
            "`database` in crm.toml"
        )
    elif isinstance(error, SchemaError):
        cure = "install the crmcore it was used with, or name another database in crm.toml"
    return Finding("fault", check="schema", found=str(error), cure=cure)
