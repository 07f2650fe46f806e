"""`crm customer`: what is known of a customer."""

from __future__ import annotations

import click

from crmcore.cli.answers import customer_json, instant_json, merge_json, relation_json
from crmcore.cli.shell import Shell, config_option, echo_json, json_option, pass_shell
from crmcore.cli.terminal.page import open_page
from crmcore.cli.terminal.walk import Walk
from crmcore.domain.identity import Known, parse_identifier


def known_as(text: str) -> Known:
    """Return the customer that somebody writes as `scheme:value`, or as a bare id."""
    return int(text) if text.isascii() and text.isdigit() else parse_identifier(text)


@click.command
@click.argument("who", metavar="SCHEME:VALUE|ID")
@click.option(
    "--most",
    type=click.IntRange(min=0),
    default=20,
    show_default=True,
    help="How many of the latest interactions to show.",
)
@config_option
@json_option
@pass_shell
def show(shell: Shell, who: str, most: int, as_json: bool) -> None:
    """Show who a customer is, where they stand, and what happened last."""
    known = known_as(who)
    with shell.open() as crm:
        view = crm.customer(known, most=most)
        merges, relations = crm.merges(view.customer.id), crm.relations(view.customer.id)
        if as_json:
            more = {
                "merges": [merge_json(each) for each in merges],
                "relations": [relation_json(each) for each in relations],
            }
            echo_json({**customer_json(view), **more})
            return
        walk = Walk(open_page(), crm.runtime.currency, crm.runtime.calendar)
        walk.show_customer(view)
        for each in relations:
            walk.page.item("relation", str(each), indent=10)
        for done in merges:
            undone = f"; undone {instant_json(done.undone_at)}" if done.undone_at else ""
            reason = f": {done.reason}" if done.reason else ""
            told = f"{done.id}, customer {done.merged} into {done.survivor}{reason}{undone}"
            walk.page.item("merge", told, indent=10)
        walk.show_latest(view)
