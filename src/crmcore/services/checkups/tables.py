"""Tables: whether they are those that the code and the catalogue of plugins declare."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Final

from sqlalchemy import select
from sqlalchemy.exc import SAWarning

from crmcore.persistence.catalogue import plugin_table
from crmcore.persistence.partitions import partitions_of
from crmcore.persistence.shapes import differences
from crmcore.persistence.tables import metadata
from crmcore.services.checkups.finding import Finding, Patient

CHECK: Final = "tables"
_catalogue = select(
    plugin_table.c.plugin,
    plugin_table.c.table_name,
    plugin_table.c.merge_policy,
    plugin_table.c.export_policy,
    plugin_table.c.erase_policy,
    plugin_table.c.derived,
).order_by(plugin_table.c.plugin, plugin_table.c.table_name)


def check_tables(patient: Patient) -> Iterable[Finding]:
    """Find tables and columns that are missing, strange, or of nobody who is switched on."""
    there = set(patient.connection.inspector.get_table_names())
    yield from _core(patient, there)
    known = {plugin.name for plugin in patient.assembly}
    catalogued = patient.connection.execute(_catalogue)
    for plugin, table, merge, export, erase, derived in catalogued:
        if table not in there:
            yield Finding(
                "fault",
                check=CHECK,
                found=f"table {table} of plugin {plugin!r} is in the catalogue and not there",
                cure=_come_back(plugin, is_derived=bool(derived), is_on=plugin in known),
            )
        elif plugin not in known:
            yield Finding(
                "note",
                check=CHECK,
                found=f"table {table} is of plugin {plugin!r}, which is not switched on; a merge "
                f"will {merge} its rows, an export {export}s them, an erasure: {erase}",
                cure=f"nothing is needed; add [plugins.{plugin}] to switch it on",
            )
    named = {table for _, table, *_ in catalogued} | set(metadata.tables)
    pieces = partitions_of(patient.connection)
    for table in sorted(there - named - pieces):
        if table.startswith("crm_"):
            yield Finding(
                "warning",
                check=CHECK,
                found=f"table {table} is neither the core's nor any plugin's that was here, so no "
                "merge, export or erasure reaches it",
                cure="give it another name, or make it the table of a plugin, with its policies",
            )


def _come_back(plugin: str, *, is_derived: bool, is_on: bool) -> str:
    if not is_derived:
        return "restore it from a backup: nothing else knows what it held"
    if not is_on:
        return f"add [plugins.{plugin}]: it is derived, and is made anew at the next start"
    return f"`crm rebuild {plugin}`: it is derived, and is made anew from the ledger"


def _core(patient: Patient, there: set[str]) -> Iterable[Finding]:
    for table in metadata.sorted_tables:
        told = [f"table {table.name} is not there"]
        if table.name in there:
            with warnings.catch_warnings():  # SQLAlchemy does not know the type of that column
                warnings.simplefilter("ignore", SAWarning)
                told = differences(patient.connection, table)
        # On PostgreSQL the ledger has a column of its own, for the order of commits.
        told = [each for each in told if "'xid' is there" not in each]
        if told:
            yield Finding(
                "fault",
                check=CHECK,
                found=f"{table.name} is not as this crmcore made it: {', '.join(told)}",
                cure="restore it from a backup, or undo what changed it",
            )
