"""`crm duplicates`: customers who may be one person."""

from __future__ import annotations

import click

from crmcore.cli.answers import match_json, merge_json
from crmcore.cli.customer import known_as
from crmcore.cli.merging import told
from crmcore.cli.shell import Shell, config_option, echo_json, json_option, pass_shell


@click.command
@click.option(
    "--reject",
    nargs=2,
    metavar="ONE OTHER",
    help="Note that these two, as scheme:value or ids, are not one person: they are proposed no "
    "more, whatever names both, and no policy merges them. `crm merge` still can.",
)
@click.option(
    "--merge-agreed", is_flag=True, help="Merge those whom policy (merge_on) says are one."
)
@config_option
@json_option
@pass_shell
def duplicates(
    shell: Shell, reject: tuple[str, str] | None, merge_agreed: bool, as_json: bool
) -> None:
    """
    List customers who may be one person.

    A pair is proposed when something was recorded that names both. It waits until `crm merge`
    makes the two one, or --reject says that they are two.
    """
    with shell.open() as crm:
        if reject:
            one, other = map(known_as, reject)
            crm.reject_duplicate(one, other, actor="cli")
        merged = crm.merge_agreed(actor="cli") if merge_agreed else []
        found = crm.duplicates()
    if as_json:
        echo_json(
            {
                "duplicates": [match_json(each) for each in found],
                "merged": [merge_json(each) for each in merged],
            }
        )
        return
    if reject:
        click.echo(f"{reject[0]} and {reject[1]} are two, and are not proposed again.")
    for done in merged:
        click.echo(f"Merge {done.id}: {told(done)}")
    for each in found:
        agreed = (
            " Policy says they are one: --merge-agreed merges them."
            if (each.status == "agreed")
            else ""
        )
        click.echo(f"Customers {each.customer} and {each.other}: {each.words}.{agreed}")
    if not found:
        click.echo("No two customers look like one person.")
    elif any(each.status == "open" for each in found):
        click.echo("`crm merge ONE OTHER` makes two one; --reject ONE OTHER says they are two.")
