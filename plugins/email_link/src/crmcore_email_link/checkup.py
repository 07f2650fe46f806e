"""The checkup: what big receivers ask of a shop's mail that no DNS tells."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from crmcore import Crm
from crmcore.errors import InputError
from crmcore_email_link.composing import Composer
from crmcore_email_link.dkim import Signer
from crmcore_email_link.dns_doctor import Check, Status
from crmcore_email_link.dns_lookup import Lookup, LookupFailedError, tags_of
from crmcore_email_link.figures import COMPLAINTS_BORNE, COMPLAINTS_WANTED, Verdict, figures_of
from crmcore_email_link.letters import CONFIRM
from crmcore_email_link.plugin import EmailLink
from crmcore_email_link.proofs import proof_of
from crmcore_email_link.wire import check

_ENCRYPTED: Final = ("verified", "implicit", "required")
_OF_ONE_CLICK: Final = frozenset(
    {"one-click", "unsubscribe-mailto", "unsubscribe-length", "dkim-coverage", "dkim-oversigning"}
)
_STATUS: Final[dict[Verdict, Status]] = {
    "good": "pass",
    "high": "pass",
    "too high": "fail",
    "none": "unknown",
}


def check_shop(crm: Crm, plugin: EmailLink, lookup: Lookup) -> Iterator[Check]:
    """Go through what the shop's settings, a mail of its own, and its figures tell."""
    composer, at = plugin.composer, crm.runtime.clock.now()
    if composer.signer is not None:
        yield _key(composer.signer, lookup)
    yield _encryption(plugin)
    yield _one_click(composer, at)
    yield _complaints(crm)


def _key(signer: Signer, lookup: Lookup) -> Check:
    """Whether the key in the DNS is the one that signs."""
    where, record = signer.record
    name = "dkim key"
    try:
        texts = lookup(where, "TXT")
    except LookupFailedError as error:
        found = f"no name server answered: {error}"
        return Check(name=name, status="unknown", found=found, cure="Look again later.")
    ours = tags_of(record)["p"]
    if any("".join(tags_of(each).get("p", "").split()) == ours for each in texts):
        return Check(name=name, status="pass", found=f"{where} has the key that signs")
    return Check(
        name=name,
        status="fail",
        found=f"{where} does not have the key that signs",
        cure=f"Publish it there as one TXT record: {record}",
    )


def _encryption(plugin: EmailLink) -> Check:
    name = "sending by tls"
    if plugin.carrier is not None:
        return Check(name=name, status="unknown", found="a carrier of the shop's own sends")
    if plugin.transport != "smtp":
        found = f"{plugin.transport} is called by https"
        return Check(name=name, status="pass", found=found)
    found = f"tls is {plugin.tls!r}"
    if plugin.tls in _ENCRYPTED:
        return Check(name=name, status="pass", found=found)
    cure = "Set tls to 'verified' in the settings of email_link, or to 'required'."
    return Check(name=name, status="fail", found=found, cure=cure)


def _one_click(composer: Composer, at: int) -> Check:
    """Whether a mail to many can be ended by one click, by the octets of one."""
    name = "one click"
    try:
        raw = proof_of(composer, CONFIRM, at=at, purpose="news").envelope.raw
    except InputError as error:
        return Check(
            name=name, status="fail", found=str(error), cure="Set what is missing in crm.toml."
        )
    wrong = [
        each
        for each in check(raw, signed=composer.signer is not None)
        if each.code in _OF_ONE_CLICK
    ]
    if wrong:
        found = "; ".join(each.message for each in wrong)
        cure = "Look at a mail with `crm email preview`."
        return Check(name=name, status="fail", found=found, cure=cure)
    found = "mails to many have both headers of RFC 8058, and a mailto"
    if composer.signer is None:
        cure = "Whoever signs has to cover both: set dkim_selector, or ask your provider."
        return Check(name=name, status="pass", found=found, cure=cure)
    return Check(name=name, status="pass", found=f"{found}; the signature covers them")


def _complaints(crm: Crm) -> Check:
    figures = figures_of(crm)
    line, name = figures.latest, "complaints"
    rate = line.complaint_rate
    if rate is None:
        found = f"nothing was sent in the last {figures.days} days"
        return Check(name=name, status="unknown", found=found)
    found = f"{rate:.2%} of {line.arrived:,} mails in the last {figures.days} days"
    cure = None
    if line.verdict != "good":
        cure = (
            f"Stay below {COMPLAINTS_WANTED:.1%}, and never come to {COMPLAINTS_BORNE:.1%}: send "
            "less, and only to who asked for it. `crm email status` tells by which mails."
        )
    return Check(name=name, status=_STATUS[line.verdict], found=found, cure=cure)
