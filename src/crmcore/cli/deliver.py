"""`crm deliver`: all messages that are due, without a worker."""

from __future__ import annotations

import click

from crmcore.cli.shell import Shell, config_option, echo_json, json_option, pass_shell
from crmcore.cli.terminal.progress import working
from crmcore.cli.terminal.words import plural


@click.command
@config_option
@json_option
@pass_shell
def deliver(shell: Shell, as_json: bool) -> None:
    """
    Deliver all messages that are due.

    Each passes the gate once more before it goes. `crm worker` does the same as time passes.
    """
    with shell.open() as crm, working("Delivering"):
        done = crm.deliver()
    if as_json:
        echo_json(dict(done))
        return
    others = done["others"]
    aside = f" Of {plural(others, 'other')} `crm messages` tells." if others else ""
    click.echo(f"{plural(done['accepted'], 'message')} accepted by their channels.{aside}")
