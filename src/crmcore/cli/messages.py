"""`crm messages`: what was said to whom, or was not, and why."""

from __future__ import annotations

from typing import Any

import click

from crmcore.cli.answers import id_json, instant_json
from crmcore.cli.customer import known_as
from crmcore.cli.shell import Shell, config_option, echo_json, json_option, pass_shell
from crmcore.cli.terminal.page import open_page
from crmcore.cli.terminal.words import plural
from crmcore.domain.clock import to_datetime
from crmcore.domain.message import PENDING, Broadcast, Message
from crmcore.errors import InputError, NotFoundError


def message_json(message: Message) -> dict[str, Any]:
    """Return a message as it stands; what it says is not told here."""
    return {
        "id": id_json(message.id),
        "key": message.key,
        "plugin": message.plugin,
        "customer": id_json(message.customer_id),
        "purpose": message.purpose,
        "channel": message.channel,
        "address": message.address,
        "state": message.state,
        "gate": message.gate,
        "reason": message.reason,
        "planned_at": instant_json(message.planned_at),
        "not_before": instant_json(message.not_before),
        "not_after": instant_json(message.not_after),
        "attempt": message.attempt,
        "handed_at": instant_json(message.handed_at),
        "settled_at": instant_json(message.settled_at),
        "provider_reference": message.provider_reference,
        "caused_by": id_json(message.caused_by),
    }


def broadcast_json(broadcast: Broadcast) -> dict[str, Any]:
    """Return a broadcast with its figures."""
    return {
        "key": broadcast.key,
        "purpose": broadcast.purpose,
        "channel": broadcast.channel,
        "audience": broadcast.audience,
        "pending": broadcast.pending,
        "states": dict(broadcast.states),
        "planned_at": instant_json(broadcast.planned_at),
        "paused_at": instant_json(broadcast.paused_at),
        "stopped_at": instant_json(broadcast.stopped_at),
    }


def standing(message: Message) -> str:
    """Return where a message stands, and why, in words."""
    told: str = message.state
    if message.gate is not None:
        told += f" ({message.gate}: {message.reason})"
    if message.gate != "paused" and (
        message.state in PENDING and message.not_before > message.planned_at
    ):
        told += f", not before {to_datetime(message.not_before):%Y-%m-%d %H:%M} UTC"
    return told


@click.command
@click.argument("who", metavar="SCHEME:VALUE|ID", required=False)
@click.option("--key", metavar="KEY", help="Of one key only: those of a broadcast, with its sums.")
@click.option(
    "--most",
    type=click.IntRange(min=0),
    default=50,
    show_default=True,
    help="How many of the latest to show.",
)
@config_option
@json_option
@pass_shell
def messages(shell: Shell, who: str | None, key: str | None, most: int, as_json: bool) -> None:
    """
    List messages, newest first.

    Each with its state, what the gate said of it, and when it may go. Name a customer, or a key,
    or both.
    """
    if who is None and key is None:
        raise InputError("whose messages, or of which --key, is not said; name one of them")
    known = None if who is None else known_as(who)
    with shell.open() as crm:
        found = crm.messages(known, key=key, most=most)
        broadcast = None
        if key is not None and who is None:
            try:
                broadcast = crm.find_broadcast(key)
            except NotFoundError:
                broadcast = None  # these were planned one by one
    if as_json:
        listed = {"messages": [message_json(each) for each in found]}
        echo_json(listed | ({} if broadcast is None else {"broadcast": broadcast_json(broadcast)}))
        return
    page = open_page()
    if broadcast is not None:
        page.say(_sums(broadcast), "bold")
        page.gap()
    if not found:
        page.say("There are none.")
        return
    page.table(
        [
            ("id", "right"),
            ("customer", "right"),
            ("key", "left"),
            ("purpose", "left"),
            ("channel", "left"),
            ("state", "left"),
        ],
        [
            (
                f"{each.id}",
                f"{each.customer_id}",
                each.key,
                each.purpose,
                each.channel,
                standing(each),
            )
            for each in found
        ],
    )


def _sums(broadcast: Broadcast) -> str:
    counts = ", ".join(f"{count:,} {state}" for state, count in sorted(broadcast.states.items()))
    stopped = ""
    if broadcast.stopped_at is not None:
        stopped = ", and was called off"
    elif broadcast.paused_at is not None:
        stopped = ", and is paused"
    return (
        f"Broadcast {broadcast.key!r} was planned for {plural(broadcast.audience, 'customer')}"
        f"{stopped}: {counts or 'nobody'}."
    )
