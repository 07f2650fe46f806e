"""`crm record`: one interaction into the ledger."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import attrs
import click

from crmcore.cli.answers import interaction_json
from crmcore.cli.shell import (
    Shell,
    config_option,
    echo_json,
    json_option,
    let_debts_be_paid,
    let_time_pass,
    pass_shell,
)
from crmcore.domain.clock import check_happened
from crmcore.domain.identity import parse_identifier
from crmcore.domain.interaction import Draft
from crmcore.domain.money import Money
from crmcore.errors import InputError, InstantError
from crmcore.hooks import IdList


@click.command
@click.argument("kind")
@click.option(
    "--id",
    "identifiers",
    multiple=True,
    required=True,
    metavar="SCHEME:VALUE",
    help="Who it is about, such as email:ada@example.com; may be given several times.",
)
@click.option("--amount", metavar="19.90", help="Money, in the shop's currency.")
@click.option("--currency", metavar="CODE", help="Of the amount, if it is not the shop's.")
@click.option(
    "--at", metavar="INSTANT", help="When it happened, in ISO 8601 with zone; now without it."
)
@click.option("--source", default="shop", show_default=True, help="The system that reports it.")
@click.option("--source-key", metavar="KEY", help="Its key in the source: each is recorded once.")
@click.option("--subject", metavar="TEXT", help="What it is about, such as order:1042.")
@click.option("--channel", metavar="TEXT", help="On which channel it happened.")
@click.option("--payload", metavar="JSON", help="The kind's own fields, as a JSON object.")
@config_option
@json_option
@pass_shell
def record(
    shell: Shell,
    /,
    kind: str,
    identifiers: tuple[str, ...],
    amount: str | None,
    currency: str | None,
    at: str | None,
    payload: str | None,
    as_json: bool,
    **fields: Any,
) -> None:
    """
    Record one interaction.

    KIND is such as order.placed; `crm hooks --kinds` lists them. The customer is found by the
    identifiers, or registered.

    Plugins that owe work catch up before. Afterwards what has fallen due by now is done, for all
    customers: stages that time moves on move, and timers that are due fire, as `crm worker` would
    let them.
    """
    draft = Draft(
        kind,
        identifiers=tuple(map(parse_identifier, identifiers)),
        occurred_at=None if at is None else _instant(at),
        payload=None if payload is None else _payload(payload),
        **fields,
    )
    with shell.open() as crm:
        if draft.occurred_at is not None:
            check_happened(draft.occurred_at, crm.runtime.clock.now())
        let_debts_be_paid(crm)
        if amount is not None:
            money = Money.of(amount, currency or crm.runtime.currency)
            draft = attrs.evolve(draft, amount=money)
        with crm.begin() as tx:
            recorded = tx.record_many([draft])
            (fact,) = crm.runtime.ledger.read(tx.connection, IdList(tuple(recorded.ids)))
        let_time_pass(crm)
    if as_json:
        echo_json(interaction_json(fact) | {"is_new": bool(recorded.new)})
        return
    amount_told = f" of {fact.amount}" if fact.amount is not None else ""
    done = "Recorded" if recorded.new else "Was recorded before:"
    click.echo(f"{done} {fact.kind}{amount_told} as {fact.id}, of customer {fact.customer_id}.")


def _instant(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InstantError(
            f"--at {text!r} is no instant in ISO 8601; 2024-05-01T09:30:00+02:00 is one"
        ) from error
    if moment.tzinfo is None:
        full = moment.isoformat()
        raise InstantError(f"--at {text!r} has no time zone; {full}Z or {full}+02:00 has one")
    return moment


def _payload(text: str) -> dict[str, Any]:
    try:
        payload = json.loads(text)
    except ValueError as error:
        raise InputError(f"--payload is not JSON: {error}") from error
    if not isinstance(payload, dict):
        raise InputError(f'--payload {text} is no JSON object; {{"order": "1042"}} is one')
    return payload
