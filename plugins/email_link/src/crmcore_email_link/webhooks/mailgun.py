"""
Mailgun: it signs the instant and a token with a key, in the body itself.

Source:
    https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/securing-webhooks, and
    https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/webhook-payloads
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Any, Final

from attrs import define, field

from crmcore_email_link.webhooks.feedback import (
    Feedback,
    FeedbackRefusedError,
    Headers,
    Kind,
    as_instant,
    as_mapping,
    as_text,
    bare,
    bounce_kind,
    check_window,
    read_json,
    status_in,
    to_raw,
)

_KINDS: Final[Mapping[str, Kind]] = {
    "delivered": "delivered",
    "rejected": "block",
    "opened": "opened",
    "clicked": "clicked",
    "unsubscribed": "unsubscribed",
    "complained": "complaint",
}


@define(kw_only=True)
class MailgunWebhook:
    """
    Reads what Mailgun tells.

    The signature covers the instant and a token, not the event: over plain http anybody in between
    could change it. It tries again for eight hours.

    Attributes:
        key: With which webhooks are signed; not that of the API.
        window: Seconds for which a request is believed.
    """

    key: str = field(repr=False)
    window: float = 9 * 3600.0

    def receive(self, body: bytes, headers: Headers, *, now: int) -> Sequence[Feedback]:
        """Return what a request tells."""
        said = as_mapping(read_json(body))
        self._verify(as_mapping(said.get("signature")), now)
        event = as_mapping(said.get("event-data"))
        at = as_instant(event.get("timestamp"))
        return [_feedback(event, at if at is not None else now)]

    def _verify(self, signature: Mapping[str, Any], now: int) -> None:
        stamp, token = str(signature.get("timestamp")), str(signature.get("token"))
        made = hmac.new(self.key.encode(), (stamp + token).encode(), hashlib.sha256).hexdigest()
        if not hmac.compare_digest(made.encode(), str(signature.get("signature")).encode()):
            raise FeedbackRefusedError("the signature of an event of Mailgun is not right")
        if not (stamp.isascii() and stamp.isdigit()):
            raise FeedbackRefusedError("an event of Mailgun has no timestamp")
        check_window(int(stamp) * 1_000_000, now, self.window, "an event of Mailgun")


def _feedback(event: Mapping[str, Any], at: int) -> Feedback:
    delivery = as_mapping(event.get("delivery-status"))
    reject = as_mapping(event.get("reject"))
    message = as_mapping(as_mapping(event.get("message")).get("headers"))
    said = (
        as_text(delivery.get("message"))
        or as_text(delivery.get("description"))
        or as_text(reject.get("reason"))
        or as_text(event.get("reason"))
    )
    status = status_in(delivery.get("enhanced-code"), said)
    name = as_text(event.get("event")) or ""
    message_id = bare(message.get("message-id"))
    return Feedback(
        provider="mailgun",
        # Its id is unique within a day only.
        event_id=f"{event.get('id')}/{at}",
        kind=_failed(event, said, status) if name == "failed" else _KINDS.get(name, "unknown"),
        reference=message_id,
        message_id=message_id,
        token=as_text(as_mapping(event.get("user-variables")).get("token")),
        recipient=as_text(event.get("recipient")),
        reason=said,
        status=status,
        at=at,
        raw=to_raw(event),
    )


def _failed(event: Mapping[str, Any], said: str | None, status: str | None) -> Kind:
    if event.get("severity") == "temporary":
        return "deferred"
    reason = as_text(event.get("reason")) or ""
    if reason.startswith("suppress-"):  # it did not try, for what it was told before
        return "block"
    if reason == "old":  # it tried for as long as it does
        return "soft"
    return bounce_kind(status, said, is_permanent=event.get("severity") == "permanent")
