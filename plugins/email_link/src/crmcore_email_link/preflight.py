"""Preflight: what is wrong with templates and the octets they lead to, before any mail goes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from attrs import evolve, field, frozen

from crmcore.errors import InputError
from crmcore_email_link.composing import BULK, Composer
from crmcore_email_link.proofs import NO_MESSAGE, needs_of_template, proof_of
from crmcore_email_link.templates import Finding, lint
from crmcore_email_link.templates.needs import stand_ins
from crmcore_email_link.wire import check

Recipient = tuple[Any, Mapping[str, Any]]
"""Whatever names somebody, such as an id, and the variables that their mail is made with."""

_ADDED: Final = ("no-unsubscribe", "no-postal-address", "no-sender")
"""What a template may lack, as the composer puts it below."""

_SAME: Final = {"alt-text": "image-without-alt", "clipped": "size"}
"""Findings in octets that say again what one in the template said, with its line."""

_ORDER: Final = ("error", "warning", "note")


@frozen(kw_only=True)
class Inspected:
    """
    What was found in one template.

    Attributes:
        template: Its name.
        language: In which it was looked at.
        findings: Errors first.
        recipients: How many people's variables were looked at; none: nobody's in particular.
        lacking: Those whose mail cannot be rendered.
    """

    template: str
    language: str
    findings: tuple[Finding, ...]
    recipients: int = 0
    lacking: frozenset[Any] = field(factory=frozenset)

    @property
    def errors(self) -> int:
        """How many of them keep it from being sent."""
        return sum(each.level == "error" for each in self.findings)


def inspect_template(
    composer: Composer,
    name: str,
    language: str,
    *,
    at: int,
    purpose: str,
    variables: Mapping[str, Any],
    recipients: Iterable[Recipient] | None = None,
) -> Inspected:
    """
    Return what is wrong with a template in one language, and with the octets of a mail made by it.

    Args:
        composer: The shop's.
        name: The template's.
        language: One that it is in.
        at: The instant, in microseconds.
        purpose: What its mails are for.
        variables: What they are all made with.
        recipients: Those it is about to go to; None: nobody in particular, so that what is not
            among the variables is no error.
    """
    template = composer.catalogue.choose(name, language)
    ours = ours_in(composer, name, at)
    if recipients is None:
        known = {**variables, **ours}
        those: Iterable[Recipient] = [
            ("", {**known, **stand_ins(needs_of_template(template).paths, known)})
        ]
    else:
        those = ((who, {**variables, **each, **ours}) for who, each in recipients)
    report = lint(
        template,
        those,
        bulk=purpose in BULK,
        postal_address=composer.postal_address,
        sender_name=composer.sender.name,
    )
    found = [_softened(each) for each in report.findings]
    if recipients is None:
        found = [_about_nobody(each) for each in found]
    said = {each.code for each in found}
    wired = _of_octets(composer, name, language, at, purpose, variables)
    found += [each for each in wired if _SAME.get(each.code) not in said]
    found.sort(key=lambda each: _ORDER.index(each.level))
    return Inspected(
        template=name,
        language=language,
        findings=tuple(found),
        recipients=0 if recipients is None else report.recipients,
        lacking=frozenset() if recipients is None else report.lacking,
    )


def ours_in(composer: Composer, name: str, at: int) -> dict[str, Any]:
    """Return the variables that the composer itself gives to a template."""
    from crmcore import Content

    return composer.variables(Content(data={"template": name}), NO_MESSAGE, at)


def _softened(found: Finding) -> Finding:
    """Return a finding as it stands where the composer puts a footer below mails to many."""
    if found.code not in _ADDED:
        return found
    problem = found.message.partition(":")[0]
    return evolve(found, level="note", message=f"{problem}; the footer below it does")


def _about_nobody(found: Finding) -> Finding:
    """Return a finding as it stands where names stood for what nobody gave."""
    if found.code != "render":
        return evolve(found, recipients=())
    return evolve(
        found,
        level="warning",
        code="not-tried",
        message=f"it cannot be tried with names for values: {found.message}; give --variables",
        recipients=(),
    )


def _of_octets(
    composer: Composer,
    name: str,
    language: str,
    at: int,
    purpose: str,
    variables: Mapping[str, Any],
) -> Iterator[Finding]:
    """Go through what is wrong with the octets of a mail to nobody in particular."""
    try:
        proof = proof_of(
            composer, name, at=at, purpose=purpose, language=language, variables=variables
        )
    except InputError as error:
        if getattr(error, "template", None) is None:  # a template's own was told by its line
            yield Finding("error", "not-composed", str(error), template="mail")
        return
    for each in check(proof.envelope.raw, signed=composer.signer is not None):
        yield Finding(each.severity, each.code, each.message, template="mail")


def languages_of(composer: Composer, name: str) -> Sequence[str]:
    """Return the languages that a template is in; raises `InputError` if there is none."""
    composer.catalogue.choose(name, None)
    return sorted(composer.catalogue.templates[name].templates)
