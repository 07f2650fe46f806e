"""Plugins as the database knows them: looked up without opening it, and told as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from crmcore.cli.answers import instant_json
from crmcore.cli.shell import Shell
from crmcore.configuration import load_configuration
from crmcore.domain.clock import SystemClock
from crmcore.errors import StorageError
from crmcore.hooks import PluginTable
from crmcore.services.checkups.hook_times import MILLISECOND
from crmcore.services.checkups.inspection import (
    Cost,
    HookCost,
    PluginInspection,
    inspect_plugin,
    inspect_plugins,
)
from crmcore.services.starting.assembly import Assembly


def looked_up(
    shell: Shell, name: str, tables: Sequence[PluginTable]
) -> tuple[PluginInspection | None, str]:
    """Return how a plugin stands in the database; None, and why, where there is none."""
    if not shell.has_configuration:
        return None, f"{shell.config} is not there, so no database is known to look at"
    try:
        url, on = _database(shell)
        return inspect_plugin(url, name, tables, on, SystemClock().now()), ""
    except StorageError as error:
        return None, str(error)


def all_looked_up(shell: Shell) -> list[PluginInspection]:
    """Return how all plugins stand; raises what there is to say against the database."""
    url, on = _database(shell)
    return inspect_plugins(url, on, SystemClock().now())


def _database(shell: Shell) -> tuple[str, list[str]]:
    configuration = load_configuration(Path(shell.config))
    url: str = configuration.arguments()["url"]
    return url, [plugin.name for plugin in Assembly(configuration.plugins)]


def lag_json(found: PluginInspection) -> dict[str, Any]:
    """Return how far a plugin is behind."""
    status = found.status
    return {
        "behind": status.behind,
        "debts": status.debts,
        "waiting": status.waiting,
        "waiting_parked": status.waiting_parked,
        "timers": status.timers,
        "timers_due": status.timers_due,
        "timers_parked": status.timers_parked,
        "rests_until": instant_json(found.rests_until),
    }


def cost_json(cost: Cost | HookCost) -> dict[str, Any]:
    """Return what a plugin, or one hook of it, has cost; times in milliseconds of CPU."""
    return {
        "calls": cost.calls,
        "rows": cost.rows,
        "cpu_ms": cost.microseconds / MILLISECOND,
        "ms_a_row": cost.microseconds / MILLISECOND / cost.rows if cost.rows else None,
        "breaches": cost.breaches,
    }


def hook_json(cost: HookCost) -> dict[str, Any]:
    """Return what one hook has cost."""
    return {"hook": cost.hook, **cost_json(cost), "slowest_ms": cost.slowest / MILLISECOND}
