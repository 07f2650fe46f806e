"""`crm plugins stats`: what plugins take of the shop's transactions, side by side."""

from __future__ import annotations

from typing import Any

import click

from crmcore.cli.inspected import all_looked_up, cost_json
from crmcore.cli.shell import Shell, config_option, echo_json, json_option, pass_shell
from crmcore.cli.terminal.page import open_page
from crmcore.cli.terminal.words import percent
from crmcore.services.checkups.inspection import PluginInspection


@click.command
@config_option
@json_option
@pass_shell
def stats(shell: Shell, as_json: bool) -> None:
    """
    Show what plugins cost, and how far they are behind.

    Times are of CPU, in milliseconds, and of the hooks that run in the shop's transactions. They
    are saved when an application is closed, and by a worker once a minute.
    """
    found = all_looked_up(shell)
    total = sum(each.cost.microseconds for each in found)
    rows = [_row(each, total) for each in found]
    if as_json:
        echo_json(rows)
        return
    page = open_page()
    if not rows:
        page.say("No plugin is switched on, and none has left anything.")
        return
    names = ("plugin", "calls", "rows", "CPU ms", "ms a row", "share", "breaches", "debts")
    page.table(
        [(name, "left" if name == "plugin" else "right") for name in (*names, "behind")],
        [
            (
                row["plugin"],
                f"{row['calls']:,}",
                f"{row['rows']:,}",
                f"{row['cpu_ms']:,.1f}",
                in_ms(row["ms_a_row"]),
                "-" if row["share"] is None else percent(row["share"]),
                f"{row['breaches']:,}",
                f"{row['debts']:,}",
                "-" if row["behind"] is None else f"{row['behind']:,}",
            )
            for row in rows
        ],
    )


def in_ms(value: float | None) -> str:
    """Return milliseconds as people read them: a dash where there are none to tell of."""
    return "-" if value is None else f"{value:,.3f}"


def _row(found: PluginInspection, total: int) -> dict[str, Any]:
    cost = found.cost
    return {
        "plugin": found.status.name,
        "is_on": found.status.is_on,
        **cost_json(cost),
        "share": cost.microseconds / total if total else None,
        "debts": found.status.debts,
        "behind": found.status.behind,
    }
