"""`crm explain-send`: what every gate says of a message to a customer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs
import click

from crmcore.cli.answers import instant_json
from crmcore.cli.consent import instant_of
from crmcore.cli.customer import known_as
from crmcore.cli.messages import message_json, standing
from crmcore.cli.shell import Shell, config_option, echo_json, json_option, pass_shell
from crmcore.domain.clock import to_datetime, to_instant
from crmcore.domain.gate import Answer
from crmcore.domain.message import Message

_SETTLED: Final[Mapping[str, str]] = {
    "accepted": "It went; nobody gets it twice.",
    "failed": "It did not go, and is not tried again.",
    "unknown": "Nobody knows whether it went; it is not tried again.",
    "withheld": "It does not go, whatever the gates say by now: it was withheld. "
    "Another key is another message.",
}
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
    and --channel are given then. Of one that is planned it is told first what became of it. Then
    every gate is asked what it says now, and answers.
    """
    moment, known = None if at is None else instant_of("--at", at), known_as(who)
    with shell.open() as crm:
        answers = crm.explain_send(known, key, at=moment, **given)
        message = crm.find_message(known, key, plugin=given["plugin"])
        asked = crm.runtime.clock.now() if moment is None else to_instant(moment)
    verdict = _verdict(message, answers, asked)
    if as_json:
        gates = [
            {**attrs.asdict(each), "may_go_at": instant_json(each.may_go_at)} for each in answers
        ]
        stands = None if message is None else message_json(message)
        echo_json({"message": stands, "gates": gates, "verdict": verdict})
        return
    if message is not None:
        since = "" if message.settled_at is None else f" since {_minute(message.settled_at)}"
        click.echo(f"Message {message.id} is {standing(message)}{since}. Of one like it:")
    width = max(len(each.gate) for each in answers)
    for each in answers:
        line = f"{each.gate:<{width}}  {_SIGNS[each.answer]:<5}  {each.reason or ''}"
        if each.answer == "wait" and each.may_go_at is not None:
            line += f" (until {_minute(each.may_go_at)})"
        click.echo(line.rstrip())
    click.echo(verdict)


def _verdict(message: Message | None, answers: Sequence[Answer], at: int) -> str:
    """Return what becomes of a message, or became of it: what was settled is not judged again."""
    if message is not None and message.state in _SETTLED:
        return _SETTLED[message.state]
    said = {each.answer for each in answers}
    if message is not None and message.state == "handed":
        return "It is on its way."
    if "no" in said:
        return "It does not go."
    if message is not None and message.not_before > at:
        return f"It waits until {_minute(message.not_before)}, when the gates are asked again."
    return "It waits." if "wait" in said else "It goes."


def _minute(instant: int) -> str:
    return f"{to_datetime(instant):%Y-%m-%d %H:%M} UTC"
