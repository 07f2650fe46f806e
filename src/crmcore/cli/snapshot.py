"""`crm snapshot`: all tables copied to Parquet files, to be analysed elsewhere."""

from __future__ import annotations

from pathlib import Path

import click

from crmcore.cli.shell import Shell, config_option, echo_json, json_option, pass_shell
from crmcore.cli.terminal.progress import working
from crmcore.cli.terminal.words import plural
from crmcore.domain.clock import to_datetime


@click.command
@click.argument("directory", type=click.Path(path_type=Path))
@click.option(
    "--with-personal",
    is_flag=True,
    help="Copy personal values, too: names, addresses, what was written.",
)
@config_option
@json_option
@pass_shell
def snapshot(shell: Shell, directory: Path, with_personal: bool, as_json: bool) -> None:
    """
    Copy all tables to Parquet files, to be analysed elsewhere.

    DIRECTORY is made; it comes to be there as a whole, or not at all. All files have the state of
    one instant, while the shop goes on. What is erased later stays in it, so delete it when it
    has served its purpose.
    """
    with shell.open() as crm, working("Copying tables"):
        made = crm.snapshot(directory, with_personal=with_personal)
    if as_json:
        echo_json({"directory": str(directory), **made.as_json()})
        return
    at = f"{to_datetime(made.taken_at):%Y-%m-%d %H:%M:%S}"
    rows = plural(made.rows, "row")
    click.echo(f"{directory}: {plural(len(made.tables), 'table')}, {rows}, as of {at} UTC.")
    if with_personal:
        click.echo("Personal values are in it, and no erasure reaches them.")
        return
    left_out = sum(len(each.left_out) for each in made.tables.values())
    click.echo(
        f"{plural(left_out, 'column')} that may hold personal values {_was(left_out)} left out; "
        "--with-personal copies them, too."
    )


def _was(count: int) -> str:
    return "was" if count == 1 else "were"
