"""`crm access` and `crm staff`: who looked at whom, and who may."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click

from crmcore.cli.answers import id_json, instant_json
from crmcore.cli.customer import known_as
from crmcore.cli.shell import Shell, config_option, echo_json, json_option, pass_shell
from crmcore.errors import nearest
from crmcore.services.staff.access import Access

_most = click.option(
    "--most", type=click.IntRange(min=0), default=50, show_default=True, help="How many to list."
)


def access_json(each: Access) -> dict[str, Any]:
    return {
        "recorded_at": instant_json(each.recorded_instant),
        "actor": each.actor,
        "role": each.role,
        "action": each.action,
        "outcome": each.outcome,
        "customer": id_json(each.customer_id or None),
        "fields": list(each.fields),
        "reason": each.reason,
    }


def _tell(found: Iterable[Access], as_json: bool) -> None:
    found = list(found)
    if as_json:
        echo_json({"accesses": [access_json(each) for each in found]})
        return
    for each in found:
        whom = f"customer {each.customer_id}" if each.customer_id else "nobody in particular"
        fields = f": {', '.join(each.fields)}" if each.fields else ""
        refused = " (refused)" if each.outcome == "refused" else ""
        reason = f" - {each.reason}" if each.reason else ""
        click.echo(
            f"{each.recorded_at:%Y-%m-%d %H:%M:%S} UTC  {each.actor} {each.action}{refused} "
            f"{whom}{fields}{reason}"
        )
    if not found:
        click.echo("Nobody has looked, or tried to.")


@click.command("who-saw")
@click.argument("customer", metavar="SCHEME:VALUE|ID")
@_most
@config_option
@json_option
@pass_shell
def who_saw(shell: Shell, customer: str, most: int, as_json: bool) -> None:
    """Tell who looked at a customer, and why."""
    with shell.open() as crm:
        _tell(crm.who_saw(known_as(customer), most=most), as_json)


@click.command("of")
@click.argument("staff")
@_most
@config_option
@json_option
@pass_shell
def of(shell: Shell, staff: str, most: int, as_json: bool) -> None:
    """Tell whom a member of staff looked at, and why."""
    with shell.open() as crm:
        _tell(crm.accesses_of(staff, most=most), as_json)
        # Who left may have looked, too, so that it is no mistake to ask for them.
        known = [each.name for each in crm.staff()]
        if staff not in known:
            told = f"Note: no member of staff is named {staff!r} now{nearest(staff, known)}."
            click.echo(told, err=True)


@click.command("alarms")
@_most
@config_option
@json_option
@pass_shell
def alarms(shell: Shell, most: int, as_json: bool) -> None:
    """Tell who looked at more customers in an hour than their roles expect."""
    with shell.open() as crm:
        _tell(crm.access_alarms(most=most), as_json)


@click.command
@config_option
@json_option
@pass_shell
def staff(shell: Shell, as_json: bool) -> None:
    """Tell who may do what."""
    with shell.open() as crm:
        found = crm.staff()
    if as_json:
        echo_json(
            {
                "staff": [
                    {
                        "name": each.name,
                        "roles": list(each.roles),
                        "teams": list(each.teams),
                        "grants": [
                            {"actions": list(a), "fields": list(f), "of": "some" if r else "all"}
                            for a, f, r in each.grants
                        ],
                    }
                    for each in found
                ]
            }
        )
        return
    for each in found:
        click.echo(f"{each.name} ({', '.join(each.roles) or 'no role'})")
        for actions, fields, some in each.grants:
            whose = "some customers" if some else "all customers"
            click.echo(f"  may {', '.join(actions)} of {whose}: {', '.join(fields)}")
        if not each.grants:
            click.echo("  may do nothing")
    if not found:
        click.echo("No member of staff is configured; [staff.<name>] in crm.toml names one.")
