"""`crm email campaign`: something written to many: started, followed, paused, and called off."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from crmcore.cli.shell import (
    Shell,
    config_option,
    echo_json,
    json_option,
    open_page,
    pass_shell,
)
from crmcore_email_link.commands.campaign_making import edit, start
from crmcore_email_link.commands.opening import open_post

if TYPE_CHECKING:
    from crmcore import Transaction
    from crmcore_email_link.campaigns.api import CampaignState
    from crmcore_email_link.plugin import EmailLink


@click.group
def campaign() -> None:
    """Write to many at once, and see what it brought about."""


@click.command("list")
@click.option(
    "--most", type=click.IntRange(min=1), default=20, show_default=True, help="How many to show."
)
@config_option
@json_option
@pass_shell
def list_campaigns(shell: Shell, most: int, as_json: bool) -> None:
    """List campaigns, the latest first, and when newsletters come next."""
    from crmcore_email_link.commands.campaign_pages import state_json, tell_all

    with open_post(shell) as (crm, plugin):

        def read(tx: Transaction) -> tuple[Any, Any, int]:
            found = plugin.campaigns(tx, most=most)
            return found, plugin.next_issues(tx), plugin.campaign_count(tx) - len(found)

        found, issues, left = crm.run_transaction(read)
    if as_json:
        echo_json({"campaigns": [state_json(each) for each in found], "next_issues": issues})
    else:
        tell_all(open_page(), found, issues, left)


@click.command
@click.argument("key")
@config_option
@json_option
@pass_shell
def show(shell: Shell, key: str, as_json: bool) -> None:
    """Show a campaign: what it is, what was decided of it and why, and where its mails stand."""
    from crmcore_email_link.commands.campaign_pages import state_json, tell_state
    from crmcore_email_link.figures import figures_of, line_json

    with open_post(shell) as (crm, plugin):
        found = crm.run_transaction(lambda tx: plugin.find_campaign(tx, key))
        lines = figures_of(crm, key).broadcasts if found.broadcast is not None else ()
    line = next((each for each in lines if each.plugin == "email_link"), None)
    if as_json:
        echo_json({**state_json(found), "figures": None if line is None else line_json(line)})
    else:
        tell_state(open_page(), found, line)


def _deciding(
    name: str,
    decide: Callable[[EmailLink, Transaction, str, str | None], CampaignState],
    about: str,
    *,
    takes_why: bool = True,
) -> click.Command:
    """Return a command that decides something of a campaign."""

    @click.argument("key")
    @config_option
    @json_option
    @pass_shell
    def run(shell: Shell, key: str, as_json: bool, why: str | None = None) -> None:
        from crmcore_email_link.commands.campaign_pages import said_of, state_json

        with open_post(shell) as (crm, plugin):
            found = crm.run_transaction(lambda tx: decide(plugin, tx, key, why))
        if as_json:
            echo_json(state_json(found))
        else:
            click.echo(said_of(found))

    if takes_why:
        run = click.option("--why", metavar="TEXT", help="Why; it goes on record.")(run)
    return click.command(name, help=about)(run)


pause = _deciding(
    "pause",
    lambda plugin, tx, key, why: plugin.pause_campaign(tx, key, why=why),
    "Let nothing more of a campaign be handed over, until it is resumed.",
)
resume = _deciding(
    "resume",
    lambda plugin, tx, key, _: plugin.resume_campaign(tx, key),
    "Let a campaign that is paused or locked go on with whom it has not reached.",
    takes_why=False,
)
cancel = _deciding(
    "cancel",
    lambda plugin, tx, key, why: plugin.cancel_campaign(tx, key, why=why),
    "Call a campaign off: whom it has not reached does not get it any more.",
)


@click.command
@click.argument("key")
@click.option(
    "--days",
    type=click.IntRange(1, 3650),
    help="Within how many days orders count; as was laid down, if not said.",
)
@click.option(
    "--level",
    type=click.FloatRange(0.5, 0.999),
    default=0.95,
    show_default=True,
    help="Of confidence, for each interval by itself.",
)
@config_option
@json_option
@pass_shell
def effect(shell: Shell, key: str, days: int | None, level: float, as_json: bool) -> None:
    """
    Show what a campaign brought about.

    Each variant stands beside those held out of it, and beside the first variant: how many
    ordered, what a customer brought, and between which bounds the difference lies. An arm is all
    whom every gate let go, whether or not their mail arrived; in an experiment of several
    campaigns all whom it was planned for.
    """
    from attrs import asdict

    from crmcore_email_link.commands.campaign_pages import tell_effect

    with open_post(shell) as (crm, plugin):
        found = crm.run_transaction(
            lambda tx: plugin.campaign_effect(tx, key, days=days, level=level)
        )
        currency = crm.runtime.currency
    if as_json:
        echo_json({**asdict(found), "currency": currency})
    else:
        tell_effect(open_page(), found, currency)


for _command in (start, list_campaigns, show, pause, resume, edit, cancel, effect):
    campaign.add_command(_command)
