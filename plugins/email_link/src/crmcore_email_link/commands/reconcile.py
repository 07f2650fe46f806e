"""`crm email reconcile`: whether mails, attempts and what came back fit together."""

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
def reconcile(shell: Shell, as_json: bool) -> None:
    """
    Check that mails, attempts and what came back fit together.

    Beside what `crm reconcile` looks at: no mail was taken twice, each that a provider took has
    its name there, and what came back is about a mail that there was. Of mails whose fate nobody
    knows it is told what was done with them. Nothing is changed. Exit code 1 where something does
    not fit.
    """
    from crmcore_email_link.reconciling import reconcile_mail

    with open_post(shell) as (crm, plugin):
        found = reconcile_mail(crm, plugin)
    if as_json:
        differences = [{"sort": each.sort, "sentence": each.sentence} for each in found.differences]
        echo_json({"differences": differences, "notes": list(found.notes)})
    else:
        page = open_page()
        if found.differences:
            count = counted(len(found.differences), "thing does", "things do")
            page.say(f"{count} not fit:", "bad")
            for each in found.differences:
                page.item("", f"{each.sentence}.", indent=2)
        else:
            page.say("All of it fits together.", "good")
        for note in found.notes:
            page.say(f"Note: {note}.")
    if found.differences:
        click.get_current_context().exit(1)
