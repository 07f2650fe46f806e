"""
Amazon SES, through SNS: the signature is that of a certificate of Amazon's.

Source:
    https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html,
    https://docs.aws.amazon.com/ses/latest/dg/notification-contents.html, and
    https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-contents.html
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping, Sequence, Set
from typing import Any, Final
from urllib.parse import urlsplit

from attrs import define, field

from crmcore import to_datetime
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
    read_json,
    status_in,
    to_raw,
)

_HOST: Final = re.compile(r"sns\.[a-z0-9-]+\.amazonaws\.com(\.cn)?")
_CERTIFICATE: Final = re.compile(r"/SimpleNotificationService-[A-Za-z0-9]+\.pem")
_NOTIFICATION: Final = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
_CONFIRMATION: Final = (
    "Message",
    "MessageId",
    "SubscribeURL",
    "Timestamp",
    "Token",
    "TopicArn",
    "Type",
)
_SIGNED: Final = {
    "Notification": _NOTIFICATION,
    "SubscriptionConfirmation": _CONFIRMATION,
    "UnsubscribeConfirmation": _CONFIRMATION,
}
_MOST_CERTIFICATES: Final = 16

# Amazon did not try: it says nothing new of the person, and may be a complaint of long ago.
_NOT_TRIED: Final = frozenset({"Suppressed", "OnAccountSuppressionList"})
_CONTENT: Final = frozenset({"ContentRejected", "AttachmentRejected"})
_PLAIN_KINDS: Final[Mapping[str, Kind]] = {
    "Open": "opened",
    "Click": "clicked",
    "Reject": "block",
    "Rendering Failure": "block",
}


@define(kw_only=True)
class SesWebhook:
    """
    Reads what SES tells through SNS.

    Anybody can have a topic of their own, whose signature is as good: so only *topics* count. A
    topic is confirmed by calling the address it sends, which is done if the address is Amazon's.
    SNS does not send the same notification under another signature, and tries again for an hour.

    Attributes:
        topics: The ARNs of the shop's own topics.
        fetch: Returns what stands at an https address; called for certificates, each once, and to
            confirm a topic.
        window: Seconds for which a notification is believed.
    """

    topics: Set[str]
    fetch: Callable[[str], bytes] = field(repr=False)
    window: float = 3600.0
    _certificates: dict[str, Any] = field(factory=dict, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        """Refuse to believe all topics there are."""
        if not self.topics or any(len(each) == 1 for each in self.topics):
            raise ConfigurationError("no topics are named; a set of the ARNs of yours is expected")

    def receive(self, body: bytes, headers: Headers, *, now: int) -> Sequence[Feedback]:
        """Return what a request tells; a topic's confirmation tells nothing."""
        said = as_mapping(read_json(body))
        self._verify(said, now)
        if said["Type"] != "Notification":
            url = as_text(said.get("SubscribeURL")) or ""
            if said["Type"] == "SubscriptionConfirmation":
                self.fetch(_amazons(url))
            return []
        return _events(said, as_mapping(read_json(str(said["Message"]))), now)

    def _verify(self, said: Mapping[str, Any], now: int) -> None:
        names = _SIGNED.get(str(said.get("Type")))
        if names is None:
            raise FeedbackRefusedError(
                f"a message of SNS is of type {said.get('Type')!r}; one of "
                f"{', '.join(_SIGNED)} is expected"
            )
        if said.get("TopicArn") not in self.topics:
            raise FeedbackRefusedError(
                f"the topic {said.get('TopicArn')!r} is not one of those expected"
            )
        self._check_signature(said, names, now)
        at = as_instant(said.get("Timestamp"))
        if at is None:
            raise FeedbackRefusedError("a message of SNS has no timestamp")
        check_window(at, now, self.window, "a message of SNS")

    def _check_signature(self, said: Mapping[str, Any], names: Sequence[str], now: int) -> None:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import padding

        present = [name for name in names if name in said]
        if not all(isinstance(said[name], str) for name in present):
            raise FeedbackRefusedError("a message of SNS has a field that is no text")
        signed = "".join(f"{name}\n{said[name]}\n" for name in present)
        kinds = {"1": hashes.SHA1(), "2": hashes.SHA256()}  # 1 is Amazon's old way
        kind = kinds.get(str(said.get("SignatureVersion")))
        if kind is None:
            raise FeedbackRefusedError("a message of SNS is signed in a way that is not known")
        certificate = self._certificate(str(said.get("SigningCertURL")))
        moment = to_datetime(now)
        if not certificate.not_valid_before_utc <= moment <= certificate.not_valid_after_utc:
            raise FeedbackRefusedError("the certificate of a message of SNS is not valid now")
        try:
            signature = base64.b64decode(str(said.get("Signature")), validate=True)
            certificate.public_key().verify(signature, signed.encode(), padding.PKCS1v15(), kind)
        except (InvalidSignature, binascii.Error) as error:
            raise FeedbackRefusedError("the signature of a message of SNS is not right") from error

    def _certificate(self, url: str) -> Any:
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
        from cryptography.x509 import load_pem_x509_certificate

        _amazons(url, path=_CERTIFICATE)
        found = self._certificates.get(url)
        if found is None:
            try:
                found = load_pem_x509_certificate(self.fetch(url))
            except ValueError as error:
                raise FeedbackRefusedError(f"no certificate stands at {url}") from error
            if not isinstance(found.public_key(), RSAPublicKey):
                raise FeedbackRefusedError(f"the certificate at {url} is not of an RSA key")
            if len(self._certificates) >= _MOST_CERTIFICATES:
                self._certificates.clear()
            self._certificates[url] = found
        return found


