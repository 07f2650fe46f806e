"""Checking: everything that would stop the start, found without starting."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from typing import Any, Final

from crmcore.app.parts import Parts
from crmcore.domain.clock import Calendar, Clock, SystemClock
from crmcore.domain.gate import GateSettings
from crmcore.domain.relationship import relationship
from crmcore.domain.retention import RetentionSettings
from crmcore.errors import CrmError, ModeError, PluginNotFoundError, StorageError
from crmcore.hooks import Plugin
from crmcore.persistence.connection import Connection
from crmcore.persistence.database import Database
from crmcore.persistence.settings import read_setting
from crmcore.services.checkups.status import looking
from crmcore.services.identities.identity import IdentityService
from crmcore.services.recording.folds import Folds
from crmcore.services.recording.ledger import Ledger
from crmcore.services.runtime import Runtime
from crmcore.services.segments.segments import SegmentService
from crmcore.services.staff.roles import RoleService
from crmcore.services.starting import catalogue
from crmcore.services.starting.assembly import Assembly
from crmcore.services.starting.shadows import check_shadow

_NO_SECRET: Final = "nothing is hashed with it"


def assembly_of(arguments: Mapping[str, Any]) -> Assembly:
    """Return what `Crm` assembles from its arguments; raises what it raises."""
    lifecycle = relationship(arguments["relationship_settings"])
    return Assembly(arguments["plugins"], [lifecycle], arguments["identity"])


def check_critical(assembly: Assembly, critical: Collection[str]) -> None:
    """Refuse names of plugins that are not there."""
    unknown = set(critical) - {plugin.name for plugin in assembly}
    if unknown:
        raise PluginNotFoundError(sorted(unknown)[0], [plugin.name for plugin in assembly])


def make_runtime(
    database: Database,
    assembly: Assembly,
    secret: str,
    *,
    currency: str,
    zone: str,
    clock: Clock,
    critical: Collection[str],
    shadow: Collection[str],
    gate: GateSettings | None,
) -> Runtime:
    """Return what the services of an application share; the database is not opened for it."""
    names = IdentityService(database.portable, secret, assembly.schemes)
    return Runtime(
        database=database,
        assembly=assembly,
        identity=names,
        ledger=Ledger(assembly.kinds, names, database.portable, currency),
        folds=Folds(database.portable),
        calendar=Calendar.named(zone),
        clock=clock,
        critical=frozenset(critical) - frozenset(shadow),
        shadow=frozenset(shadow),
        gate=gate or GateSettings(),
    )


def find_obstacles(arguments: Mapping[str, Any], assembly: Assembly) -> list[CrmError]:
    """
    Return everything for which `Crm` would not start with these arguments, each as it says it.

    The database is read, and not opened as an application's. What a plugin raises in `on_started`
    only a start can show.
    """
    secret, found = _of_database(arguments, assembly)
    for check, names in ((check_shadow, "shadow"), (check_critical, "critical")):
        found += _refused(lambda check=check, names=names: check(assembly, arguments[names]))  # type: ignore[misc]
    database = Database(arguments["url"])
    try:
        settings = ("currency", "zone", "critical", "shadow", "gate")
        runtime = make_runtime(
            database,
            assembly,
            secret or _NO_SECRET,
            clock=SystemClock(),
            **{name: arguments[name] for name in settings},
        )
        for work in _of_settings(runtime, arguments):
            found += _refused(work)
        if not found:
            found = _refused(lambda: _assemble(runtime, arguments))
    finally:
        database.close()
    return found


def _of_database(
    arguments: Mapping[str, Any], assembly: Assembly
) -> tuple[str | None, list[CrmError]]:
    """Return the database's secret, and what it does not go with; whether it is there is asked
    elsewhere.
    """
    found: list[CrmError] = []
    with suppress(StorageError), looking(arguments["url"]) as connection:
        secret = read_setting(connection, "secret")
        for work in _of_connection(connection, arguments, assembly):
            found += _refused(work)
        return secret, found
    return None, found


def _of_connection(
    connection: Connection, arguments: Mapping[str, Any], assembly: Assembly
) -> Iterator[Callable[[], object]]:
    yield lambda: catalogue.refuse_currency(connection, arguments["currency"])
    for plugin in assembly:
        yield lambda plugin=plugin: _check_plugin(connection, plugin)  # type: ignore[misc]


def _check_plugin(connection: Connection, plugin: Plugin) -> None:
    catalogue.check_plugin(connection, plugin)


def _of_settings(runtime: Runtime, arguments: Mapping[str, Any]) -> Iterator[Callable[[], object]]:
    """Yield what has to go well with each thing that is set, one by one."""
    kinds = [kind.name for kind in runtime.assembly.kinds]
    for name, period in arguments["retention"].keep.items():
        yield lambda n=name, p=period: RetentionSettings({n: p}).by_kind(kinds)  # type: ignore[misc]
    roles, staff = arguments["roles"], arguments["staff"]
    for role in roles:
        yield lambda role=role: RoleService(runtime, [role])  # type: ignore[misc]
    if not any(_refused(lambda role=role: RoleService(runtime, [role])) for role in roles):  # type: ignore[misc]
        for member in staff:
            yield lambda member=member: RoleService(runtime, roles, [member])  # type: ignore[misc]
    segments, families = arguments["segments"], arguments["families"]
    yield lambda: SegmentService.of(runtime, segments, families)


def _assemble(runtime: Runtime, arguments: Mapping[str, Any]) -> Parts:
    """Assemble the services as a start does, for what only shows with all of them."""

    def begin(*_: object, **__: object) -> Any:
        raise ModeError("nothing is done while it is checked what would stop the start")

    names = ("roles", "staff", "retention", "segments", "families")
    return Parts.of(runtime, begin, **{name: arguments[name] for name in names})


def _refused(work: Callable[[], object]) -> list[CrmError]:
    try:
        work()
    except CrmError as error:
        return [error]
    return []
