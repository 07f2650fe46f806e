"""
Mailgun: mails in their own bytes by its API, version 3.

Source:
    https://documentation.mailgun.com/docs/mailgun/api-reference/send/mailgun/messages
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from typing import ClassVar
from urllib.parse import quote

from attrs import define, field

from crmcore import Outcome
from crmcore_email_link.transports.api import Answer, Request, carry, check_url, judge
from crmcore_email_link.transports.envelope import Envelope

URL = "https://api.eu.mailgun.net"


@define(kw_only=True)
class Mailgun:
    """
    One domain at Mailgun.

    It takes the mail's own bytes (`messages.mime`) and adds a signature of its own. It takes no
    key by which it would know a mail again. The return path is its own; the envelope's `envid`
    comes back in its webhooks as the variable `token`. What it would do to links and for opens is
    turned off.

    Attributes:
        domain: That it sends for, such as `mg.example.com`.
        key: Of the API.
        url: Where its API is: that of the EU, or `https://api.mailgun.net`.
        seconds: How long it may take to answer.
        connections: How many requests there are at once.
    """

    name: ClassVar[str] = "Mailgun"
    idempotent: ClassVar[bool] = False

    domain: str
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
        fields = {"to": envelope.rcpt_to, "o:tracking": "no"}
        if envelope.envid is not None:
            fields["v:token"] = envelope.envid
        # A mail cannot hold its own hash, so nothing in it ends it.
        boundary = hashlib.sha256(envelope.raw).hexdigest()[:32]
        parts = [
            f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in fields.items()
        ]
        parts.append(
            f"--{boundary}\r\n"
            'Content-Disposition: form-data; name="message"; filename="message.eml"\r\n'
            "Content-Type: message/rfc822\r\n\r\n"
        )
        secret = base64.b64encode(f"api:{self.key}".encode()).decode()
        return Request(
            path=f"/v3/{quote(self.domain, safe='')}/messages.mime",
            headers={
                "Authorization": f"Basic {secret}",
                "Content-Type": f"multipart/form-data; boundary={boundary}",
            },
            body="".join(parts).encode() + envelope.raw + f"\r\n--{boundary}--\r\n".encode(),
        )

    def outcome(self, answer: Answer) -> Outcome:
        """Return what an answer says of the mail."""
        found = answer.fields
        reference = found.get("id")
        return judge(
            self,
            answer,
            # Its webhooks name it without brackets.
            reference=reference.strip("<>") if isinstance(reference, str) else None,
            said=found.get("message"),
        )
