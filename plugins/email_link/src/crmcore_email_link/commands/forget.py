"""`crm email forget`: who signed up and never confirmed it is forgotten."""

from __future__ import annotations

import click

from crmcore.cli.shell import (
    Shell,
    config_option,
    echo_json,
    json_option,
    open_page,
    pass_shell,
)
from crmcore_email_link.commands.opening import counted, open_post


@click.command
@config_option
@json_option
@pass_shell
def forget(shell: Shell, as_json: bool) -> None:
    """
    Forget who signed up and never confirmed it.

    Those of whom nothing else is on record are erased, once their seven days are over. Call it
    once a day. Whoever is known by anything else, such as an order, stays.
    """
    from crmcore_email_link.upkeep import forget_unconfirmed

    with open_post(shell) as (crm, _):
        count = forget_unconfirmed(crm)
    if as_json:
        echo_json({"forgotten": count})
    else:
        open_page().say(f"{counted(count, 'sign-up')} forgotten.")
