"""Contents: which tables a snapshot has, and which of their columns may hold personal values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from attrs import frozen
from sqlalchemy import Boolean, Float, Integer, Numeric, Table

from crmcore.hooks import Plugin, PluginTable
from crmcore.persistence.connection import Connection
from crmcore.persistence.snapshots import core_tables, plugin_tables, reflected
from crmcore.services.privacy.treatments import TREATMENTS

_NUMBERS: Final = (Integer, Numeric, Float, Boolean)

# What an erasure empties, and what it deletes or searches as a whole.
PERSONAL: Final[Mapping[str, frozenset[str]]] = {
    **{name: frozenset(each.emptied) for name, each in TREATMENTS.items()},
    "crm_identifier": frozenset({"identifier_value"}),
    "crm_timer": frozenset({"timer_key"}),
    "crm_match": frozenset({"evidence"}),
    "crm_fault": frozenset({"message", "trace"}),
    "crm_setting": frozenset({"setting_value"}),  # such as why somebody is on hold
}
"""Columns of the core that hold personal values, by table."""


@frozen
class Content:
    """
    A table, and how much of it a snapshot has.

    Attributes:
        plugin: Whose it is; None: the core's.
        columns: Those that are copied, in order.
        left_out: Those that are not.
    """

    table: Table
    plugin: str | None
    columns: tuple[str, ...]
    left_out: tuple[str, ...]

    @classmethod
    def of(cls, table: Table, plugin: str | None, personal: frozenset[str]) -> Content:
        names = table.columns.keys()
        return cls(
            table,
            plugin,
            tuple(name for name in names if name not in personal),
            tuple(name for name in names if name in personal),
        )


def contents(
    connection: Connection, plugins: Iterable[Plugin], *, with_personal: bool
) -> list[Content]:
    """Return the tables of the core and of all plugins that ever kept something here, by name."""
    nothing: frozenset[str] = frozenset()
    found = [
        Content.of(each, None, nothing if with_personal else PERSONAL.get(each.name, nothing))
        for each in core_tables()
    ]
    declared = {kept.table.name: kept for plugin in plugins for kept in plugin.tables}
    for name, plugin in plugin_tables(connection).items():
        kept = declared.get(name)
        table = reflected(connection, name) if kept is None else kept.table
        personal = nothing if with_personal else personal_columns(table, kept)
        found.append(Content.of(table, plugin, personal))
    return sorted(found, key=lambda each: each.table.name)


def personal_columns(table: Table, kept: PluginTable | None) -> frozenset[str]:
    """
    Return the columns of a plugin's table that may hold personal values.

    Unless the plugin says which, and is there to say it: all but numbers, as in anonymising.
    """
    if kept is not None and kept.personal is not None:
        return frozenset(kept.personal)
    return frozenset(each.name for each in table.columns if not isinstance(each.type, _NUMBERS))
