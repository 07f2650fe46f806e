"""`crm plugins show` and `crm plugins order`: what a plugin brings, and when it is called."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import click

from crmcore.cli.hooks import configured
from crmcore.cli.inspected import cost_json, hook_json, lag_json, looked_up
from crmcore.cli.plugin_stats import in_ms
from crmcore.cli.settings import Setting, settings_of, summary_of, toml_value
from crmcore.cli.shell import Shell, config_option, echo_json, json_option, pass_shell
from crmcore.cli.terminal.page import Page, open_page
from crmcore.cli.terminal.words import plural
from crmcore.configuration import load_configuration, load_plugin
from crmcore.errors import PluginError
from crmcore.hooks import Keep, Plugin, PluginTable
from crmcore.services.starting.assembly import Assembly, hook_names


@click.command
@click.argument("name")
@config_option
@json_option
@pass_shell
def show(shell: Shell, name: str, as_json: bool) -> None:
    """
    Show what a plugin brings, and how it can be set.

    Where there is a database, also how far the plugin is behind, what its hooks have cost, and
    how many rows it keeps. Looking opens nothing, and has nothing tried again.
    """
    cls = load_plugin(name)
    plugin = _configured_one(shell, name) or _with_defaults(cls)
    settings = [_setting_json(each, plugin) for each in settings_of(cls)]
    told: dict[str, Any] = {
        "name": name,
        "in_shadow": _is_in_shadow(shell, name),
        "summary": summary_of(cls),
        "requires": list(cls.requires),
        "after": list(cls.after),
        "hooks": [hook for hook in hook_names() if getattr(cls, hook) is not getattr(Plugin, hook)],
        "settings": settings,
        **(_brought(plugin) if plugin is not None else {}),
        "tables": [_table_json(each) for each in cls.tables],
    }
    found, why_not = looked_up(shell, name, cls.tables)
    if found is None:
        told["no_database"] = why_not
    else:
        told |= {
            "is_on": found.status.is_on,
            "lag": lag_json(found),
            "costs": [hook_json(each) for each in found.hooks],
            "cost": cost_json(found.cost),
        }
        for each in told["tables"]:
            each["rows"] = found.rows[each["table"]]
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


def _is_in_shadow(shell: Shell, name: str) -> bool:
    return shell.has_configuration and name in load_configuration(Path(shell.config)).shadow


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
    if told["in_shadow"]:
        page.say("It is in shadow: what it decides is kept, and nobody acts on it.", "accent")
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
    _print_hooks(page, told)
    if told["tables"]:
        _print_tables(page, told["tables"])
    if "lag" in told:
        page.heading("lag")
        for line in _lags(told):
            page.say(line)
    else:
        page.gap()
        page.say(f"What a database holds of it is not shown: {told['no_database']}.")


def _print_hooks(page: Page, told: dict[str, Any]) -> None:
    page.heading("hooks", "times are of CPU, in milliseconds" if told.get("costs") else "")
    costs = {each["hook"]: each for each in told.get("costs", ())}
    if not costs:
        page.say(", ".join(told["hooks"]) or "None.")
        return
    names = ("calls", "rows", "in all", "a row", "breaches")
    page.table(
        [("hook", "left"), *((name, "right") for name in names)],
        [_hook_row(hook, costs.get(hook)) for hook in dict.fromkeys([*told["hooks"], *costs])],
    )


def _hook_row(hook: str, cost: dict[str, Any] | None) -> list[str]:
    if cost is None:
        return [hook, *["-"] * 5]
    return [
        hook,
        f"{cost['calls']:,}",
        f"{cost['rows']:,}",
        f"{cost['cpu_ms']:,.1f}",
        in_ms(cost["ms_a_row"]),
        f"{cost['breaches']:,}",
    ]


def _print_tables(page: Page, tables: list[dict[str, Any]]) -> None:
    page.heading("tables")
    names = ("table", "", "merge", "export", "erase", "rows")
    page.table(
        [(name, "right" if name == "rows" else "left") for name in names],
        [
            (
                each["table"],
                "derived" if each["derived"] else "owned",
                each["merge"],
                "yes" if each["export"] else "no",
                each["erase"],
                "-" if each.get("rows") is None else f"{each['rows']:,}",
            )
            for each in tables
        ],
    )


def _lags(told: dict[str, Any]) -> Iterator[str]:
    """Yield what a plugin has yet to do, and whether it rests."""
    lag = told["lag"]
    if not told["is_on"]:
        yield "It is not switched on; what it has left waits until it is."
    if lag["behind"] is not None:
        yield f"{plural(lag['behind'], 'interaction')} it has yet to be told of."
    yield f"{plural(lag['debts'], 'customer')} it has yet to catch up with."
    yield (
        f"{plural(lag['waiting'], 'customer')} it failed with after the commit, "
        f"{lag['waiting_parked']:,} of them parked."
    )
    yield (
        f"{plural(lag['timers'], 'timer')}, {lag['timers_due']:,} of them due and "
        f"{lag['timers_parked']:,} parked."
    )
    if lag["rests_until"] is not None:
        yield f"It took too much time, and leaves its work to a worker until {lag['rests_until']}."


def _table_json(kept: PluginTable) -> dict[str, Any]:
    return {
        "table": kept.table.name,
        "derived": kept.derived,
        "merge": kept.merge,
        "export": kept.export,
        "erase": f"keep: {kept.erase.reason}" if isinstance(kept.erase, Keep) else kept.erase,
    }
