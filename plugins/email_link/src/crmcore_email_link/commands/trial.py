"""`crm email test`: a mail to the shop's own staff, at once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from crmcore.cli.shell import Shell, config_option, echo_json, json_option, pass_shell
from crmcore.errors import InputError
from crmcore_email_link.commands.opening import (
    language_option,
    open_post,
    purpose_option,
    variables_of,
    variables_option,
)

if TYPE_CHECKING:
    from crmcore import Crm, Outcome
    from crmcore_email_link.addresses import Address

MOST: Final = 5
"""How many get a test at once: it is no way around the gate."""


@click.command("test")
@click.argument("template")
@click.argument("addresses", metavar="ADDRESS...", nargs=-1, required=True)
@language_option
@purpose_option
@variables_option
@config_option
@json_option
@pass_shell
def test(
    shell: Shell,
    template: str,
    addresses: tuple[str, ...],
    language: str | None,
    purpose: str | None,
    file: Path | None,
    as_json: bool,
) -> None:
    """
    Send a mail to the shop's own staff, at once.

    It goes by the transport in crm.toml, with a subject that begins with [Test]. Nothing is
    recorded, and its links lead nowhere. At most five addresses are taken, and none of a customer
    whom the gate would not let it go to. Exit code 1 where one of them was not accepted.
    """
    from crmcore_email_link.proofs import proof_of, purpose_for

    if len(set(addresses)) > MOST:
        raise InputError(
            f"{len(set(addresses))} addresses are given; at most {MOST} are expected, as a test "
            "is for the shop's own staff: `crm send` and broadcasts are for customers"
        )
    variables, wanted = variables_of(file), purpose_for(template, purpose)
    with open_post(shell) as (crm, plugin):
        found = [*dict.fromkeys(_address(crm, each, wanted) for each in addresses)]
        proofs = [
            proof_of(
                plugin.composer,
                template,
                at=crm.runtime.clock.now(),
                purpose=wanted,
                language=language,
                address=each,
                variables=variables,
                heading="[Test] ",
            )
            for each in found
        ]
        outcomes = plugin.carrying.send([each.envelope for each in proofs])
    told = [_said(outcome) for outcome in outcomes]
    if as_json:
        echo_json([_json(*each) for each in zip(found, told, strict=True)])
    else:
        for address, (state, detail) in zip(found, told, strict=True):
            style = "green" if state == "accepted" else "red"
            aside = f"  {detail}" if detail else ""
            click.echo(f"{click.style(f'{state:<8}', fg=style)}  {address}{aside}")
    if any(state != "accepted" for state, _ in told):
        click.get_current_context().exit(1)


def _address(crm: Crm, text: str, purpose: str) -> str:
    """
    Return an address as mail goes there.

    Raises:
        InputError: If it is none, or a customer's whom the gate would not let it go to.
    """
    from crmcore import Identifier
    from crmcore_email_link.addresses import parse

    found: Address = parse(text)
    for scheme in ("email", "guest_email"):
        customer = crm.find_customer(Identifier(scheme, found.match_key))
        if customer is None:
            continue
        answers = crm.explain_send(
            customer,
            "email_link.test",
            purpose=purpose,  # type: ignore[arg-type]  # one of PURPOSES
            channel="email",
        )
        for each in answers:
            if each.answer == "no":
                raise InputError(
                    f"{found.match_key} is customer {customer}'s, and {each.gate} says no: "
                    f"{each.reason}; a test is for the shop's own staff"
                )
    return found.match_key


def _said(outcome: Outcome) -> tuple[str, str | None]:
    from crmcore import Accepted, Deferred, Failed

    match outcome:
        case Accepted(reference):
            return "accepted", reference
        case Deferred(reason):
            return "deferred", reason
        case Failed(reason):
            return "failed", reason
        case _:
            return "unknown", outcome.reason


def _json(address: str, told: tuple[str, str | None]) -> dict[str, Any]:
    return {"address": address, "outcome": told[0], "detail": told[1]}
