"""The catalogue: what a database holds, checked and completed at every start."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from sqlalchemy import Table, bindparam, delete, func, inspect, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.schema import CreateIndex, CreateTable, DDLElement

from crmcore.domain.lifecycle import Lifecycle
from crmcore.errors import SchemaError, StorageError
from crmcore.hooks import Keep, Plugin, PluginTable
from crmcore.persistence.catalogue import plugin_table
from crmcore.persistence.connection import Connection
from crmcore.persistence.database import Database
from crmcore.persistence.ledger import interaction
from crmcore.persistence.partitions import (
    check_partitions,
    follow_partitions,
    start_partitions,
)
from crmcore.persistence.revisions import CORE, applied_revisions, has_ledger, note_applied
from crmcore.persistence.schema import REVISION
from crmcore.persistence.settings import (
    ERASING,
    IN_SHADOW,
    INSTANCE,
    read_names,
    read_setting,
    read_shadow,
    write_setting,
)
from crmcore.persistence.shapes import differences
from crmcore.persistence.tables import metadata
from crmcore.services.starting.folder import check_folder
from crmcore.services.starting.revisions import (
    core_revisions,
    refuse_newer,
    refuse_older,
    revisions_of,
)

_shape = select(plugin_table.c.shape).where(
    plugin_table.c.plugin == bindparam("owner"), plugin_table.c.table_name == bindparam("wanted")
)
_owned = select(plugin_table.c.table_name).where(
    plugin_table.c.plugin == bindparam("owner"), plugin_table.c.derived == 0
)
_tables = select(plugin_table.c.plugin, plugin_table.c.table_name)
_forget = delete(plugin_table).where(
    plugin_table.c.plugin == bindparam("owner"), plugin_table.c.table_name == bindparam("gone")
)
_any_interaction = select(func.max(interaction.c.interaction_id))


def open_schema(database: Database, now: int, partitions: int = 0) -> str:
    """
    Create the core's tables in an empty database, and return the database's secret.

    Raises:
        OutdatedSchemaError: If the tables are of an older revision.
        SchemaError: If they are from a newer crmcore, or not crmcore's.
    """
    check_folder(database)
    with database.begin() as connection:
        connection.wait_for_turn()
        if not has_ledger(connection):
            metadata.create_all(connection.sqlalchemy)
            start_partitions(connection, partitions, metadata.sorted_tables)
            note_applied(connection, core_revisions(), now)
            write_setting(connection, INSTANCE, secrets.token_hex(16))
        found = applied_revisions(connection, CORE)
        if not found:
            raise SchemaError("the database has tables of crmcore's names that are not crmcore's")
        refuse_newer(CORE, found, REVISION)
        refuse_older(CORE, found, REVISION)
        missing = [t.name for t in metadata.sorted_tables if t.name not in _tables_of(connection)]
        if missing:
            raise SchemaError(f"the database lacks the tables {', '.join(missing)}")
        check_partitions(connection, partitions)
        database.instance = read_setting(connection, INSTANCE)
        secret = read_setting(connection, "secret")
        if secret is None:
            secret = secrets.token_hex(32)
            write_setting(connection, "secret", secret)
        return secret


def check_currency(connection: Connection, currency: str) -> None:
    """Refuse another base currency than the one amounts were frozen in; the first one is noted."""
    if refuse_currency(connection, currency) is None:
        write_setting(connection, "currency", currency)


def refuse_currency(connection: Connection, currency: str) -> str | None:
    """Return the currency amounts were frozen in, None if there is none; refuse another one."""
    frozen = read_setting(connection, "currency")
    if frozen not in (None, currency):
        raise SchemaError(
            f"the database counts in {frozen} and the configuration says {currency}; amounts "
            "that were recorded cannot be counted anew"
        )
    return frozen


def note_enabled(connection: Connection, what: str, names: Iterable[str]) -> set[str]:
    """
    Note which plugins, or lifecycles, are there, and return those that were not at the last start.

    They missed what was recorded since they were there last; on an empty ledger, nothing.
    """
    now = set(names)
    before = set(filter(None, (read_setting(connection, what) or "").split(" ")))
    if now != before:
        write_setting(connection, what, " ".join(sorted(now)))
        last = connection.execute(_any_interaction)[0][0]
        for name in before - now:
            write_setting(connection, f"{what} without {name}", str(last or 0))
    return now - before if connection.execute(_any_interaction)[0][0] else set()


def has_missed_facts(connection: Connection, plugin: str) -> bool:
    """Return whether anything was recorded since the first start without a plugin."""
    since = read_setting(connection, f"plugins without {plugin}")
    last = connection.execute(_any_interaction)[0][0] or 0
    return last > int(since or 0)


def note_shadow(connection: Connection, shadow: Collection[str]) -> tuple[set[str], set[str]]:
    """Note which plugins are in shadow; returns those that came into it, and that left it."""
    now = set(shadow)
    before = read_shadow(connection)
    if now != before:
        write_setting(connection, IN_SHADOW, " ".join(sorted(now)))
    return now - before, before - now


def note_erasing(
    connection: Connection, present: Collection[str], erasing: Collection[str]
) -> None:
    """
    Note which plugins erase what they keep besides their tables; those not *present* stay noted.

    What they keep is there while they are not, and no policy of a table reaches it.
    """
    before = read_names(connection, ERASING)
    now = before.difference(present).union(erasing)
    if now != before:
        write_setting(connection, ERASING, " ".join(sorted(now)))


def open_plugin(connection: Connection, plugin: Plugin, now: int) -> bool:
    """
    Create the plugin's tables, drop and create derived ones whose shape is another.

    A derived one that somebody dropped is created again, too.

    A new version of the plugin may derive something else into tables of the same shape; what it
    owns stays as it is.

    Returns whether the plugin has to make anew what it derives.

    Raises:
        OutdatedSchemaError: If a revision of what it owns has not been applied.
        SchemaError: If the database is from a newer version of it.
    """
    _open_revisions(connection, plugin, now)
    anew = False
    there = _tables_of(connection) if any(kept.derived for kept in plugin.tables) else set()
    for kept in plugin.tables:
        shape = _shape_of(connection, plugin, kept)
        rows = connection.execute(_shape, owner=plugin.name, wanted=kept.table.name)
        if _is_known(rows, shape) and (not kept.derived or kept.table.name in there):
            continue
        if rows and not kept.derived:
            raise _other_shape(connection, plugin, kept)
        if rows:
            kept.table.drop(connection.sqlalchemy, checkfirst=True)
        try:
            kept.table.create(connection.sqlalchemy)
            follow_partitions(connection, kept.table)
        except SQLAlchemyError as error:
            raise StorageError(
                f"table {kept.table.name!r} of plugin {plugin.name!r} could not be created: "
                f"{error.args[0]}"
            ) from error
        describe(connection, plugin, kept)
        anew = anew or kept.derived
    return anew and bool(connection.execute(_any_interaction)[0][0])


def check_plugin(connection: Connection, plugin: Plugin) -> None:
    """
    Refuse what `open_plugin` would refuse; nothing is written.

    Raises:
        OutdatedSchemaError: If a revision of what it owns has not been applied.
        SchemaError: If the database is from a newer version of it, or of another shape.
    """
    _check_revisions(connection, plugin)
    for kept in plugin.tables:
        rows = connection.execute(_shape, owner=plugin.name, wanted=kept.table.name)
        if rows and not kept.derived and not _is_known(rows, _shape_of(connection, plugin, kept)):
            raise _other_shape(connection, plugin, kept)


def _is_known(rows: Sequence[Sequence[Any]], shape: str) -> bool:
    # What was derived before, with a version behind its shape, may be owned from now on.
    return bool(rows) and shape in (rows[0][0], rows[0][0].partition("/")[0])


def _other_shape(connection: Connection, plugin: Plugin, kept: PluginTable) -> SchemaError:
    told = differences(connection, kept.table) or ["its keys, indexes or defaults differ"]
    return SchemaError(
        f"table {kept.table.name!r} of plugin {plugin.name!r} has another shape than in "
        f"the database ({', '.join(told)}), and no migration leads from one to the other"
    )


def open_lifecycle(connection: Connection, lifecycle: Lifecycle, zone: str) -> bool:
    """Return whether a lifecycle is another than before, so that its stages are to be made anew."""
    shape = hashlib.sha256(f"{_ordered(lifecycle)}/{zone}".encode()).hexdigest()
    name = f"lifecycle:{lifecycle.name}"
    before = read_setting(connection, name)
    if before == shape:
        return False
    write_setting(connection, name, shape)
    return bool(connection.execute(_any_interaction)[0][0])


def _ordered(lifecycle: Lifecycle) -> str:
    """Return the lifecycle as text that is the same in every process."""
    edges = [
        (e.source, e.target, e.reason, sorted(e.on), e.quiet_days, repr(e.when))
        for e in lifecycle.edges
    ]
    counters = {name: sorted(adds.items()) for name, adds in lifecycle.counters.items()}
    return repr((lifecycle.stages, edges, counters, sorted(lifecycle.listens)))


def describe(connection: Connection, plugin: Plugin, kept: PluginTable) -> None:
    """Note a plugin's table, its shape and its policies."""
    database = connection.database
    statement = database.once(
        "replace crm_plugin_table", lambda: database.portable.replace(plugin_table)
    )
    erase = f"keep: {kept.erase.reason}" if isinstance(kept.erase, Keep) else kept.erase
    row = (
        plugin.name,
        kept.table.name,
        int(kept.derived),
        kept.merge,
        "include" if kept.export else "leave out",
        erase,
        _shape_of(connection, plugin, kept),
    )
    connection.insert_rows(statement, [row])


