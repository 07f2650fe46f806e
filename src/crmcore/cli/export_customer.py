"""`crm export-customer`: all that is kept of a customer, for them to have."""

from __future__ import annotations

from pathlib import Path

import click

from crmcore.cli.customer import known_as
from crmcore.cli.shell import Shell, config_option, echo_json, json_option, pass_shell
from crmcore.cli.terminal.words import plural


@click.command("export-customer")
@click.argument("who", metavar="CUSTOMER")
@click.option(
    "--to",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    metavar="FOLDER",
    help="Where to write; it is made if it is not there.  [default: this folder]",
)
@config_option
@json_option
@pass_shell
def export_customer(shell: Shell, who: str, folder: Path, as_json: bool) -> None:
    """
    Write down all that is kept of a customer.

    CUSTOMER is written as scheme:value, or as an id. There is a JSON file for programs and a page
    for people, and both say the same. What is about other people is left out. They are
    copies, which no erasure reaches: delete them when they have been handed over.
    """
    with shell.open() as crm:
        done = crm.export(known_as(who), folder)
    if as_json:
        echo_json(
            {
                "customer": str(done.customer_id),
                "data": str(done.data),
                "page": str(done.page),
                "sections": dict(done.sections),
            }
        )
        return
    count = sum(n for name, n in done.sections.items() if name != "left_out")
    click.echo(f"Customer {done.customer_id}, {plural(count, 'entry', 'entries')}:")
    click.echo(f"  for programs  {done.data}")
    click.echo(f"  for people    {done.page}")
    click.echo(
        "These are copies, which no erasure reaches: delete them once they were handed over."
    )
