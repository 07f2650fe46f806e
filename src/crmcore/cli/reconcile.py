"""`crm reconcile`: whether messages, broadcasts and the attempts at them fit together."""

from __future__ import annotations

import click

from crmcore.cli.shell import Shell, config_option, echo_json, json_option, pass_shell
from crmcore.cli.terminal.words import plural


@click.command
@config_option
@json_option
@pass_shell
def reconcile(shell: Shell, as_json: bool) -> None:
    """
    Check that messages and attempts fit together.

    For each broadcast the sum of all states is its audience; what was accepted has an attempt
    that says so; no lease has ended long ago; no message waits for a plugin that is gone. Nothing
    is changed. Ends with 1 where something does not fit.
    """
    with shell.open() as crm:
        found = crm.reconcile()
    if as_json:
        echo_json([{"sort": each.sort, "sentence": each.sentence} for each in found])
    elif not found:
        click.echo("All of it fits together.")
    else:
        click.echo(f"{plural(len(found), 'thing does', 'things do')} not fit:")
        for each in found:
            click.echo(f"  {each.sentence}.")
    if found:
        click.get_current_context().exit(1)
