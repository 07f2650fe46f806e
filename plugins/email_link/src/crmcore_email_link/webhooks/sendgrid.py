"""
SendGrid: it signs the instant and the body with a key of the curve P-256.

Source:
    https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/getting-started-event-webhook-security-features
    and https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from attrs import define

from crmcore.errors import ConfigurationError
from crmcore_email_link.webhooks.feedback import (
    Feedback,
    FeedbackRefusedError,
    Headers,
    Kind,
    as_instant,
    as_list,
    as_mapping,
    as_text,
    bare,
    bounce_kind,
    check_window,
    header,
    read_json,
    status_in,
    to_raw,
)

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

_SIGNATURE: Final = "X-Twilio-Email-Event-Webhook-Signature"
_TIMESTAMP: Final = "X-Twilio-Email-Event-Webhook-Timestamp"
_KINDS: Final[Mapping[str, Kind]] = {
    "delivered": "delivered",
    "deferred": "deferred",
    "dropped": "block",  # it did not try, for what it knew before
    "open": "opened",
    "click": "clicked",
    "spamreport": "complaint",
    "unsubscribe": "unsubscribed",
    "group_unsubscribe": "unsubscribed",
}


@define(kw_only=True, slots=False)
class SendGridWebhook:
    """
    Reads what SendGrid tells, several events in one request.

    It tries again for a day.

    Attributes:
        key: The public one that its settings show, in Base64.
        window: Seconds for which a request is believed.
    """

    key: str
    window: float = 25 * 3600.0

    def __attrs_post_init__(self) -> None:
        """Refuse a key that verifies nothing."""
        _ = self._public

    def receive(self, body: bytes, headers: Headers, *, now: int) -> Sequence[Feedback]:
        """Return what a request tells."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
        from cryptography.hazmat.primitives.hashes import SHA256

        stamp = header(headers, _TIMESTAMP)
        try:
            signature = base64.b64decode(header(headers, _SIGNATURE), validate=True)
            self._public.verify(signature, stamp.encode() + body, ECDSA(SHA256()))
        except (InvalidSignature, binascii.Error, ValueError) as error:
            raise FeedbackRefusedError("the signature of SendGrid's events is not right") from error
        if not (stamp.isascii() and stamp.isdigit()):
            raise FeedbackRefusedError("SendGrid's events have no timestamp")
        check_window(int(stamp) * 1_000_000, now, self.window, "what SendGrid tells")
        return [_feedback(as_mapping(each), now) for each in as_list(read_json(body))]

    @cached_property
    def _public(self) -> EllipticCurvePublicKey:
        from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
        from cryptography.hazmat.primitives.serialization import load_der_public_key

        try:
            found = load_der_public_key(base64.b64decode(self.key, validate=True))
        except ValueError as error:
            raise ConfigurationError(
                "SendGrid's key is no public key in Base64, as its settings show it"
            ) from error
        if not isinstance(found, EllipticCurvePublicKey):
            raise ConfigurationError("SendGrid's key is not of an elliptic curve, as its own are")
        return found


def _feedback(event: Mapping[str, Any], now: int) -> Feedback:
    name = as_text(event.get("event")) or ""
    said = as_text(event.get("reason")) or as_text(event.get("response"))
    status = status_in(event.get("status"), said)
    at = as_instant(event.get("timestamp"))
    at = at if at is not None else now
    reference = as_text(event.get("sg_message_id"))
    recipient = as_text(event.get("email"))
    return Feedback(
        provider="sendgrid",
        event_id=as_text(event.get("sg_event_id")) or f"{name}/{reference}/{recipient}/{at}",
        kind=_bounced(event, said, status) if name == "bounce" else _KINDS.get(name, "unknown"),
        # What stands behind the first dot is which of its machines had it.
        reference=reference.partition(".")[0] if reference else None,
        message_id=bare(event.get("smtp-id")),
        token=as_text(event.get("token")),
        recipient=recipient,
        reason=said,
        status=status,
        at=at,
        raw=to_raw(event),
    )


def _bounced(event: Mapping[str, Any], said: str | None, status: str | None) -> Kind:
    if event.get("type") == "blocked" and status is None:
        return "block"
    kind = bounce_kind(status, said, is_permanent=event.get("type") == "bounce")
    return "block" if event.get("type") == "blocked" and kind == "hard" else kind
