"""`crm segment`: whom a rule means, and why it means somebody or not."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from crmcore.cli.answers import id_json, instant_json, money_json
from crmcore.cli.consent import instant_of
from crmcore.cli.customer import known_as
from crmcore.cli.shell import Shell, config_option, echo_json, json_option, pass_shell
from crmcore.domain.clock import to_datetime
from crmcore.domain.money import Money
from crmcore.domain.segments.forms import to_json
from crmcore.domain.segments.segment import Segment

if TYPE_CHECKING:
    from crmcore.app import Crm
    from crmcore.services.segments.why import Reason, Verdict


@click.command
@click.argument("asked", metavar="[TEXT|NAME]", required=False)
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    default=20,
    show_default=True,
    help="How many of the members to list.",
)
@click.option("--explain", metavar="CUSTOMER", help="Tell why this one is in it, or not.")
@click.option("--sql", is_flag=True, help="Print the statement that finds the members.")
@click.option("--at", metavar="INSTANT", help="At another instant than now.")
@config_option
@json_option
@pass_shell
def segment(
    shell: Shell,
    asked: str | None,
    limit: int,
    explain: str | None,
    sql: bool,
    at: str | None,
    as_json: bool,
) -> None:
    """
    Find customers by a rule, and tell why.

    A rule is a text such as 'orders(days=90).count >= 3', or its name. Without one, the segments
    that have a name are listed.
    """
    moment = None if at is None else instant_of("--at", at)
    with shell.open() as crm:
        if asked is None:
            _list_named(crm, as_json)
            return
        found = crm.segment(asked)
        if sql:
            statement = crm.audience(found, at=moment)
            dialect = crm.runtime.database.dialect
            click.echo(statement.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))
        elif explain is not None:
            _tell(crm.why_in(known_as(explain), found, at=moment), as_json)
        else:
            _list(found, crm.members(found, at=moment), limit, as_json)


def _list_named(crm: Crm, as_json: bool) -> None:
    named = crm.segments
    if as_json:
        echo_json({name: str(each) for name, each in named.items()})
        return
    for name, each in named.items():
        click.echo(f"{name}: {each}")
    if not named:
        click.echo("No segment has a name; [segments] in crm.toml gives them names.")


def _list(found: Segment, members: list[int], limit: int, as_json: bool) -> None:
    if as_json:
        answer = {
            "segment": found.name,
            "text": str(found),
            "tree": to_json(found.condition),
            "count": len(members),
            "customers": [id_json(each) for each in members[:limit]],
        }
        echo_json(answer)
        return
    click.echo(f"{len(members):,} {'customer' if len(members) == 1 else 'customers'}: {found}")
    for each in members[:limit]:
        click.echo(each)
    if len(members) > limit:
        click.echo(f"... and {len(members) - limit:,} more; --limit shows more of them.")


def _tell(verdict: Verdict, as_json: bool) -> None:
    if as_json:
        echo_json(
            {
                "customer": id_json(verdict.customer_id),
                "segment": verdict.segment,
                "is_member": verdict.is_member,
                "at": instant_json(verdict.at),
                "excluded": verdict.excluded,
                "because": [_reason_json(each) for each in verdict.because],
                "reasons": [_reason_json(each) for each in verdict.reasons],
                "next_flip": instant_json(verdict.next_flip),
            }
        )
        return
    state = "is" if verdict.is_member else "is not"
    click.echo(f"Customer {verdict.customer_id} {state} in {verdict.segment}.")
    if verdict.excluded:
        click.echo(f"They were {verdict.excluded}, and are in no segment.")
    for each in verdict.reasons:
        click.echo(f"{'>' if each in verdict.because else ' '} {each}")
    if verdict.next_flip is not None:
        until = f"{to_datetime(verdict.next_flip):%Y-%m-%d %H:%M}"
        click.echo(f"Time alone changes nothing before {until} UTC.")


def _reason_json(reason: Reason) -> dict[str, Any]:
    found = reason.found
    if isinstance(found, datetime):
        found = found.isoformat()
    elif isinstance(found, Money):
        found = money_json(found)
    return {
        "text": reason.text,
        "holds": reason.holds,
        "found": found,
        "within": list(reason.within),
    }
