"""`crm relate`: customers who belong together, and are not one."""

from __future__ import annotations

import click

from crmcore.cli.customer import known_as
from crmcore.cli.shell import Shell, config_option, echo_json, json_option, pass_shell
from crmcore.services.transaction import Transaction


@click.command
@click.argument("customer", metavar="CUSTOMER")
@click.argument("relation", metavar="RELATION")
@click.argument("other", metavar="OTHER")
@click.option("--end", is_flag=True, help="Note that it is so no longer.")
@config_option
@json_option
@pass_shell
def relate(
    shell: Shell, customer: str, relation: str, other: str, end: bool, as_json: bool
) -> None:
    """
    Note how a customer is related to another.

    RELATION is contact_of, household_of, child_of or referred_by. CUSTOMER and OTHER are written
    as scheme:value, or as ids; `crm customer show` tells the relations of a customer.
    """
    who, whom = known_as(customer), known_as(other)

    def note(tx: Transaction) -> bool:
        return tx.unrelate(who, relation, whom) if end else tx.relate(who, relation, whom)

    with shell.open() as crm:
        changed = crm.run_transaction(note, actor="cli")
    if as_json:
        echo_json({"relation": relation, "ended": end, "changed": changed})
        return
    about = f"{customer} {relation} {other}"
    if end:
        click.echo(f"Ended: {about}." if changed else f"There was no such relation: {about}.")
    else:
        click.echo(f"Noted: {about}." if changed else f"Was noted before: {about}.")
