"""
SendGrid: mails by its API, version 3.

Source:
    https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from email.utils import parseaddr
from typing import Any, ClassVar, Final

from attrs import define, field

from crmcore import Outcome
from crmcore_email_link.transports.api import Answer, Request, carry, check_url, judge, to_json
from crmcore_email_link.transports.envelope import Envelope
from crmcore_email_link.transports.parts import Attachment, parts_of

URL: Final = "https://api.sendgrid.com"
_ITS_OWN: Final = frozenset({"x-sg-id", "x-sg-eid"})


@define(kw_only=True)
class SendGrid:
    """
    One account at SendGrid.

    It takes fields: the bytes on the wire, and their signature, are SendGrid's, so what was
    composed is not what is sent. It takes no key by which it would know a mail again. The
    envelope's `envid` comes back in its webhooks as `token`, and its `idempotency_key` as `key`.
    What it would do to links and for opens, and its own unsubscribing, are turned off.

    Attributes:
        key: Of the API.
        url: Where its API is: this, or `https://api.eu.sendgrid.com`.
        seconds: How long it may take to answer.
        connections: How many requests there are at once.
    """

    name: ClassVar[str] = "SendGrid"
    idempotent: ClassVar[bool] = False

    key: str = field(repr=False)
    url: str = URL
    seconds: float = 10.0
    connections: int = 4

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
        parts = parts_of(envelope.raw)
        bodies = (("text/plain", parts.text), ("text/html", parts.html))
        echoed = {"key": envelope.idempotency_key, "token": envelope.envid}
        off = {"enable": False}
        said: dict[str, Any] = {
            "personalizations": [
                {
                    "to": [{"email": envelope.rcpt_to}],
                    "custom_args": {name: value for name, value in echoed.items() if value},
                }
            ],
            "from": _person(parts.sender),
            "subject": parts.subject,
            "content": [{"type": kind, "value": body} for kind, body in bodies if body],
            "headers": {
                name: value for name, value in parts.headers if name.lower() not in _ITS_OWN
            },
            "tracking_settings": {
                "click_tracking": {**off, "enable_text": False},
                "open_tracking": off,
                "subscription_tracking": off,
            },
        }
        if parts.reply_to is not None:
            said["reply_to"] = _person(parts.reply_to)
        if parts.attachments:
            said["attachments"] = [_file(each) for each in parts.attachments]
        return Request(
            path="/v3/mail/send",
            headers={
                "Authorization": f"Bearer {self.key}",
                "Content-Type": "application/json",
            },
            body=to_json(said),
        )

    def outcome(self, answer: Answer) -> Outcome:
        """Return what an answer says of the mail; its id is in a header."""
        errors = answer.fields.get("errors")
        first = errors[0] if isinstance(errors, list) and errors else {}
        said = first.get("message") if isinstance(first, Mapping) else None
        return judge(
            self,
            answer,
            reference=answer.headers.get("X-Message-Id"),
            said=said,
            wait=_until_reset(answer),
        )


def _file(attachment: Attachment) -> dict[str, str]:
    content_id = attachment.content_id
    return {
        "content": base64.b64encode(attachment.content).decode(),
        "type": attachment.kind,
        "filename": attachment.name,
        "disposition": "inline" if content_id else "attachment",
        **({"content_id": content_id} if content_id else {}),
    }


def _person(address: str) -> dict[str, str]:
    name, plain = parseaddr(address)
    return {"email": plain, "name": name} if name else {"email": plain}


def _until_reset(answer: Answer) -> float | None:
    """Return the seconds until more is taken, which it says as an instant."""
    try:
        return answer.seconds_until(float(answer.headers.get("X-RateLimit-Reset") or ""))
    except ValueError:
        return None