def _amazons(url: str, *, path: re.Pattern[str] | None = None) -> str:
    """Return an address; raises unless it is one of SNS itself."""
    try:
        parsed = urlsplit(url)
        is_right = (
            parsed.scheme == "https"
            and _HOST.fullmatch(parsed.netloc) is not None
            and (path is None or path.fullmatch(parsed.path) is not None)
            and (path is None or not parsed.query)
        )
    except ValueError:
        is_right = False
    if not is_right:
        raise FeedbackRefusedError(
            f"{url!r} is none of Amazon's addresses; one such as "
            "https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-0.pem is expected"
        )
    return url


def _events(said: Mapping[str, Any], event: Mapping[str, Any], now: int) -> Sequence[Feedback]:
    """Return what a notification tells, one for each recipient it is about."""
    name = as_text(event.get("eventType")) or as_text(event.get("notificationType")) or ""
    part = as_mapping(event.get(_PARTS.get(name, name.lower())))
    mail = as_mapping(event.get("mail"))
    at = as_instant(part.get("timestamp")) or as_instant(said.get("Timestamp")) or now
    return [
        Feedback(
            provider="ses",
            event_id=f"{said['MessageId']}/{place}",
            kind=kind,
            reference=as_text(mail.get("messageId")),
            message_id=_message_id(mail),
            token=_token(mail),
            recipient=recipient,
            reason=reason,
            status=status,
            at=at,
            raw=to_raw(event),
        )
        for place, (recipient, kind, reason, status) in enumerate(_told(name, part, mail))
    ]


_PARTS: Final = {
    "DeliveryDelay": "deliveryDelay",
    "Rendering Failure": "failure",
    "Subscription": "subscription",
}
_Told = tuple[str | None, Kind, str | None, str | None]


def _told(name: str, part: Mapping[str, Any], mail: Mapping[str, Any]) -> Sequence[_Told]:
    """Return of whom it tells, what, why, and with which status."""
    if name == "Bounce":
        return [_bounced(part, as_mapping(each)) for each in as_list(part.get("bouncedRecipients"))]
    if name == "Complaint":
        return [_complained(part, each) for each in as_list(part.get("complainedRecipients"))]
    if name == "Delivery":
        reason = as_text(part.get("smtpResponse"))
        return [
            (as_text(each), "delivered", reason, status_in(reason))
            for each in as_list(part.get("recipients"))
        ]
    if name == "DeliveryDelay":
        return [
            (
                as_text(as_mapping(each).get("emailAddress")),
                "deferred",
                as_text(as_mapping(each).get("diagnosticCode")) or as_text(part.get("delayType")),
                status_in(as_mapping(each).get("status")),
            )
            for each in as_list(part.get("delayedRecipients"))
        ]
    kind = _PLAIN_KINDS.get(name, "unknown")
    if name == "Subscription" and _is_opted_out(part):
        kind = "unsubscribed"
    reason = as_text(part.get("reason")) or as_text(part.get("errorMessage"))
    return [(as_text(each), kind, reason, None) for each in as_list(mail.get("destination"))]


def _bounced(part: Mapping[str, Any], recipient: Mapping[str, Any]) -> _Told:
    said = as_text(recipient.get("diagnosticCode"))
    sub = as_text(part.get("bounceSubType"))
    status = as_text(recipient.get("status")) or status_in(said)
    kind: Kind
    if sub in _NOT_TRIED or sub in _CONTENT:
        kind = "block"
    else:
        kind = bounce_kind(status, said, is_permanent=part.get("bounceType") == "Permanent")
    return as_text(recipient.get("emailAddress")), kind, said or sub, status


def _complained(part: Mapping[str, Any], recipient: object) -> _Told:
    """Return a complaint; `not-spam` takes one back, and `auth-failure` is about us."""
    said = as_text(part.get("complaintFeedbackType"))
    kinds: Mapping[str | None, Kind] = {"auth-failure": "block", "not-spam": "unknown"}
    address = as_text(as_mapping(recipient).get("emailAddress"))
    if as_text(part.get("complaintSubType")) in _NOT_TRIED:
        return address, "block", as_text(part.get("complaintSubType")), None
    return address, kinds.get(said, "complaint"), said, None


def _is_opted_out(part: Mapping[str, Any]) -> bool:
    after = as_mapping(part.get("newTopicPreferences"))
    return after.get("unsubscribeAll") is True


def _message_id(mail: Mapping[str, Any]) -> str | None:
    """Return our own `Message-ID`, which SES replaces, but repeats among the headers."""
    for each in as_list(mail.get("headers")):
        found = as_mapping(each)
        if str(found.get("name")).lower() == "message-id":
            return bare(found.get("value"))
    return bare(as_mapping(mail.get("commonHeaders")).get("messageId"))


def _token(mail: Mapping[str, Any]) -> str | None:
    values = as_list(as_mapping(mail.get("tags")).get("token"))
    return as_text(values[0]) if values else None
