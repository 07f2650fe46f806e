"""
Postmark: mails by its API.

Source:
    https://postmarkapp.com/developer/api/email-api (the request), and
    https://postmarkapp.com/developer/api/overview#error-codes
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any, ClassVar, Final

from attrs import define, field

from crmcore import Outcome
from crmcore_email_link.transports.api import Answer, Request, carry, check_url, judge, to_json
from crmcore_email_link.transports.envelope import Envelope
from crmcore_email_link.transports.parts import parts_of

URL: Final = "https://api.postmarkapp.com"

# No or a wrong key, a sender not set up, no credit, an account not approved, maintenance.
_OF_THE_ACCOUNT: Final = frozenset({10, 100, 400, 401, 405, 412, 413, 429, 1226})


@define(kw_only=True)
class Postmark:
    """
    One server at Postmark.

    It takes fields: the bytes on the wire, and their signature, are Postmark's, so what was
    composed is not what is sent. Our `Message-ID` stays. It takes no key by which it would know a
    mail again. The envelope's `envid` comes back in its webhooks as the metadata `token`. Whom it
    does not send to any more (code 406) it has its own reasons for, a complaint among them, so
    that address is not called undeliverable.

    Attributes:
        token: Of the server.
        stream: Of its message streams; bulk mail has to go through a broadcast stream.
        url: Where its API is.
        seconds: How long it may take to answer.
        connections: How many requests there are at once.
    """

    name: ClassVar[str] = "Postmark"
    idempotent: ClassVar[bool] = False

    token: str = field(repr=False)
    stream: str = "outbound"
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
        headers = [{"Name": name, "Value": value} for name, value in parts.headers]
        said: dict[str, Any] = {
            "From": parts.sender,
            "To": envelope.rcpt_to,
            "Subject": parts.subject,
            "Headers": [*headers, {"Name": "X-PM-KeepID", "Value": "true"}],
            "MessageStream": self.stream,
            "TrackOpens": False,
            "TrackLinks": "None",
        }
        optional = {"TextBody": parts.text, "HtmlBody": parts.html, "ReplyTo": parts.reply_to}
        said |= {name: value for name, value in optional.items() if value is not None}
        if envelope.envid is not None:
            said["Metadata"] = {"token": envelope.envid}
        if parts.attachments:
            said["Attachments"] = [
                {
                    "Name": each.name,
                    "Content": base64.b64encode(each.content).decode(),
                    "ContentType": each.kind,
                    **({"ContentID": f"cid:{each.content_id}"} if each.content_id else {}),
                }
                for each in parts.attachments
            ]
        return Request(
            path="/email",
            headers={
                "X-Postmark-Server-Token": self.token,
                "Content-Type": "application/json",
                "Accept": "application/json",
            },
            body=to_json(said),
        )

    def outcome(self, answer: Answer) -> Outcome:
        """Return what an answer says of the mail."""
        found = answer.fields
        code = found.get("ErrorCode")
        return judge(
            self,
            answer,
            reference=found.get("MessageID") if code in (0, None) else None,
            code=f"error {code}" if isinstance(code, int) else None,
            said=found.get("Message"),
            of_the_account=code in _OF_THE_ACCOUNT,
        )
