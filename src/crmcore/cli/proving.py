"""`crm prove`: an identifier that is shown to be a customer's."""

from __future__ import annotations

import click

from crmcore.cli.answers import proven_json
from crmcore.cli.customer import known_as
from crmcore.cli.merging import told
from crmcore.cli.shell import Shell, config_option, echo_json, json_option, pass_shell


@click.command
@click.argument("customer", metavar="CUSTOMER")
@click.argument("scheme", metavar="SCHEME")
@click.argument("value", metavar="VALUE")
@click.option("--reason", metavar="TEXT", help="What proves it, for whoever looks at it later.")
@config_option
@json_option
@pass_shell
def prove(
    shell: Shell, customer: str, scheme: str, value: str, reason: str | None, as_json: bool
) -> None:
    """
    Give a customer an identifier that is proved to be theirs.

    CUSTOMER is written as scheme:value, or as an id; SCHEME and VALUE are such as email and
    ada@example.com. What a guest of it left is merged into the customer. Where it is somebody
    else's already, the two are proposed as one.
    """
    with shell.open() as crm:
        identifier = crm.identifier(scheme, value)
        proven = crm.prove(known_as(customer), identifier, reason=reason, actor="cli")
    if as_json:
        echo_json(proven_json(proven))
        return
    who = proven.customer
    if proven.added:
        click.echo(f"{proven.identifier} is customer {who}'s now.")
    elif proven.proposed is None:
        click.echo(f"{proven.identifier} was customer {who}'s before.")
    if proven.merge is not None:
        click.echo(f"Merge {proven.merge.id}: {told(proven.merge)}")
        click.echo(f"`crm unmerge {proven.merge.id}` undoes it.")
    if proven.proposed is not None:
        two = f"{who} {proven.proposed}"
        click.echo(
            f"Customer {proven.proposed} is known by {proven.identifier.value}, too: `crm merge "
            f"{two}` makes the two one, `crm duplicates --reject {two}` says they are two."
        )
