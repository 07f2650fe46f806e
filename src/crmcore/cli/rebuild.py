"""`crm rebuild`: derived tables made anew from the ledger."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click
from sqlalchemy import Table

from crmcore.cli.shell import Shell, config_option, echo_json, json_option, pass_shell
from crmcore.cli.terminal.progress import working
from crmcore.cli.terminal.words import plural
from crmcore.persistence.consent import consent, zone
from crmcore.persistence.stages import change, stage
from crmcore.services.checkups.inspection import count_rows

if TYPE_CHECKING:
    from crmcore.app import Crm


@click.command
@click.argument("names", nargs=-1, metavar="[NAME]...")
@config_option
@json_option
@pass_shell
def rebuild(shell: Shell, names: tuple[str, ...], as_json: bool) -> None:
    """
    Make derived tables anew from the ledger.

    NAME is a plugin, or lifecycles; without any, everything is made anew. Plugins that owe work
    first catch up, and decide about what they missed; besides that nothing is recorded.
    """
    with shell.open() as crm, working("Rebuilding"):
        paid = crm.pay_debts()
        before = _counted(crm)
        done = crm.rebuild(*names)
        after = _counted(crm)
        owed = crm.debts()
    rows = {
        name: {"before": before[part][name] or 0, "after": after[part][name] or 0}
        for part in done
        for name in after[part]
    }
    if as_json:
        echo_json({"rebuilt": done, "rows": rows, "caught_up": dict(paid), "owed": dict(owed)})
        return
    for plugin, customers in paid.items():
        click.echo(f"{plugin} caught up with {customers:,} customers.")
    click.echo(f"Made anew: {', '.join(done)}.")
    for name, count in rows.items():
        click.echo(f"{name}: {plural(count['after'], 'row')}, before {count['before']:,}.")
    for plugin, customers in owed.items():
        click.echo(f"{plugin} still owes work for {customers:,} customers.", err=True)


def _counted(crm: Crm) -> dict[str, dict[str, int | None]]:
    """Return how many rows there are of all that can be made anew, by part and table."""
    parts: dict[str, Iterable[Table]] = {
        "lifecycles": (stage, change),
        "consent": (consent, zone),
        **{
            plugin.name: [each.table for each in plugin.tables if each.derived]
            for plugin in crm.assembly
        },
    }
    with crm.runtime.database.begin(read_only=True) as connection:
        return {part: count_rows(connection, tables) for part, tables in parts.items()}
