"""Complaints: what a provider passes on when somebody says that our mail is unwanted (ARF)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from attrs import field, frozen

from crmcore_email_link.bounces import returned
from crmcore_email_link.bounces.parts import Part, headers_of, parts_of

SUPPRESSING: Final = frozenset({"abuse", "opt-out", "opt-out-list"})
"""The feedback types by which somebody asks for no more mail."""

_MOST_VALUES: Final = 100
_REDACTED: Final = re.compile(
    r"^<?(?:redacted|\[?removed\]?|x{3,}|[^@]*\[?redacted\]?[^@]*)(?:@|$)", re.I
)
_OUTLOOK: Final = re.compile(r"^complaint about message from\b", re.IGNORECASE)


@frozen(kw_only=True)
class ComplaintReport:
    """
    A complaint as it was passed on.

    Attributes:
        feedback_type: In lower case, such as `abuse`, `opt-out`, `not-spam` or `auth-failure`.
        message_id: The Message-ID of our mail, without its angle brackets.
        token: The token in its return path (`b+TOKEN@`), not verified here.
        feedback_id: Its `Feedback-ID`, as we wrote it.
        envelope_id: The ENVID that we gave with it.
        recipients: Whom it was for as the report says, verbatim. Providers redact them (RFC 6590),
            so that only our own ids tell who complained.
        is_redacted: Whether no recipient is told in clear.
        user_agent: Who wrote the report, such as `Yahoo!-Mail-Feedback/2.0`.
        fields: All fields of the report, by name in lower case.
    """

    feedback_type: str
    message_id: str | None = None
    token: str | None = None
    feedback_id: str | None = None
    envelope_id: str | None = None
    recipients: tuple[str, ...] = ()
    is_redacted: bool = True
    user_agent: str | None = None
    fields: Mapping[str, tuple[str, ...]] = field(factory=dict)

    @property
    def suppresses(self) -> bool:
        """
        Whether it asks for no more mail.

        A failed authentication says nothing of the kind, nor does `not-spam` (RFC 6650, 5.3).
        """
        return self.feedback_type in SUPPRESSING


def parse(raw: bytes) -> ComplaintReport | None:
    """
    Return the complaint that a mail passes on, or None if it is none.

    It never raises, whatever the bytes are.

    Sources:
        RFC 5965 (format), 6590 (redaction), 6591 (authentication failures), 6650 (what to do).
        Outlook.com's reporting programme sends our mail alone, below a subject that says so.
    """
    parts = parts_of(raw)
    report = next((part for part in parts if part.kind == "message/feedback-report"), None)
    if report is not None:
        # Some put an empty line between the fields, which makes them one group all the same.
        fields = headers_of(re.sub(r"\n\s*\n", "\n", report.text))
        kind = _first(fields, "feedback-type").lower()
        return _report(re.split(r"[\s;,(]", kind)[0] or "other", fields, parts)
    if _OUTLOOK.match(parts[0].header("subject")):
        return _report("abuse", {}, parts)
    return None


def _report(
    kind: str, fields: dict[str, tuple[str, ...]], parts: Sequence[Part]
) -> ComplaintReport:
    """Return a complaint with what the report and our returned mail tell."""
    ours = returned.find(parts, "")
    names = ("original-rcpt-to", "removal-recipient")
    told = [value for name in names for value in fields.get(name, ())]
    told = told or list(ours.headers.get("x-hmxmroriginalrecipient", ()))
    recipients = tuple(dict.fromkeys(told))[:_MOST_VALUES]
    sent_from = returned.token_in(_first(fields, "original-mail-from"))
    return ComplaintReport(
        feedback_type=kind,
        message_id=ours.message_id,
        token=ours.token or sent_from,
        feedback_id=_first(ours.headers, "feedback-id") or None,
        envelope_id=_first(fields, "original-envelope-id") or None,
        recipients=recipients,
        is_redacted=all("@" not in each or _REDACTED.match(each) for each in recipients),
        user_agent=_first(fields, "user-agent") or None,
        fields=fields,
    )


def _first(fields: Mapping[str, tuple[str, ...]], name: str) -> str:
    """Return the first value of a field; empty: it is missing."""
    return next(iter(fields.get(name, ())), "")
