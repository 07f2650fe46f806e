"""Proofs: a mail as it would go, of which nothing is recorded, and whose links lead nowhere."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

from attrs import evolve, frozen

from crmcore import Content, Delivery, Message
from crmcore_email_link.composing import BULK, Composer
from crmcore_email_link.letters import own_letters
from crmcore_email_link.templates import MailTemplate
from crmcore_email_link.templates.needs import Needs, needs_of, shown, stand_ins
from crmcore_email_link.transports import Envelope

NOBODY: Final = "nobody@customer.example"
"""Where a mail to nobody in particular goes: a domain that nobody can have (RFC 2606)."""

PURPOSES: Final = ("service", *sorted(BULK))
"""What a mail may be for."""

NO_MESSAGE: Final = 0
"""The id in a proof's links. No message has it, so that they unsubscribe nobody."""


@frozen(kw_only=True)
class Proof:
    """
    A mail as it would go.

    Attributes:
        envelope: What would be handed over.
        template: By which name, such as `news`.
        language: In which it is.
        purpose: What it is for.
        invented: What stands in it for a variable that was not given, such as `products[].name`.
    """

    envelope: Envelope
    template: str
    language: str
    purpose: str
    invented: tuple[str, ...] = ()


def purpose_for(template: str, asked: str | None) -> str:
    """Return what a mail is for, where nobody said: news, or what its template is for."""
    if asked is not None:
        return asked
    return "service" if template in own_letters() else "news"


def proof_of(
    composer: Composer,
    template: str,
    *,
    at: int,
    purpose: str,
    language: str | None = None,
    address: str | None = None,
    variables: Mapping[str, Any] | None = None,
    is_complete: bool = False,
    heading: str = "",
) -> Proof:
    """
    Return a mail by the function that writes those that go, about a message that there is not.

    Args:
        composer: The shop's.
        template: By its name.
        at: The instant, in microseconds.
        purpose: What it is for, such as `news`.
        language: In which somebody reads it; None: the shop's first.
        address: Whom it is for; None: nobody in particular.
        variables: What the template may use.
        is_complete: Whether these are all; otherwise what is not among them is called by its name.
        heading: What its subject begins with, such as `[Test] `.

    Raises:
        InputError: If there is no such template, or it cannot be rendered with these.
    """
    asked = language or composer.languages[0]
    chosen = composer.catalogue.choose(template, asked)
    given = dict(variables or {})
    invented: list[str] = []
    if not is_complete:
        # What the composer says by itself is nobody else's to say.
        ours = composer.variables(Content(data={"template": template}), NO_MESSAGE, at)
        paths = needs_of_template(chosen).paths
        invented = invented_for(chosen, {**given, **ours})
        given |= stand_ins(paths, {**given, **ours})
    content = Content(data={"template": template, "language": asked, "variables": given})
    delivery = _delivery(template, purpose, content, address or NOBODY, at)
    if heading:
        said = composer.content(delivery, at)
        content = evolve(said, subject=f"{heading}{said.subject}", data={"language": asked})
        delivery = evolve(delivery, content=content)
    return Proof(
        envelope=composer.envelope(delivery, at),
        template=template,
        language=composer.catalogue.templates[template].language_for(asked),
        purpose=purpose,
        invented=tuple(invented),
    )


def invented_for(template: MailTemplate, known: Mapping[str, Any]) -> list[str]:
    """Return what a template uses and is not known, as its author would write it."""
    needs = needs_of_template(template)
    missing = needs.lacking(known)
    below = {path for path in needs.paths if any(path[: len(each)] == each for each in missing)}
    inner = {path[:end] for path in below for end in range(len(path))}
    return sorted({shown(path) for path in (*below, *missing) if path not in inner})


def needs_of_template(template: MailTemplate) -> Needs:
    """Return what a template uses in any of its parts."""
    return needs_of(each.tree for each in template.programs.values())


def _delivery(key: str, purpose: str, content: Content, address: str, at: int) -> Delivery:
    message = Message(
        id=NO_MESSAGE,
        key=key,
        plugin="",
        customer_id=NO_MESSAGE,
        purpose=purpose,  # type: ignore[arg-type]  # one of PURPOSES
        channel="email",
        state="claimed",
        priority=0,
        asks=False,
        planned_at=at,
        not_before=at,
        not_after=None,
        gate=None,
        reason=None,
        attempt=1,
        handed_at=None,
        settled_at=None,
        provider_reference=None,
        caused_by=None,
        content=content,
        address=address,
    )
    name = hashlib.sha256(f"{key}/{address}/{at}".encode()).hexdigest()[:32]
    return Delivery(message=message, content=content, address=address, idempotency_key=name)
