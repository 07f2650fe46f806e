"""`crm consent`: what customers agreed to, and contact points that nobody writes to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

import attrs
import click

from crmcore.cli.answers import id_json, instant_json, interaction_json
from crmcore.cli.customer import known_as
from crmcore.cli.shell import (
    CommandT,
    Shell,
    config_option,
    echo_json,
    json_option,
    pass_shell,
)
from crmcore.domain.clock import to_datetime
from crmcore.domain.consent import ANY
from crmcore.domain.identity import Identifier, parse_identifier
from crmcore.domain.interaction import Interaction
from crmcore.errors import InstantError
from crmcore.services.messaging.standings import Consent
from crmcore.services.messaging.withholding import BLOCKED, UNSOLICITED, WIDTH, Withheld

if TYPE_CHECKING:
    from crmcore.app import Crm


@click.command
@click.argument("who", metavar="CUSTOMER")
@click.option("--as-of", metavar="INSTANT", help="As it stood then, by what was recorded.")
@click.option("--all", "everything", is_flag=True, help="What nothing was ever said of, too.")
@config_option
@json_option
@pass_shell
def show(shell: Shell, who: str, as_of: str | None, everything: bool, as_json: bool) -> None:
    """
    Show where a customer's consent stands, and what made it so.

    CUSTOMER is written as scheme:value, or as an id.
    """
    moment = None if as_of is None else instant_of("--as-of", as_of)
    with shell.open() as crm:
        found = crm.consents(known_as(who), as_of=moment)
    told = [each for each in found if everything or each.standing != "none"]
    if as_json:
        echo_json([consent_json(each) for each in told])
        return
    for each in told:
        click.echo(_told(each))
    if not told:
        click.echo("Nothing was ever said of consent.")


def _told(each: Consent) -> str:
    """Return where consent stands, in a line."""
    where = each.address or f"{each.point[:8]}…, which the customer does not have"
    line = f"{each.purpose} by {each.channel} to {where}: {each.standing}"
    if each.occurred_at is not None:
        line += f" {to_datetime(each.occurred_at):%Y-%m-%d %H:%M} UTC"
    if each.effect == "merged":
        line += ", as one of two who became one said no"
    if each.interaction_id is not None:
        line += f" (interaction {each.interaction_id}"
        line += f", {each.wording})" if each.wording else ")"
    return f"{line}. {'May go' if each.allowed else 'Does not go'}, by {each.basis}."


def consent_json(each: Consent) -> dict[str, Any]:
    """Return where consent stands as JSON holds it."""
    return {
        **attrs.asdict(each),
        "interaction_id": id_json(each.interaction_id),
        "occurred_at": instant_json(each.occurred_at),
        "recorded_at": instant_json(each.recorded_at),
        "evidence": each.evidence if each.evidence is None else str(each.evidence),
    }


def _granting(command: CommandT) -> CommandT:
    """Let a command say to whom, for what, on which channel and by which address."""
    for option in (
        json_option,
        config_option,
        click.option("--evidence", help="What proves it."),
        click.option(
            "--point", metavar="ADDRESS", help="Which it is for, where there are several."
        ),
        click.option("--channel", default="email", show_default=True, help="On which it is for."),
        click.argument("purpose"),
        click.argument("who", metavar="CUSTOMER"),
    ):
        command = option(command)
    return command


_wording = click.option(
    "--wording", metavar="NAME/VERSION", help="The text that the customer was shown."
)


@click.command
@_granting
@_wording
@click.option("--mechanism", help="How they agreed, such as counter or phone.")
@pass_shell
def give(shell: Shell, /, who: str, purpose: Any, as_json: bool, **given: Any) -> None:
    """
    Record that a customer agreed.

    PURPOSE is care, news, promotion or survey; or service, where `[gate]` asks for consent to it.
    """
    with shell.open() as crm, _newcomers_told(crm, who):
        done = crm.give_consent(known_as(who), purpose, actor="cli", **given)
        _tell_missing_point(crm, done)
    _tell(done, f"agreed to {purpose}", as_json)


@click.command
@_granting
@_wording
@click.option("--mechanism", help="How they asked for it, such as form.")
@pass_shell
def request(shell: Shell, /, who: str, purpose: Any, as_json: bool, **given: Any) -> None:
    """
    Record that a customer asked for something.

    It is the first half of a double opt-in: until it is confirmed by the address, nothing goes.
    """
    with shell.open() as crm, _newcomers_told(crm, who):
        done = crm.request_consent(known_as(who), purpose, actor="cli", **given)
        _tell_missing_point(crm, done)
    _tell(done, f"asked for {purpose}", as_json)


@click.command
@_granting
@pass_shell
def confirm(shell: Shell, /, who: str, purpose: Any, as_json: bool, **given: Any) -> None:
    """
    Record that a customer confirmed what they asked for.

    It has to have been requested, or agreed to, for the same PURPOSE, channel and address, and
    not withdrawn since. What stands confirmed is told as it was recorded.
    """
    with shell.open() as crm:
        done = crm.confirm_consent(known_as(who), purpose, actor="cli", **given)
    _tell(done, f"confirmed {purpose}", as_json)


def _tell(done: Interaction, what: str, as_json: bool) -> None:
    if as_json:
        echo_json(interaction_json(done))
        return
    click.echo(f"Recorded as {done.id}: customer {done.customer_id} {what}.")


@contextmanager
def _newcomers_told(crm: Crm, who: str) -> Iterator[None]:
    """Say where somebody was registered, whom nobody knew: an address may have been misspelt."""
    known = known_as(who)
    is_new = isinstance(known, Identifier) and crm.find_customer(known) is None
    yield
    customer = crm.find_customer(known) if isinstance(known, Identifier) and is_new else None
    if customer is not None:
        click.echo(f"Note: nobody was known by {known}, so customer {customer} is new.", err=True)


def _tell_missing_point(crm: Crm, done: Interaction) -> None:
    """Say where consent is for an address that the customer does not have."""
    about = [each for each in crm.consents(done.customer_id) if each.point == done.subject]
    if about and about[0].address is None:
        click.echo(
            f"Note: customer {done.customer_id} does not have that address, and nothing goes there "
            "until they do; is it misspelt?",
            err=True,
        )


@click.command
@click.argument("who", metavar="CUSTOMER")
@click.argument("purpose", default=ANY, metavar="[PURPOSE]")
@click.option("--channel", default=ANY, help="On which; all, if none is given.")
@click.option("--point", metavar="ADDRESS", help="Which it is about; all, if none is given.")
@click.option("--reason", help="What they said.")
@config_option
@json_option
@pass_shell
def withdraw(shell: Shell, /, who: str, purpose: str, as_json: bool, **given: Any) -> None:
    """
    Record that a customer said no.

    Without a PURPOSE it is to everything but what they are owed. What is on its way is withheld.
    """
    with shell.open() as crm, _newcomers_told(crm, who):
        done = crm.withdraw_consent(known_as(who), purpose, actor="cli", **given)
    _tell(done, f"said no to {'everything' if purpose == ANY else purpose}", as_json)


@click.command
@click.argument("point", metavar="[SCHEME:VALUE]", required=False)
@config_option
@json_option
@pass_shell
def withheld(shell: Shell, point: str | None, as_json: bool) -> None:
    """
    List contact points that nobody writes to.

    They are told by their keyed hashes, with the customers who have them now. Of one that is
    given, all that was ever noted is listed.
    """
    with shell.open() as crm:
        found = crm.withheld(None if point is None else parse_identifier(point))
    if as_json:
        echo_json([withheld_json(each) for each in found])
        return
    for each in found:
        lifted = (
            "" if each.lifted_at is None else f", lifted {to_datetime(each.lifted_at):%Y-%m-%d}"
        )
        until = "" if each.until is None else f" until {to_datetime(each.until):%Y-%m-%d}"
        click.echo(
            f"{each.point}: {each.reason} since {to_datetime(each.since):%Y-%m-%d}{until}, "
            f"{_WIDE.get(each.purpose, each.purpose)} by "
            f"{'any channel' if each.channel == ANY else each.channel}, {_whose(each)}{lifted}."
        )
    if not found:
        click.echo("Nothing is withheld.")


_WIDE = {ANY: "everything", UNSOLICITED: "all that nobody is owed"}


def _whose(each: Withheld) -> str:
    """Return who has a point now, by number: the list tells nobody's address."""
    if not each.customers:
        return "which no customer has"
    many = "s" if len(each.customers) > 1 else ""
    return f"which customer{many} {', '.join(map(str, each.customers))} ha{'ve' if many else 's'}"


