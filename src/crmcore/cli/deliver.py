"""`crm deliver`: all messages that are due, without a worker."""

from __future__ import annotations

import click

from crmcore.cli.shell import Shell, config_option, echo_json, json_option, pass_shell
from crmcore.cli.terminal.progress import working
from crmcore.cli.terminal.words import plural


@click.command
@click.option(
    "--put-off",
    is_flag=True,
    help="At once, too, what channels deferred; and what waits for hours or caps set otherwise.",
)
@config_option
@json_option
@pass_shell
def deliver(shell: Shell, put_off: bool, as_json: bool) -> None:
    """
    Deliver all messages that are due.

    Each passes the gate once more before it goes. `crm worker` does the same as time passes.
    After a channel was mended, or hours or caps were set otherwise, --put-off lets what waits for
    that be looked at now.
    """
    with shell.open() as crm, working("Delivering"):
        done = crm.deliver(put_off=put_off)
    if as_json:
        echo_json(dict(done))
        return
    others = done["others"]
    aside = f" Of {plural(others, 'other')} `crm messages` tells." if others else ""
    count = done["accepted"]
    whose = "its channel" if count == 1 else "their channels"
    click.echo(f"{plural(count, 'message')} accepted by {whose}.{aside}")
