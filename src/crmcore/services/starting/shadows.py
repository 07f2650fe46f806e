"""Shadows: which plugins may be in one, and what is left behind as they leave it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from sqlalchemy import bindparam, delete

from crmcore.errors import PluginError, PluginNotFoundError
from crmcore.persistence.connection import Connection
from crmcore.persistence.cursors import backlog, cursor
from crmcore.persistence.faults import debt
from crmcore.persistence.timers import timer
from crmcore.services.starting.assembly import Assembly

_LEFT: Final = [
    delete(table).where(table.c.plugin == bindparam("owner"))
    for table in (timer, debt, backlog, cursor)
]


def check_shadow(assembly: Assembly, shadow: Collection[object]) -> None:
    """
    Refuse what cannot be in shadow.

    Raises:
        PluginNotFoundError: If no plugin has the name.
        PluginError: If it brings a channel.
    """
    known = [plugin.name for plugin in assembly]
    for name in shadow:
        if name not in known:
            raise PluginNotFoundError(str(name), known)
    for channel, carrier in assembly.carriers.items():
        if carrier.name in shadow:
            raise PluginError(
                carrier.name,
                f"brings the channel {channel!r}, which carries what others say, so it cannot be "
                "in shadow",
            )


def leave_shadow(connection: Connection, plugin: str) -> None:
    """
    Leave behind what a plugin was about to do in shadow, so that it acts on what comes from now on.

    Its timers were set there, and what it had yet to be told came while it was there.
    """
    for statement in _LEFT:
        connection.change(statement, owner=plugin)
