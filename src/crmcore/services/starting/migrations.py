"""Migrations: older tables brought to what the code needs, one revision after the other."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from attrs import frozen
from sqlalchemy import Table
from sqlalchemy.exc import DBAPIError

from crmcore.domain.clock import SystemClock
from crmcore.errors import CrmError, PluginError, StorageError
from crmcore.hooks import Plugin
from crmcore.persistence.connection import Connection, translated
from crmcore.persistence.database import Database
from crmcore.persistence.operations import apply, sql_of
from crmcore.persistence.partitions import follow_partitions
from crmcore.persistence.revisions import (
    CORE,
    Revision,
    applied_checksums,
    applied_revisions,
    has_ledger,
    note_applied,
)
from crmcore.persistence.shapes import Shapes, columns, shapes
from crmcore.persistence.tables import metadata
from crmcore.services.starting import catalogue
from crmcore.services.starting.assembly import Assembly
from crmcore.services.starting.revisions import core_revisions, refuse_newer, revisions_of


@frozen
class MigrationStep:
    """
    One revision that a database lacks, or lacked.

    Attributes:
        component: `crmcore`, or the name of a plugin.
        revision: Its number among the component's.
        title: What it does, in a line.
        sql: The statements it runs, or None where it cannot say without looking at the database.
    """

    component: str
    revision: int
    title: str
    sql: str | None


@frozen
class MigrationPlan:
    """
    What `migrate` would do.

    Attributes:
        steps: The revisions that the database lacks, in the order in which they are applied.
        warnings: What somebody should look at first, in sentences.
        is_empty: Whether there are no tables yet: those are made when it is first opened.
    """

    steps: tuple[MigrationStep, ...]
    warnings: tuple[str, ...] = ()
    is_empty: bool = False


def plan_migration(url: str, plugins: Iterable[Plugin] = ()) -> MigrationPlan:
    """
    Return what `migrate` would do with the database at *url*; nothing is changed.

    Raises:
        SchemaError: If the database is from a newer version.
    """
    assembly = Assembly(plugins)
    database = Database(url)
    try:
        with database.begin(read_only=True) as connection:
            if not has_ledger(connection):
                return MigrationPlan((), is_empty=True)
            steps = [_step(each, database) for each in _lacking(connection, assembly)]
            return MigrationPlan(tuple(steps), tuple(_edited(connection, assembly)))
    finally:
        database.close()


def migrate(url: str, plugins: Iterable[Plugin] = ()) -> list[MigrationStep]:
    """
    Bring the tables in the database at *url* to what the code needs; returns what was done.

    First the core's, then those that plugins own, by name. Each revision is a transaction of its
    own, so what stops in the middle goes on from there the next time. Several processes may do
    it at once. Make a backup first: there is no way back.

    Raises:
        SchemaError: If the database is from a newer version.
        PluginError: If a plugin's revision is not right; nothing of that revision is left.
        StorageError: If the database refuses a statement; nothing of that revision is left.
    """
    assembly = Assembly(plugins)
    database = Database(url)
    done: list[MigrationStep] = []
    try:
        while (step := _take_step(database, assembly)) is not None:
            done.append(step)
    finally:
        database.close()
    return done


def _take_step(database: Database, assembly: Assembly) -> MigrationStep | None:
    """Apply the next revision that is lacking, in a transaction of its own."""
    with database.begin() as connection:
        connection.wait_for_turn()
        # Looked up once it is our turn: another process may have applied some meanwhile.
        lacking = _lacking(connection, assembly) if has_ledger(connection) else []
        if not lacking:
            return None
        revision = lacking[0]
        step = _step(revision, database)
        plugins = {plugin.name: plugin for plugin in assembly}
        before = shapes(connection)
        _apply(connection, revision)
        after = shapes(connection)
        if revision.component == CORE:
            _cut(connection, metadata.tables.values(), after.keys() - before)
        else:
            plugin = plugins[revision.component]
            _check_touched(connection, revision, before, after)
            _cut(connection, (each.table for each in plugin.tables), after.keys() - before)
            if revision.component not in {each.component for each in lacking[1:]}:
                _describe(connection, revision, plugin, after)
        note_applied(connection, [revision], SystemClock().now())
        return step


def _revisions(assembly: Assembly) -> Mapping[str, Sequence[Revision]]:
    """Return the revisions there are: the core's first, then those of plugins, by name."""
    plugins = sorted(assembly, key=lambda plugin: plugin.name)
    return {CORE: core_revisions()} | {plugin.name: revisions_of(plugin) for plugin in plugins}


