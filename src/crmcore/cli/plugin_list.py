"""`crm plugins list`: what is installed and switched on; imports neither plugins nor a database."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import Any

import click

from crmcore.cli.installed import PLUGINS, Installed
from crmcore.cli.shell import Shell, config_option, echo_json, json_option, pass_shell
from crmcore.cli.terminal.page import Page
from crmcore.errors import ConfigurationError


@click.command("list")
@config_option
@json_option
@pass_shell
def list_(shell: Shell, as_json: bool) -> None:
    """List the plugins that are installed and switched on."""
    tables = _plugin_tables(shell)
    rows = [
        {
            "name": each.name,
            "state": _state(each.name, tables),
            "version": each.version,
            "distribution": each.distribution,
            "summary": each.summary,
        }
        for each in Installed.of(PLUGINS)
    ]
    installed = {row["name"] for row in rows}
    rows += [
        {"name": name, "state": "not installed", "version": "", "distribution": "", "summary": ""}
        for name in sorted(set(tables or ()) - installed)
    ]
    if as_json:
        echo_json(rows)
        return
    if not rows:
        click.echo("No plugin is installed; crmcore-tiering is one to begin with.")
        return
    shown = ("name", "state", "version", "summary")
    Page().table(
        [(name, "left") for name in shown], [[row[name] for name in shown] for row in rows]
    )


def _plugin_tables(shell: Shell) -> Mapping[str, Any] | None:
    """Return the plugins' tables of the configuration, unchecked; None if there is none."""
    path = shell.config
    if not shell.has_configuration:
        return None
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8")).get("plugins", {})
    except FileNotFoundError as error:
        raise ConfigurationError(f"{path} is not there; `crm init` writes one") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from error
    if not isinstance(tables, Mapping):
        raise ConfigurationError(f"{path}: [plugins.<name>] tables expected, {tables!r} found")
    return tables


def _state(name: str, tables: Mapping[str, Any] | None) -> str:
    if tables is None or name not in tables:
        return "installed"
    table = tables[name]
    is_off = isinstance(table, Mapping) and table.get("enabled", True) is not True
    if is_off:
        return "switched off"
    in_shadow = isinstance(table, Mapping) and table.get("shadow", False) is True
    return "in shadow" if in_shadow else "switched on"
