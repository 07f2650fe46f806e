"""`crm retention`: personal values that have been kept for long enough are emptied."""

from __future__ import annotations

import click

from crmcore.cli.shell import Shell, config_option, echo_json, json_option, pass_shell
from crmcore.cli.terminal.words import plural


@click.command
@click.option("--dry-run", is_flag=True, help="Say how much would be emptied; change nothing.")
@config_option
@json_option
@pass_shell
def retention(shell: Shell, dry_run: bool, as_json: bool) -> None:
    """
    Empty what has been kept for long enough.

    `[retention]` in crm.toml says how long the personal values of each kind of interaction are
    kept. A worker does this once a day. Who is on hold is left alone.
    """
    with shell.open() as crm:
        counts = dict(crm.plan_retention() if dry_run else crm.retain())
    if as_json:
        echo_json({"emptied": not dry_run, "kinds": counts})
        return
    for kind, count in sorted(counts.items()):
        click.echo(f"  {kind}: {plural(count, 'interaction')}")
    verb = "would be emptied" if dry_run else "emptied"
    click.echo(f"{plural(sum(counts.values()), 'personal part')} {verb}.")
