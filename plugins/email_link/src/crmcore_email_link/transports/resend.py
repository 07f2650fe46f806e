"""
Resend: mails by its API.

Source:
    https://resend.com/docs/api-reference/emails/send-email,
    https://resend.com/docs/dashboard/emails/idempotency-keys, and
    https://resend.com/docs/api-reference/errors
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from typing import Any, ClassVar, Final

from attrs import define, field

from crmcore import Deferred, Outcome, Unknown
from crmcore_email_link.transports.api import Answer, Request, carry, check_url, judge, to_json
from crmcore_email_link.transports.envelope import Envelope
from crmcore_email_link.transports.parts import parts_of

URL: Final = "https://api.resend.com"
_LONGEST_KEY: Final = 256
_TAG: Final = re.compile(r"[A-Za-z0-9_-]{1,256}")
_CONFLICT: Final = 409


@define(kw_only=True)
class Resend:
    """
    One account at Resend.

    It takes fields: the bytes on the wire, and their signature, are Resend's, so what was composed
    is not what is sent. It is the one of the five that takes a key by which it knows a mail again,
    for 24 hours: what it did not answer is deferred, and safe to say again within that time. The
    envelope's `envid` comes back in its webhooks as the tag `token`, if it is made of letters,
    digits, `_` and `-`.

    Attributes:
        key: Of the API.
        url: Where its API is.
        seconds: How long it may take to answer.
        connections: How many requests there are at once; it takes few a second.
    """

    name: ClassVar[str] = "Resend"
    idempotent: ClassVar[bool] = True

    key: str = field(repr=False)
    url: str = URL
    seconds: float = 10.0
    connections: int = 1

    def __attrs_post_init__(self) -> None:
        """Refuse an address that cannot be called, before any mail is."""
        check_url(self.url, URL)

    def send(self, envelopes: Sequence[Envelope]) -> Sequence[Outcome]:
        """Hand mails over, and return one outcome for each, in their order."""
        return carry(self, envelopes)

    def close(self) -> None:
        """Hold nothing."""

    def request(self, envelope: Envelope) -> Request:
        """Return how a mail is handed over."""
        key = envelope.idempotency_key
        if not 0 < len(key) <= _LONGEST_KEY or not key.isascii():
            raise ValueError(f"its key is {key!r}; up to {_LONGEST_KEY} ASCII characters are taken")
        parts = parts_of(envelope.raw)
        said: dict[str, Any] = {
            "from": parts.sender,
            "to": [envelope.rcpt_to],
            "subject": parts.subject,
            "headers": dict(parts.headers),
        }
        optional = {"text": parts.text, "html": parts.html, "reply_to": parts.reply_to}
        said |= {name: value for name, value in optional.items() if value is not None}
        if envelope.envid is not None and _TAG.fullmatch(envelope.envid):
            said["tags"] = [{"name": "token", "value": envelope.envid}]
        if parts.attachments:
            said["attachments"] = [
                {
                    "filename": each.name,
                    "content": base64.b64encode(each.content).decode(),
                    "content_type": each.kind,
                    **({"content_id": each.content_id} if each.content_id else {}),
                }
                for each in parts.attachments
            ]
        return Request(
            path="/emails",
            headers={
                "Authorization": f"Bearer {self.key}",
                "Content-Type": "application/json",
                "Idempotency-Key": key,
                "User-Agent": "crmcore-email-link",  # without one it answers 403
            },
            body=to_json(said),
        )

    def outcome(self, answer: Answer) -> Outcome:
        """Return what an answer says of the mail."""
        found = answer.fields
        code, said = found.get("name"), found.get("message")
        if answer.status == _CONFLICT:
            reason = f"Resend answered 409, {code}: {said}"
            if code == "concurrent_idempotent_requests":
                return Deferred(reason, answer.retry_after)
            # It had another mail under this key, and what became of that one is not said.
            return Unknown(reason)
        return judge(self, answer, reference=found.get("id"), code=code, said=said)
