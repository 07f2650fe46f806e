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

    NAME is a plugin, or lifecycles; without any, everything is made anew. Nothing is recorded
    and nothing is decided.
    """
    with shell.open() as crm, working("Rebuilding"):
        done = crm.rebuild(*names)
    if as_json:
        echo_json({"rebuilt": done})
    else:
        click.echo(f"Made anew: {', '.join(done)}.")
