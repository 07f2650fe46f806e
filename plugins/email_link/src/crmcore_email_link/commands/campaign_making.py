"""`crm email campaign start` and `edit`: a campaign as options or a file say it, tried before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from crmcore.cli.shell import Shell, config_option, echo_json, json_option, open_page, pass_shell
from crmcore.errors import InputError
from crmcore_email_link.commands.opening import (
    PURPOSES,
    counted,
    open_post,
    variables_of,
    variables_option,
)

if TYPE_CHECKING:
    from crmcore import Crm, Transaction
    from crmcore_email_link.campaigns.api import CampaignState
    from crmcore_email_link.campaigns.campaign import Campaign
    from crmcore_email_link.campaigns.trying import Tried
    from crmcore_email_link.plugin import EmailLink

CommandT = TypeVar("CommandT", bound=Callable[..., Any])

_SAID: Final = (
    "template",
    "segment",
    "purpose",
    "holdout",
    "experiment",
    "late_hours",
    "effect_days",
    "priority",
)
"""Options that are fields of a campaign as they are."""


def _campaign_options(command: CommandT) -> CommandT:
    """Let a command take what a campaign is."""
    for option in reversed(
        (
            click.option(
                "--from",
                "source",
                type=click.Path(dir_okay=False, path_type=Path),
                metavar="FILE",
                help="A campaign in TOML or JSON; what else is said here goes before it.",
            ),
            click.option("--template", metavar="NAME", help="The one it is written with."),
            click.option(
                "--variant",
                "variants",
                multiple=True,
                metavar="NAME=TEMPLATE[:WEIGHT]",
                help="One of several ways to write it; give it for each.",
            ),
            click.option(
                "--segment", metavar="TEXT|NAME", help="Whom it is for; everyone, if not said."
            ),
            click.option(
                "--purpose",
                type=click.Choice([each for each in PURPOSES if each != "service"]),
                help="What it is for: news, unless said otherwise.",
            ),
            variables_option,
            click.option(
                "--personal",
                multiple=True,
                metavar="NAME=MEASURE",
                help="A variable of each customer's own, such as points=credit.points.",
            ),
            click.option(
                "--holdout",
                type=click.FloatRange(0, 0.9),
                metavar="SHARE",
                help="Who does not get it, to see what it brings about, such as 0.1.",
            ),
            click.option(
                "--experiment",
                metavar="NAME",
                help="Customers keep their arm in all its campaigns; the key, if not said.",
            ),
            click.option(
                "--at", metavar="INSTANT", help="When, such as 2026-04-01T09:00; now, if not said."
            ),
            click.option(
                "--late-hours", type=click.IntRange(min=1), help="For how long it may go. [24]"
            ),
            click.option(
                "--effect-days",
                type=click.IntRange(min=1),
                help="Within how many days an order counts for its effect. [14]",
            ),
            click.option("--priority", type=int, help="Before others, where a cap is short. [0]"),
        )
    ):
        command = option(command)
    return command


@click.command
@click.argument("key")
@_campaign_options
@click.option("--unchecked", is_flag=True, help="Start though mails cannot be rendered.")
@click.option("--dry-run", is_flag=True, help="Say to whom it would go; start nothing.")
@config_option
@json_option
@pass_shell
def start(
    shell: Shell, /, key: str, unchecked: bool, dry_run: bool, as_json: bool, **said: Any
) -> None:
    """
    Start a campaign, now or at an instant.

    Whom it is for is frozen as it starts. Before, its mails are rendered for as many as 2,000 of
    them, and it does not start where one cannot be. A worker, or `crm deliver`, then sends them.
    """
    from crmcore_email_link.commands.campaign_pages import said_of, state_json

    with open_post(shell) as (crm, plugin):
        made = _campaign(crm, key, said)
        if not unchecked:
            _try(crm, plugin, made)
        if dry_run:
            found, gates = _planned_and_undone(crm, plugin, made)
        else:
            found, gates = crm.run_transaction(lambda tx: plugin.start_campaign(tx, made)), None
    if as_json:
        echo_json({**state_json(found), "dry_run": dry_run, "gates": gates})
    elif gates is None:
        click.echo(said_of(found))
    else:
        _tell_gates(made.key, gates)


@click.command
@click.argument("key")
@_campaign_options
@click.option("--unchecked", is_flag=True, help="Change it though mails cannot be rendered.")
@config_option
@json_option
@pass_shell
def edit(shell: Shell, /, key: str, unchecked: bool, as_json: bool, **said: Any) -> None:
    """
    Change a campaign: all of one that is to start, and what a paused one says.

    What is not said stays as it is.
    """
    from crmcore_email_link.commands.campaign_pages import said_of, state_json

    with open_post(shell) as (crm, plugin):
        known = crm.run_transaction(lambda tx: plugin.find_campaign(tx, key))
        made = _campaign(crm, key, said, known)
        if not unchecked:
            _try(crm, plugin, made)
        found = crm.run_transaction(lambda tx: plugin.edit_campaign(tx, made))
    if as_json:
        echo_json(state_json(found))
    else:
        click.echo(said_of(found))


def _campaign(
    crm: Crm, key: str, said: dict[str, Any], known: CampaignState | None = None
) -> Campaign:
    """Return the campaign that options say, over a file's, over the one there is."""
    from crmcore_email_link.campaigns.campaign import Campaign

    table = known.campaign.to_table() if known is not None else {}
    if known is not None:
        table["at"] = known.kept.due if table["at"] is not None else None
    if said["variants"] and said["template"] is not None:
        raise InputError("--template and --variant are both given; one of them is expected")
    given = variables_of(said["source"], "the campaign's fields")
    if {"template", "variants"} & given.keys():
        table = {**table, "template": "", "variants": []}
    table = {**table, **given, "key": key}
    table |= {name: said[name] for name in _SAID if said[name] is not None}
    if said["variants"]:
        table |= {"template": "", "variants": [_variant(each) for each in said["variants"]]}
    elif said["template"] is not None:
        table["variants"] = []
    if said["file"] is not None:
        table["variables"] = variables_of(said["file"])
    if said["personal"]:
        table["personal"] = dict(_pair(each, "--personal") for each in said["personal"])
    at = said["at"] if said["at"] is not None else table.get("at")
    table["at"] = _instant(crm, at)
    return Campaign.of_table(table)


