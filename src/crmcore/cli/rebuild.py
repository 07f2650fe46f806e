"""`crm rebuild`: derived tables made anew from the ledger."""

from __future__ import annotations

import click

from crmcore.cli.shell import Shell, config_option, echo_json, json_option, pass_shell
from crmcore.cli.terminal.progress import working


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
        done = crm.rebuild(*names)
        owed = crm.debts()
    if as_json:
        echo_json({"rebuilt": done, "caught_up": dict(paid), "owed": dict(owed)})
        return
    for plugin, customers in paid.items():
        click.echo(f"{plugin} caught up with {customers:,} customers.")
    click.echo(f"Made anew: {', '.join(done)}.")
    for plugin, customers in owed.items():
        click.echo(f"{plugin} still owes work for {customers:,} customers.", err=True)
