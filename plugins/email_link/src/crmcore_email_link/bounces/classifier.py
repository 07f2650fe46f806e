"""Classifier: from the bytes of a mail that came back to what it says."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from typing import Final

from crmcore_email_link.bounces import deciding, groups, notices, replies, returned, statuses
from crmcore_email_link.bounces.groups import Group, Report
from crmcore_email_link.bounces.parts import Part, decoded_words, parts_of
from crmcore_email_link.bounces.report import BouncedRecipient, BounceReport, Evidence, Kind, Origin

_WORST: Final[tuple[Kind, ...]] = ("hard", "soft", "block", "delayed", "delivered")
_ARRIVED: Final = frozenset({"delivered", "relayed", "expanded"})
_MOST_TEXT: Final = 16_000
_TAG: Final = re.compile(r"<(?![^\s<>]{1,300}@)[^<>]{0,2000}>")
_BREAK: Final = re.compile(r"<(?:br|/p|/div|/tr|/h\d|/li)\b[^<>]{0,200}>", re.IGNORECASE)
_HIDDEN: Final = re.compile(r"<(style|script|title)\b[^<>]{0,200}>[^<]{0,100000}</\1", re.I)
_REPLIED: Final = re.compile(r"(?<![\d.])[45]\d\d[ -]|\bsaid:|<<<|reason:", re.IGNORECASE)


def classify(raw: bytes) -> BounceReport:
    """
    Return what a mail that came back says.

    It never raises, whatever the bytes are, and looks at a bounded part of them: the first
    `MOST_PARTS` parts, `MOST_TEXT_BYTES` of each, `MOST_RECIPIENTS` of a report.

    Sources:
        RFC 3464 and 6533 (reports), 3461 (ENVID), 3463 and 5248 (status codes), 3834
        (auto-replies), 8098 (disposition notifications).
    """
    parts = parts_of(raw)
    written = _written(parts)
    text = returned.before(written)
    if "<br" in text.lower():
        text = _from_html(text)
    text = notices.QUOTED_SUBJECT.sub("", text)
    report = groups.read(parts)
    ours = returned.find(parts, written, report.message_id if report else None)
    recipients, evidence = _judged(parts, text, _own_subject(parts[0], ours), report)
    kind = _kind_of(recipients, evidence)
    return BounceReport(
        kind=kind,
        recipients=recipients if kind in _WORST else (),
        message_id=ours.message_id,
        token=ours.token,
        envelope_id=report.envelope_id if report else None,
        evidence=(*_deciding(recipients, kind), *evidence),
    )


def _judged(
    parts: Sequence[Part], text: str, subject: str, report: Report | None
) -> tuple[tuple[BouncedRecipient, ...], tuple[Evidence, ...]]:
    """Return what became of each recipient, or what shows that the mail is no bounce at all."""
    mail = parts[0]
    if any(part.kind == "message/feedback-report" for part in parts):
        return (), (_seen("complaint", "RFC 5965", mail.kind),)
    if report and report.disposition:
        return _of_disposition(report, text)
    machine = replies.by_header(mail)
    if report and report.groups:
        challenge = replies.find(mail, text) if not any(g.action for g in report.groups) else None
        if challenge:
            return (), (challenge,)
        return tuple(_of_group(n, report.groups, text, mail) for n in range(len(report.groups))), ()
    if machine and not replies.is_daemon(mail):
        return (), (machine,)
    within = any(part.within[-1:] == ("message/rfc822",) for part in parts)
    notice = notices.find(mail, text, returns_mail=within)
    if notice is None:
        answered = replies.find(mail, text)
        return (), (answered,) if answered else ()
    return _of_notice(mail, text, subject, notice), (notice,)


def _of_group(n: int, all_of: Sequence[Group], text: str, mail: Part) -> BouncedRecipient:
    """Return what a group of a report says about its recipient."""
    group = all_of[n]
    part = f"Diagnostic-Code of recipient {n + 1}"
    found = _by_action(group, text, mail)
    if found is None:
        words, context = group.diagnostic, text
        if len(all_of) > 1:
            context = _about(group, text) or ("" if group.diagnostic else text)
        if not words:
            words, part = _replies_in(context), f"text about recipient {n + 1}"
        found = deciding.decide(words, part, group.status, context)
    if found is None:
        why = _seen("failed", "RFC 3464, 2.3.3", f"Action of recipient {n + 1}", group.action or "")
        found = deciding.Decision("soft", why)
    return BouncedRecipient(
        kind=found.kind,
        address=group.original or group.final,
        origin="report" if group.original or group.final else None,
        status=group.status,
        diagnostic=group.diagnostic,
        action=group.action,
        evidence=(found.evidence,),
    )


def _by_action(group: Group, text: str, mail: Part) -> deciding.Decision | None:
    """Return what the action says, where it is no failure."""
    if group.action == "delayed":
        return deciding.Decision(
            "delayed", _seen("delayed", "RFC 3464, 2.3.3", "Action", "delayed")
        )
    succeeded = group.status is None or group.status.startswith("2")
    if group.action in _ARRIVED and succeeded:
        why = _seen("arrived", "RFC 3464, 2.3.3", "Action", group.action or "")
        return deciding.Decision("delivered", why)
    if group.action is None and group.status and group.status.startswith("2"):
        return deciding.Decision(
            "delivered", _seen("arrived", "RFC 3463, 2", "Status", group.status)
        )
    if group.action is None and (late := notices.delay(mail, text)):
        return deciding.Decision("delayed", late)
    return None


def _of_disposition(
    report: Report, text: str
) -> tuple[tuple[BouncedRecipient, ...], tuple[Evidence, ...]]:
    """Return what a disposition notification says: read, or rejected by a rule of the recipient."""
    address = next((each.original or each.final for each in report.groups), None)
    disposition = report.disposition or ""
    why = _seen("disposition", "RFC 8098, 3.2.6", "Disposition", disposition)
    kind: Kind = "delivered"
    if disposition.startswith(("deleted", "denied", "failed")):
        # Dovecot rejects by such a notification what comes too late to be refused (RFC 5429, 2).
        found = deciding.decide(text, "text") if "reject" in text.lower() else None
        if found is None:
            return (), (why,)
        kind, why = found
    origin: Origin | None = "report" if address else None
    return (BouncedRecipient(kind=kind, address=address, origin=origin, evidence=(why,)),), ()


def _of_notice(
    mail: Part, text: str, subject: str, notice: Evidence
) -> tuple[BouncedRecipient, ...]:
    """Return what a notice in words says about each recipient it names."""
    late = notices.delay(mail, text)
    overall = (
        (deciding.Decision("delayed", late) if late else None)
        or deciding.decide(text, "text")
        or deciding.decide(subject, "header subject")
    )
    if overall is None:
        arrived = notices.arrival(mail, text)
        overall = deciding.Decision("delivered" if arrived else "soft", arrived or notice)
    found = notices.addressed(mail, text) or (notices.Addressed("", "", False),)
    return tuple(_of_address(each, overall, len(found)) for each in found)


def _of_address(
    each: notices.Addressed, overall: deciding.Decision, count: int
) -> BouncedRecipient:
    """Return what a notice says about one address."""
    decision = overall
    if count > 1 and each.said and overall.kind not in ("delayed", "delivered"):
        decision = deciding.decide(each.said, f"text about {each.address}") or overall
    origin: Origin = "header" if each.in_header else "text"
    said = " ".join((each.said or decision.evidence.words).split())
    return BouncedRecipient(
        kind=decision.kind,
        address=each.address or None,
        origin=origin if each.address else None,
        status=statuses.enhanced_in(each.said),
        diagnostic=said[: groups.LONGEST_DIAGNOSTIC],
        evidence=(decision.evidence,),
    )


def _own_subject(mail: Part, ours: returned.Returned) -> str:
    """Return the subject without that of our mail, which some put into it."""
    subject = mail.header("subject")[:500]
    of_ours = decoded_words(next(iter(ours.headers.get("subject", ())), ""))
    return subject.replace(of_ours, "") if of_ours else subject.partition(": ")[0]


def _written(parts: Sequence[Part]) -> str:
    """Return what a mail says to people: its plain texts, or its HTML where there are none."""
    plain = [part for part in parts if part.kind == "text/plain" and _is_outside(part)]
    texts = [part.text for part in plain[:4] if part.body.strip()]
    if not texts:
        texts = [
            _from_html(part.text)
            for part in parts
            if _is_outside(part) and part.kind == "text/html"
        ][:2]
    if not texts:
        texts = [part.text for part in parts[:1]]
    return "\n".join(texts)[:_MOST_TEXT]


def _is_outside(part: Part) -> bool:
    """Tell whether a part is not in the mail that came back."""
    return not any(each.startswith("message/") for each in part.within)


def _from_html(text: str) -> str:
    """Return the text of HTML, roughly."""
    text = _HIDDEN.sub("", text[: 8 * _MOST_TEXT])
    return html.unescape(_TAG.sub("", _BREAK.sub("\n", text)))


def _about(group: Group, text: str) -> str:
    """Return what the text says about a recipient, from where it names them."""
    for address in (group.original, group.final):
        if address and (at := text.lower().find(address.lower())) >= 0:
            return text[at : at + 1000].split("\n\n")[0]
    return ""


def _replies_in(text: str) -> str:
    """Return the lines in which a server is quoted."""
    return "\n".join(line for line in text.split("\n")[:200] if _REPLIED.search(line[:400]))


def _kind_of(recipients: Sequence[BouncedRecipient], evidence: Sequence[Evidence]) -> Kind:
    """Return the kind of the whole."""
    kinds = {each.kind for each in recipients}
    if not kinds:
        return "auto_reply" if any(each.rule == "auto-reply" for each in evidence) else "unknown"
    return next((kind for kind in _WORST if kind in kinds), "unknown")


def _deciding(recipients: Sequence[BouncedRecipient], kind: Kind) -> tuple[Evidence, ...]:
    """Return what decided about the recipients whom it is worst for; of many, the first five."""
    return tuple(why for each in recipients if each.kind == kind for why in each.evidence)[:5]


def _seen(rule: str, source: str, part: str, words: str = "") -> Evidence:
    """Return evidence of what a mail bears."""
    return Evidence(rule=rule, source=source, part=part, words=words[:200])