def owns_tables(connection: Connection, plugin: str) -> bool:
    """Return whether the database has tables that the plugin owns."""
    return bool(connection.execute(_owned, owner=plugin))


def tables_of_others(connection: Connection, plugin: str) -> set[str]:
    """Return the tables of all plugins but one, of those that are switched off, too."""
    return {table for owner, table in connection.execute(_tables) if owner != plugin}


def forget_tables(connection: Connection, plugin: str, present: Collection[str]) -> None:
    """Forget those of a plugin's tables that are not *present* any more."""
    for owner, table in connection.execute(_tables):
        if owner == plugin and table not in present:
            connection.change(_forget, owner=plugin, gone=table)


def _open_revisions(connection: Connection, plugin: Plugin, now: int) -> None:
    """Refuse what is not of the plugin's newest revision; its first tables are made as of it."""
    if not _check_revisions(connection, plugin):
        note_applied(connection, revisions_of(plugin), now)


def _check_revisions(connection: Connection, plugin: Plugin) -> bool:
    """Return whether the database has tables of the plugin's; they have to be of its newest."""
    known = revisions_of(plugin)
    found = applied_revisions(connection, plugin.name)
    refuse_newer(plugin.name, found, len(known))
    has_tables = bool(found) or owns_tables(connection, plugin.name)
    if has_tables:
        refuse_older(plugin.name, found, len(known))
    return has_tables


def _shape_of(connection: Connection, plugin: Plugin, kept: PluginTable) -> str:
    checksum = _checksum([kept.table], connection.database)
    return f"{checksum}/{plugin.version}" if kept.derived else checksum


def _tables_of(connection: Connection) -> set[str]:
    return set(inspect(connection.sqlalchemy).get_table_names())


def _checksum(tables: Iterable[Table], database: Database) -> str:
    """Return what tells one shape of tables from another."""
    statements: list[DDLElement] = []
    for table in tables:
        statements.append(CreateTable(table))
        statements += [CreateIndex(i) for i in sorted(table.indexes, key=lambda i: str(i.name))]
    text = "\n".join(str(statement.compile(dialect=database.dialect)) for statement in statements)
    return hashlib.sha256(text.encode()).hexdigest()
