"""Which revisions of tables there are, and whether a database has come as far."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from crmcore.errors import OutdatedSchemaError, PluginError, SchemaError
from crmcore.hooks import Plugin
from crmcore.persistence.revisions import CORE, MIGRATIONS, Revision, find_revisions


def core_revisions() -> Sequence[Revision]:
    """Return the revisions of the core's tables, in their order."""
    return find_revisions(CORE, MIGRATIONS)


def revisions_of(plugin: Plugin) -> Sequence[Revision]:
    """
    Return the revisions of a plugin's tables, in their order.

    Raises:
        PluginError: If its package is not there, or a number is missing.
    """
    if plugin.migrations is None:
        return ()
    try:
        return find_revisions(plugin.name, plugin.migrations)
    except ValueError as error:
        raise PluginError(plugin.name, f"migrations: {error}") from error


def refuse_newer(component: str, found: Collection[int], known: int) -> None:
    """
    Refuse a database that has a revision which this code does not know.

    Raises:
        SchemaError: Says what is there and what to install.
    """
    newest = max(found, default=0)
    if newest <= known:
        return
    if component == CORE:
        raise SchemaError(
            f"the database has revision {newest} of the core's tables, and this crmcore knows "
            f"them up to {known}; install the newer crmcore it was used with"
        )
    raise SchemaError(
        f"the database has revision {newest} of the tables of plugin {component!r}, and this "
        f"version of the plugin knows them up to {known}; install the newer one it was used with"
    )


def refuse_older(component: str, found: Collection[int], needed: int) -> None:
    """
    Refuse a database that lacks a revision.

    Raises:
        OutdatedSchemaError: Says what is there, what is needed and how to get there.
    """
    newest = max(found, default=0)
    if newest < needed:
        whose = "the core's tables" if component == CORE else f"the tables of plugin {component!r}"
        raise OutdatedSchemaError(whose, found=newest, needed=needed)
