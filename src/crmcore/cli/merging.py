"""`crm merge` and `crm unmerge`: two customers become one, and two again."""

from __future__ import annotations

import click

from crmcore.cli.answers import merge_json, unmerged_json
from crmcore.cli.customer import known_as
from crmcore.cli.shell import Shell, config_option, echo_json, json_option, pass_shell
from crmcore.cli.terminal.words import plural
from crmcore.services.merging.merging import Merge

SHOWN = 20


@click.command
@click.argument("survivor", metavar="SURVIVOR")
@click.argument("merged", metavar="MERGED")
@click.option("--reason", metavar="TEXT", help="Why they are one, for whoever looks at it later.")
@config_option
@json_option
@pass_shell
def merge(shell: Shell, survivor: str, merged: str, reason: str | None, as_json: bool) -> None:
    """
    Make two customers one.

    SURVIVOR and MERGED are written as scheme:value, or as ids. All that was MERGED's is
    SURVIVOR's then. Nothing is announced or sent, and `crm unmerge` undoes it.
    """
    with shell.open() as crm:
        done = crm.merge(known_as(survivor), known_as(merged), reason=reason, actor="cli")
    if as_json:
        echo_json(merge_json(done))
        return
    click.echo(f"Merge {done.id}: {told(done)}")
    click.echo(f"`crm unmerge {done.id}` undoes it.")


def told(done: Merge) -> str:
    """Return what a merge moved, in words."""
    moved = [plural(done.interactions, "interaction"), plural(done.identifiers, "identifier")]
    moved += [f"{plural(count, 'row')} of {table}" for table, count in done.rows.items()]
    text = f"customer {done.merged} is customer {done.survivor} now. Moved: {', '.join(moved)}."
    if done.shelved:
        kept = [f"{plural(count, 'row')} of {table}" for table, count in done.shelved.items()]
        text += f" Put aside, as the survivor has their own: {', '.join(kept)}."
    return text


@click.command
@click.argument("merge_id", type=click.IntRange(min=1))
@config_option
@json_option
@pass_shell
def unmerge(shell: Shell, merge_id: int, as_json: bool) -> None:
    """
    Make two of them again.

    MERGE_ID is the number of the merge; `crm customer show` tells it. What was recorded since
    goes to whom its identifier belongs to.
    """
    with shell.open() as crm:
        done = crm.unmerge(merge_id, actor="cli")
    if as_json:
        echo_json(unmerged_json(done))
        return
    back = [plural(done.interactions, "interaction"), plural(done.identifiers, "identifier")]
    back += [f"{plural(count, 'row')} of {table}" for table, count in done.rows.items()]
    click.echo(
        f"Merge {merge_id} is undone: customer {done.merged} is their own again, with "
        f"{', '.join(back)}."
    )
    if done.unclear:
        listed = ", ".join(map(str, done.unclear[:SHOWN]))
        more = len(done.unclear) - SHOWN
        listed += f" and {more} more" if more > 0 else ""
        click.echo(
            f"Nobody can say whose these are, so they stay with customer {done.survivor}: "
            f"{plural(len(done.unclear), 'interaction')}, {listed}."
        )
