"""`crm plugins show` and `crm plugins order`: what a plugin brings, and when it is called."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click

from crmcore.cli.hooks import configured
from crmcore.cli.settings import Setting, settings_of, summary_of, toml_value
from crmcore.cli.shell import Shell, config_option, echo_json, json_option, pass_shell
from crmcore.cli.terminal.page import Page, open_page
from crmcore.configuration import load_configuration, load_plugin
from crmcore.errors import PluginError
from crmcore.hooks import Plugin
from crmcore.services.starting.assembly import Assembly, hook_names


@click.command
@click.argument("name")
@config_option
@json_option
@pass_shell
def show(shell: Shell, name: str, as_json: bool) -> None:
    """Show what a plugin brings, and how it can be set."""
    cls = load_plugin(name)
    plugin = _configured_one(shell, name) or _with_defaults(cls)
    settings = [_setting_json(each, plugin) for each in settings_of(cls)]
    told = {
        "name": name,
        "summary": summary_of(cls),
        "requires": list(cls.requires),
        "after": list(cls.after),
        "hooks": [hook for hook in hook_names() if getattr(cls, hook) is not getattr(Plugin, hook)],
        "settings": settings,
        **(_brought(plugin) if plugin is not None else {}),
        "tables": [
            {"table": each.table.name, "derived": each.derived, "merge": each.merge}
            for each in cls.tables
        ],
    }
    if as_json:
        echo_json(told)
    else:
        _print(open_page(), told)


@click.command
@config_option
@json_option
@pass_shell
def order(shell: Shell, as_json: bool) -> None:
    """Show in which order plugins are called."""
    # Without a configuration there is nothing to be put in order, and it says so.
    configuration = load_configuration(Path(shell.config))
    assembly = Assembly(configuration.plugins)
    rows = [
        {
            "name": plugin.name,
            "requires": list(plugin.requires),
            "after": [name for name in plugin.after if name in {p.name for p in assembly}],
        }
        for plugin in assembly
    ]
    if as_json:
        echo_json(rows)
        return
    if not rows:
        click.echo(f"{shell.config} switches no plugin on.")
        return
    open_page().table(
        [("", "right"), ("plugin", "left"), ("because of", "left")],
        [
            (str(number), str(row["name"]), _because(row["requires"], row["after"]))
            for number, row in enumerate(rows, start=1)
        ],
    )


def _because(requires: Iterable[str], after: Iterable[str]) -> str:
    reasons = [f"requires {name}" for name in requires] + [f"after {name}" for name in after]
    return ", ".join(reasons) or "its name"


def _configured_one(shell: Shell, name: str) -> Plugin | None:
    if not shell.has_configuration:
        return None
    return next((each for each in configured(shell) if each.name == name), None)


def _with_defaults(cls: type[Plugin]) -> Plugin | None:
    try:
        return cls()
    except TypeError:  # a setting has no default
        return None


def _setting_json(setting: Setting, plugin: Plugin | None) -> dict[str, Any]:
    value = None if plugin is None else toml_value(getattr(plugin, setting.name, None))
    return {
        "name": setting.name,
        "type": setting.type,
        "default": setting.default,
        "value": value,
        "help": setting.help,
    }


def _brought(plugin: Plugin) -> dict[str, Any]:
    parts = {
        "traits": plugin.register_traits,
        "kinds": plugin.register_kinds,
        "lifecycles": plugin.register_lifecycles,
        "reports": plugin.register_reports,
    }
    return {name: _listed(plugin, register) for name, register in parts.items()}


def _listed(plugin: Plugin, register: Callable[[], Iterable[Any] | None]) -> list[dict[str, str]]:
    try:
        items = list(register() or ())
    except Exception as error:
        raise PluginError(
            plugin.name, f"{register.__name__} raised {type(error).__name__}: {error}"
        ) from error
    return [{"name": each.name, "description": getattr(each, "description", "")} for each in items]


def _print(page: Page, told: dict[str, Any]) -> None:
    page.heading(told["name"])
    page.say(told["summary"])
    for part in ("requires", "after"):
        if told[part]:
            page.say(f"{part.capitalize()} {', '.join(told[part])}.")
    if told["settings"]:
        page.heading("settings", f"[plugins.{told['name']}]")
        page.table(
            [("name", "left"), ("value", "left"), ("default", "left"), ("", "left")],
            [
                (each["name"], each["value"] or "", each["default"] or "needed", each["help"])
                for each in told["settings"]
            ],
        )
    for part in ("traits", "kinds", "lifecycles", "reports"):
        if told.get(part):
            page.heading(part)
            page.table(
                [("", "left"), ("", "left")],
                [(each["name"], each["description"]) for each in told[part]],
            )
    page.heading("hooks")
    page.say(", ".join(told["hooks"]) or "None.")
    if told["tables"]:
        page.heading("tables")
        page.say(", ".join(each["table"] for each in told["tables"]))
