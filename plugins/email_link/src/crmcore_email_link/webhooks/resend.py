"""
Resend: it signs by Svix, with a shared secret.

Source:
    https://resend.com/docs/dashboard/webhooks/verify-webhooks-requests,
    https://resend.com/docs/dashboard/webhooks/event-types, and
    https://docs.svix.com/receiving/verifying-payloads/how-manual
"""

from __future__ import annotations

import base64
import binascii
import hashlib
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

_PREFIX: Final = "whsec_"
_NOT_TRIED: Final = frozenset({"Suppressed", "OnAccountSuppressionList"})
_KINDS: Final[Mapping[str, Kind]] = {
    "email.delivered": "delivered",
    "email.delivery_delayed": "deferred",
    "email.complained": "complaint",
    "email.opened": "opened",
    "email.clicked": "clicked",
    "email.failed": "block",
    "email.suppressed": "block",
}


@define(kw_only=True)
class ResendWebhook:
    """
    Reads what Resend tells.

    Each attempt is signed anew, so the window can be short.

    Attributes:
        secret: Of the webhook, such as `whsec_...`.
        window: Seconds for which a request is believed.
    """

    secret: str = field(repr=False)
    window: float = 300.0

    def __attrs_post_init__(self) -> None:
        """Refuse a secret that verifies nothing."""
        _ = self._key

    @property
    def _key(self) -> bytes:
        try:
            found = base64.b64decode(self.secret.removeprefix(_PREFIX), validate=True)
        except binascii.Error:
            found = b""
        if not found:
            raise ConfigurationError(
                f"Resend's secret is not right; one that begins with {_PREFIX} is expected"
            )
        return found

    def receive(self, body: bytes, headers: Headers, *, now: int) -> Sequence[Feedback]:
        """Return what a request tells."""
        own = self._verify(body, headers, now)
        event = as_mapping(read_json(body))
        data = as_mapping(event.get("data"))
        kind, reason, status = _told(str(event.get("type")), data)
        at = as_instant(event.get("created_at"))
        recipients = [as_text(each) for each in as_list(data.get("to"))] or [
            as_text(data.get("to"))
        ]
        return [
            Feedback(
                provider="resend",
                event_id=own if place == 0 else f"{own}/{place}",
                kind=kind,
                reference=as_text(data.get("email_id")),
                message_id=bare(data.get("message_id")),
                token=_token(data.get("tags")),
                recipient=recipient,
                reason=reason,
                status=status,
                at=at if at is not None else now,
                raw=to_raw(event),
            )
            for place, recipient in enumerate(recipients)
        ]

    def _verify(self, body: bytes, headers: Headers, now: int) -> str:
        own, stamp = header(headers, "svix-id"), header(headers, "svix-timestamp")
        signed = f"{own}.{stamp}.".encode() + body
        made = base64.b64encode(hmac.new(self._key, signed, hashlib.sha256).digest())
        given = header(headers, "svix-signature").split()
        versions = [each.partition(",") for each in given]
        is_right = [
            hmac.compare_digest(made, value.encode())
            for version, _, value in versions
            if version == "v1"
        ]
        if not own or not any(is_right):
            raise FeedbackRefusedError("the signature of an event of Resend is not right")
        if not (stamp.isascii() and stamp.isdigit()):
            raise FeedbackRefusedError("an event of Resend has no timestamp")
        check_window(int(stamp) * 1_000_000, now, self.window, "an event of Resend")
        return own


def _told(name: str, data: Mapping[str, Any]) -> tuple[Kind, str | None, str | None]:
    if name == "email.bounced":
        bounce = as_mapping(data.get("bounce"))
        lines = " ".join(str(each) for each in as_list(bounce.get("diagnosticCode")))
        said = as_text(bounce.get("message"))
        status = status_in(lines, said)
        if bounce.get("subType") in _NOT_TRIED:
            return "block", said, status
        is_permanent = bounce.get("type") == "Permanent"
        return bounce_kind(status, lines or said, is_permanent=is_permanent), said, status
    reason = as_text(as_mapping(data.get("failed")).get("reason"))
    reason = reason or as_text(as_mapping(data.get("suppressed")).get("message"))
    return _KINDS.get(name, "unknown"), reason, None


def _token(tags: object) -> str | None:
    """Return our token from tags, which are told as a mapping, or as a list of pairs."""
    if isinstance(tags, dict):
        return as_text(tags.get("token"))
    pairs = (as_mapping(each) for each in as_list(tags))
    return next((as_text(each.get("value")) for each in pairs if each.get("name") == "token"), None)