def withheld_json(each: Withheld) -> dict[str, Any]:
    """Return an entry of the list as JSON holds it."""
    instants = {name: instant_json(getattr(each, name)) for name in ("since", "until", "lifted_at")}
    customers = [id_json(customer) for customer in each.customers]
    return {**attrs.asdict(each), **instants, "customers": customers}


@click.command
@click.argument("point", metavar="SCHEME:VALUE")
@click.option(
    "--reason", type=click.Choice(list(WIDTH)), default=BLOCKED, show_default=True, help="Why."
)
@click.option("--channel", default=ANY, help="On which; all, if none is given.")
@config_option
@pass_shell
def withhold(shell: Shell, point: str, reason: str, channel: str) -> None:
    """Let nobody write to a contact point, whoever has it."""
    with shell.open() as crm:
        hashed = crm.withhold(parse_identifier(point), reason, channel=channel, actor="cli")
    click.echo(f"Nobody writes to it any more; it is kept as {hashed}.")


@click.command
@click.argument("point", metavar="SCHEME:VALUE|HASH")
@click.option("--reason", type=click.Choice(list(WIDTH)), help="Only what is withheld for it.")
@config_option
@pass_shell
def lift(shell: Shell, point: str, reason: str | None) -> None:
    """Let a contact point be written to again, as far as consent goes."""
    with shell.open() as crm:
        about = parse_identifier(point) if ":" in point or "@" in point else point
        count = crm.lift_withholding(about, reason, actor="cli")
    click.echo(f"Lifted: {count}." if count else "Nothing was withheld there.")


def instant_of(option: str, text: str) -> datetime:
    """Return the instant that an option gives."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InstantError(
            f"{option} {text!r} is no instant in ISO 8601; 2024-05-01T09:30:00+02:00 is one"
        ) from error
    if moment.tzinfo is None:
        raise InstantError(f"{option} {text!r} has no time zone; {moment.isoformat()}Z has one")
    return moment