def _lacking(connection: Connection, assembly: Assembly) -> list[Revision]:
    lacking: list[Revision] = []
    for component, known in _revisions(assembly).items():
        found = applied_revisions(connection, component)
        refuse_newer(component, found, len(known))
        if component == CORE or found or catalogue.owns_tables(connection, component):
            lacking += known[max(found, default=0) :]
    return lacking


def _edited(connection: Connection, assembly: Assembly) -> Iterable[str]:
    for component, known in _revisions(assembly).items():
        found = applied_checksums(connection, component)
        for each in known:
            # Revision 1 of the core was applied before there were checksums of modules.
            if found.get(each.number) not in (None, "", each.checksum):
                yield (
                    f"revision {each.number} of {component} was edited after it was applied here: "
                    f"what {each.module} says now is not what it did then"
                )


def _step(revision: Revision, database: Database) -> MigrationStep:
    return MigrationStep(
        component=revision.component,
        revision=revision.number,
        title=revision.title,
        sql=sql_of(revision, database.dialect),
    )


def _apply(connection: Connection, revision: Revision) -> None:
    try:
        apply(connection, revision)
    except CrmError:
        raise
    except Exception as error:
        if isinstance(error, DBAPIError):
            said = translated(error.orig or error, error.statement or "")
            if type(said) is not StorageError:
                raise said from error
            told = str(said)
        else:
            told = f"{type(error).__name__}: {error}"
        problem = f"revision {revision.number} was not applied, and nothing of it is left: {told}"
        if revision.component == CORE:
            raise StorageError(f"the core's {problem}") from error
        raise PluginError(revision.component, problem) from error


def _check_touched(
    connection: Connection, revision: Revision, before: Shapes, after: Shapes
) -> None:
    """Refuse a plugin's revision that changed a table which is not the plugin's."""
    plugin = revision.component
    others = catalogue.tables_of_others(connection, plugin) | set(metadata.tables)
    for table in sorted({*before, *after}):
        is_own = table.startswith(f"crm_{plugin}_") and table not in others
        if not is_own and before.get(table) != after.get(table):
            raise PluginError(
                plugin,
                f"revision {revision.number} touches table {table!r}; only its own, named "
                f"crm_{plugin}_<noun>, are a plugin's to change, so nothing of it is left",
            )


def _cut(connection: Connection, declared: Iterable[Table], created: Collection[str]) -> None:
    """Cut tables that a revision created into the partitions that the others have."""
    for table in declared:
        if table.name in created:
            follow_partitions(connection, table)


def _describe(
    connection: Connection, revision: Revision, plugin: Plugin, present: Iterable[str]
) -> None:
    """Note the shape that a plugin's tables have now, if it is the one that it declares."""
    present = set(present)
    catalogue.forget_tables(connection, plugin.name, present)
    for kept in plugin.tables:
        table = kept.table
        if kept.derived or table.name not in present:
            continue
        declared = {column.name: bool(column.nullable) for column in table.columns}
        found = columns(connection, table.name)
        if found != declared:
            differing = sorted(dict(found.items() ^ declared.items()))
            raise PluginError(
                plugin.name,
                f"revision {revision.number} leaves table {table.name!r} another than the plugin "
                f"declares it, in {', '.join(differing)}, so nothing of it is left",
            )
        catalogue.describe(connection, plugin, kept)