def _instant(crm: Crm, at: object) -> Any:
    """Return when it is to start; a time without a zone is one of the shop's."""
    from datetime import datetime

    if isinstance(at, str):
        try:
            at = datetime.fromisoformat(at)
        except ValueError:
            raise InputError(
                f"--at {at!r} is no instant; one such as 2026-04-01T09:00 is expected"
            ) from None
    if isinstance(at, datetime) and at.tzinfo is None:
        return at.replace(tzinfo=crm.runtime.calendar.zone)
    return at


def _variant(text: str) -> dict[str, Any]:
    name, template = _pair(text, "--variant")
    template, colon, weight = template.rpartition(":")
    if not colon:
        return {"name": name, "template": weight}
    if not weight.isdecimal():
        raise InputError(
            f"--variant {text!r} has the weight {weight!r}; a whole number is expected"
        )
    return {"name": name, "template": template, "weight": int(weight)}


def _pair(text: str, option: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip() or not value.strip():
        raise InputError(f"{option} is {text!r}; a name, '=' and what it is are expected")
    return name.strip(), value.strip()


def _try(crm: Crm, plugin: EmailLink, made: Campaign) -> None:
    """Refuse a campaign of which a mail cannot be rendered."""
    from crmcore_email_link.campaigns.trying import try_campaign
    from crmcore_email_link.plugin import EmailLink

    def run(tx: Transaction) -> Tried:
        with tx.acting(EmailLink) as (_, ctx):
            return try_campaign(ctx, plugin.composer, plugin.reader(ctx), made)

    tried = crm.run_transaction(run)
    if not tried.errors:
        return
    worst = [
        f"{each.template} ({each.language}): {finding.message}"
        + (f" for {counted(len(finding.recipients), 'customer')}" if finding.recipients else "")
        for each in tried.inspected
        for finding in each.findings
        if finding.level == "error"
    ]
    raise InputError(
        f"it cannot go like this, of {tried.looked_at:,} mails that were tried for its "
        f"{counted(tried.audience, 'customer')}: {'; '.join(worst[:5])}. Mend the template, or "
        "say --unchecked"
    )


class _UndoneError(Exception):
    """Takes back what was only tried."""


def _planned_and_undone(
    crm: Crm, plugin: EmailLink, made: Campaign
) -> tuple[CampaignState, dict[str, int]]:
    """Return what starting a campaign now would plan, by gate, and take it back."""
    from attrs import evolve

    from crmcore_email_link.campaigns.counting import gates_of

    found: list[Any] = []

    def run(tx: Transaction) -> None:
        state = plugin.start_campaign(tx, evolve(made, at=None))
        found[:] = [state, gates_of(tx.connection.execute, made)]
        raise _UndoneError

    try:
        crm.run_transaction(run)
    except _UndoneError:
        return found[0], found[1]
    raise AssertionError("a transaction that was undone has not raised")


def _tell_gates(key: str, gates: dict[str, int]) -> None:
    page = open_page()
    whole = sum(gates.values())
    page.say(f"{key} would be planned for {counted(whole, 'customer')}; nothing was.", "bold")
    rows: Sequence[Sequence[str]] = [[name, f"{count:,}"] for name, count in gates.items()]
    page.table([("", "left"), ("", "right")], rows)
