"""
Postmark: it signs nothing, but says who it is, by a password or a header of the shop's choice.

Source:
    https://postmarkapp.com/developer/webhooks/webhooks-overview, and
    https://postmarkapp.com/developer/api/bounce-api#bounce-types
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping, Sequence
from typing import Any, Final

from attrs import define, field

from crmcore.errors import ConfigurationError
from crmcore_email_link.webhooks.feedback import (
    Feedback,
    FeedbackRefusedError,
    Headers,
    Kind,
    as_instant,
    as_mapping,
    as_text,
    bounce_kind,
    check_window,
    header,
    read_json,
    status_in,
    to_raw,
)

# Bounces by its own types; those not named here are read by their status.
_BOUNCES: Final[Mapping[str, Kind]] = {
    "Transient": "deferred",
    "DnsError": "soft",
    "AutoResponder": "unknown",
    "AddressChange": "unknown",
    "ChallengeVerification": "unknown",
    "Subscribe": "unknown",
    "Unsubscribe": "unsubscribed",
    "SpamComplaint": "complaint",
    "SpamNotification": "block",
    "VirusNotification": "block",
    "OpenRelayTest": "block",
    "Blocked": "block",
    "DMARCPolicy": "block",
    "ManuallyDeactivated": "block",
    "SMTPApiError": "block",
    "TemplateRenderingFailed": "block",
    "Unconfirmed": "block",
    "InboundError": "unknown",
}
_PERMANENT: Final = frozenset({"HardBounce", "BadEmailAddress"})
_INSTANTS: Final = ("BouncedAt", "DeliveredAt", "ReceivedAt", "ChangedAt")


@define(kw_only=True)
class PostmarkWebhook:
    """
    Reads what Postmark tells.

    It signs nothing and dates no request, so the window is about when the thing happened; within
    it, what is told again is known by its id alone. It tries again for some eleven hours.

    Attributes:
        username, password: As written into the webhook's address; None: not asked for.
        name, value: Of a header it was told to send; None: not asked for.
        window: Seconds after which an event is not believed any more.
    """

    username: str | None = None
    password: str | None = field(default=None, repr=False)
    name: str | None = None
    value: str | None = field(default=None, repr=False)
    window: float = 2 * 86_400.0

    def __attrs_post_init__(self) -> None:
        """Refuse to believe everybody."""
        if not (self.username and self.password) and not (self.name and self.value):
            raise ConfigurationError(
                "a webhook of Postmark needs a username and a password, or the name and the value "
                "of a header: it signs nothing"
            )

    def receive(self, body: bytes, headers: Headers, *, now: int) -> Sequence[Feedback]:
        """Return what a request tells."""
        self._verify(headers)
        event = as_mapping(read_json(body))
        at = next(filter(None, (as_instant(event.get(each)) for each in _INSTANTS)), None)
        check_window(at if at is not None else now, now, self.window, "an event of Postmark")
        return [_feedback(event, at if at is not None else now)]

    def _verify(self, headers: Headers) -> None:
        said = header(headers, "Authorization").encode()
        is_right = True
        if self.username and self.password:
            pair = f"{self.username}:{self.password}".encode()
            is_right = hmac.compare_digest(said, b"Basic " + base64.b64encode(pair))
        if self.name and self.value:
            found = header(headers, self.name).encode()
            is_right = hmac.compare_digest(found, self.value.encode()) and is_right
        if not is_right:
            raise FeedbackRefusedError("who calls as Postmark does not know the password")


def _feedback(event: Mapping[str, Any], at: int) -> Feedback:
    record = as_text(event.get("RecordType")) or ""
    reference = as_text(event.get("MessageID"))
    recipient = as_text(event.get("Recipient")) or as_text(event.get("Email"))
    said = as_text(event.get("Details")) or as_text(event.get("Description"))
    status = status_in(said)
    own = event.get("ID")
    return Feedback(
        provider="postmark",
        event_id=str(own) if own else f"{record}/{reference}/{recipient}/{at}",
        kind=_kind(record, event, said, status),
        reference=reference,
        token=as_text(as_mapping(event.get("Metadata")).get("token")),
        recipient=recipient,
        reason=said or as_text(event.get("Type")) or as_text(event.get("SuppressionReason")),
        status=status,
        at=at,
        raw=to_raw(event),
    )


def _kind(record: str, event: Mapping[str, Any], said: str | None, status: str | None) -> Kind:
    if record == "Bounce":
        name = str(event.get("Type"))
        if name in _BOUNCES:
            return _BOUNCES[name]
        is_known = name in _PERMANENT or name == "SoftBounce"
        return bounce_kind(status, said, is_permanent=name in _PERMANENT) if is_known else "unknown"
    if record == "SubscriptionChange":
        is_manual = event.get("SuppressionReason") == "ManualSuppression"
        is_over = event.get("SuppressSending") is True
        # The other reasons are told by the bounce or the complaint itself.
        return (
            "unsubscribed"
            if is_over and is_manual and event.get("Origin") == "Recipient"
            else ("unknown")
        )
    kinds: Mapping[str, Kind] = {
        "Delivery": "delivered",
        "SpamComplaint": "complaint",
        "Open": "opened",
        "Click": "clicked",
    }
    return kinds.get(record, "unknown")
