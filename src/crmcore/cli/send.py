"""`crm send`: one message to one customer, through the gate."""

from __future__ import annotations

import click

from crmcore.cli.consent import instant_of
from crmcore.cli.customer import known_as
from crmcore.cli.messages import message_json, standing
from crmcore.cli.shell import Shell, config_option, echo_json, json_option, pass_shell
from crmcore.domain.message import Content, MessageDraft, check_purpose
from crmcore.errors import InputError
from crmcore.hooks import Plugin


@click.command
@click.argument("who", metavar="SCHEME:VALUE|ID")
@click.argument("key")
@click.option(
    "--purpose",
    required=True,
    metavar="PURPOSE",
    help="service, care, news, promotion or survey: what has to be told, or what one agrees to.",
)
@click.option("--channel", required=True, metavar="NAME", help="Such as email or sms.")
@click.option("--text", default="", metavar="TEXT", help="What it says.")
@click.option("--subject", metavar="TEXT", help="Of an email.")
@click.option("--asks", is_flag=True, help="It asks the customer for something.")
@click.option("--not-before", metavar="INSTANT", help="When it may go, in ISO 8601 with zone.")
@click.option("--not-after", metavar="INSTANT", help="After when nobody wants it.")
@config_option
@json_option
@pass_shell
def send(
    shell: Shell,
    who: str,
    key: str,
    purpose: str,
    channel: str,
    text: str,
    subject: str | None,
    asks: bool,
    not_before: str | None,
    not_after: str | None,
    as_json: bool,
) -> None:
    """
    Plan a message for a customer.

    KEY says what it is, such as order-shipped/4711: a customer gets it once. The gate judges it
    at once, and what may go is delivered by `crm worker` or `crm deliver`. Of a key that they
    have a message of, that message is told, and a warning where this one is another.
    """
    draft = MessageDraft(
        key=key,
        customer=known_as(who),
        purpose=check_purpose(purpose),
        channel=channel,
        content=Content(text=text, subject=subject),
        asks=asks,
        not_before=None if not_before is None else instant_of("--not-before", not_before),
        not_after=None if not_after is None else instant_of("--not-after", not_after),
    )
    with shell.open() as crm:
        crm.runtime.messages.check(draft)
        if not (text or subject) and not crm.runtime.assembly.of(Plugin.prepare_message):
            raise InputError(
                "the message says nothing, and no plugin prepares it; give --text, or --subject"
            )
        planned = crm.send(draft, actor="cli")
    if as_json:
        echo_json(message_json(planned))
        return
    click.echo(f"Message {planned.id} to customer {planned.customer_id} is {standing(planned)}.")
