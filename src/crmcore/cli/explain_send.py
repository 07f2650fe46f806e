"""`crm explain-send`: what every gate says of a message to a customer."""

from __future__ import annotations

from typing import Any

import attrs
import click

from crmcore.cli.answers import instant_json
from crmcore.cli.consent import instant_of
from crmcore.cli.customer import known_as
from crmcore.cli.shell import Shell, config_option, echo_json, json_option, pass_shell
from crmcore.domain.clock import to_datetime

_SIGNS = {"go": "goes", "wait": "waits", "no": "no"}


@click.command("explain-send")
@click.argument("who", metavar="CUSTOMER")
@click.argument("key", metavar="MESSAGE")
@click.option("--plugin", default="", help="Whose message it is; the shop's own, if none is given.")
@click.option("--purpose", help="Of a message that is not planned: what it would be for.")
@click.option("--channel", help="Of a message that is not planned: on which it would go.")
@click.option("--asks", is_flag=True, help="It asks the customer for something.")
@click.option("--at", metavar="INSTANT", help="At another instant than now.")
@config_option
@json_option
@pass_shell
def explain_send(
    shell: Shell, /, who: str, key: str, at: str | None, as_json: bool, **given: Any
) -> None:
    """
    Tell why a message goes to a customer, waits, or does not go.

    MESSAGE is the key of one that is planned; or of one that is only thought of, whose --purpose
    and --channel are given then. Every gate is asked, and answers.
    """
    moment = None if at is None else instant_of("--at", at)
    with shell.open() as crm:
        answers = crm.explain_send(known_as(who), key, at=moment, **given)
    if as_json:
        echo_json(
            [{**attrs.asdict(each), "may_go_at": instant_json(each.may_go_at)} for each in answers]
        )
        return
    width = max(len(each.gate) for each in answers)
    for each in answers:
        line = f"{each.gate:<{width}}  {_SIGNS[each.answer]:<5}  {each.reason or ''}"
        if each.answer == "wait" and each.may_go_at is not None:
            line += f" (until {to_datetime(each.may_go_at):%Y-%m-%d %H:%M} UTC)"
        click.echo(line.rstrip())
    said = {each.answer for each in answers}
    verdict = "It does not go." if "no" in said else "It waits." if "wait" in said else "It goes."
    click.echo(verdict)
