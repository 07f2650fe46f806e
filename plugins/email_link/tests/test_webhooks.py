"""Webhooks of Postmark, Mailgun, SendGrid and Resend: what is not theirs is refused."""

import base64
import json
from typing import Any

import pytest
from crmcore_email_link.webhooks import (
    FeedbackRefusedError,
    MailgunWebhook,
    PostmarkWebhook,
    ResendWebhook,
    SendGridWebhook,
)
from cryptography.hazmat.primitives.asymmetric import ec

from crmcore.errors import ConfigurationError
from plugins.email_link.tests.webhook_senders import (
    BOUNCE,
    BOUNCED,
    DROPPED,
    FAILED,
    NOW,
    SECOND,
    STAMP,
    mailgun,
    postmark,
    public,
    resend,
    sendgrid,
)


def test_e24_postmark_is_believed_by_its_password():
    """By password, by header, or both; it may be set up by neither."""
    (found,) = postmark(BOUNCED)
    assert ("4323372036854775807", "hard", "5.1.1", "t-17", "0100-abc", "ada@example.com") == (
        found.event_id,
        found.kind,
        found.status,
        found.token,
        found.reference,
        found.recipient,
    )
    assert NOW - 60 * SECOND + 123456 == found.at
    for wrong in ({}, {"Authorization": "Basic x"}, {"Authorization": "Basic c2hvcDpzM2NyZXR4"}):
        with pytest.raises(FeedbackRefusedError):
            postmark(BOUNCED, headers=wrong)
    own = {"name": "X-Shop", "value": "s3cret"}
    assert postmark(BOUNCED, headers={"x-shop": "s3cret"}, **own)
    for wrong in ({}, {"X-Shop": "s3cre"}, {"X-Shop": "é"}):
        with pytest.raises(FeedbackRefusedError):
            postmark(BOUNCED, headers=wrong, **own)
    lacks: list[Any] = [{}, {"username": "shop"}, {"name": "X"}]
    for lacking in lacks:
        with pytest.raises(ConfigurationError):
            PostmarkWebhook(**lacking)
    assert "s3cret" not in repr(PostmarkWebhook(username="a", password="s3cret"))
    with pytest.raises(FeedbackRefusedError, match="172801 s"):
        postmark({**BOUNCED, "BouncedAt": STAMP}, now=NOW + 172_801 * SECOND)
    with pytest.raises(FeedbackRefusedError, match="no JSON"):
        postmark(b"<html>")


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"Details": "550 blocked by spamhaus blocklist"}, "block"),
        ({"Details": "smtp;550 5.7.1 no"}, "block"),
        ({"Details": "smtp;552 5.2.2 full"}, "soft"),
        ({"Details": ""}, "hard"),
        ({"Type": "SoftBounce", "Details": ""}, "soft"),
        ({"Type": "Transient"}, "deferred"),
        ({"Type": "SpamNotification"}, "block"),
        ({"Type": "Blocked", "Details": "5.1.1"}, "block"),
        ({"Type": "DMARCPolicy"}, "block"),
        ({"Type": "AutoResponder"}, "unknown"),
        ({"Type": "SomethingNew"}, "unknown"),
        ({"RecordType": "Delivery", "Recipient": "a@x", "DeliveredAt": STAMP}, "delivered"),
        ({"RecordType": "SpamComplaint"}, "complaint"),
        ({"RecordType": "Open", "ReceivedAt": STAMP}, "opened"),
        ({"RecordType": "Click", "ReceivedAt": STAMP}, "clicked"),
        (
            {
                "RecordType": "SubscriptionChange",
                "SuppressSending": True,
                "SuppressionReason": "ManualSuppression",
                "Origin": "Recipient",
            },
            "unsubscribed",
        ),
        ({"RecordType": "SubscriptionChange", "SuppressSending": False}, "unknown"),
        ({"RecordType": "New"}, "unknown"),
    ],
)
def test_e21_postmark_events_by_kind(change, kind):
    """Its own types, read with the status that the receiver gave."""
    assert [kind] == [each.kind for each in postmark({**BOUNCED, **change})]


def test_e24_mailgun_is_believed_by_its_key():
    """Timestamp and token are signed; its id alone is not one, as it is not for ever."""
    (found,) = mailgun(FAILED)
    assert ("hard", "5.1.1", "t-17", "0100-abc@mg.example.com") == (
        found.kind,
        found.status,
        found.token,
        found.reference,
    )
    assert 1795435140_500000 == found.at
    assert found.event_id != mailgun({**FAILED, "timestamp": 1795521540.5})[0].event_id
    for change in ({"timestamp": "1795435201"}, {"token": "b"}, {"signature": "0" * 64}):
        with pytest.raises(FeedbackRefusedError, match="signature"):
            mailgun(FAILED, **change)
    with pytest.raises(FeedbackRefusedError, match="32401 s"):
        mailgun(FAILED, now=NOW + 32_401 * SECOND)
    with pytest.raises(FeedbackRefusedError):
        mailgun(FAILED, stamp="soon")
    with pytest.raises(FeedbackRefusedError):
        MailgunWebhook(key="key").receive(b"[]", {}, now=NOW)


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"severity": "temporary"}, "deferred"),
        ({"reason": "suppress-bounce"}, "block"),
        ({"reason": "suppress-complaint"}, "block"),
        ({"reason": "old"}, "soft"),
        ({"delivery-status": {"message": "550 5.7.26 unauthenticated"}}, "block"),
        ({"delivery-status": {"message": "550 rejected by our spam filter"}}, "block"),
        ({"delivery-status": {"message": "550 no mailbox"}}, "hard"),
        ({"delivery-status": {"enhanced-code": "5.2.2", "message": "full"}}, "soft"),
        ({"event": "delivered"}, "delivered"),
        ({"event": "rejected", "reject": {"reason": "Sandbox"}}, "block"),
        ({"event": "complained"}, "complaint"),
        ({"event": "unsubscribed"}, "unsubscribed"),
        ({"event": "opened"}, "opened"),
        ({"event": "clicked"}, "clicked"),
        ({"event": "accepted"}, "unknown"),
        ({"event": "teleported"}, "unknown"),
    ],
)
def test_e21_mailgun_events_by_kind(change, kind):
    """What it did not even try is no word of the receiver."""
    assert [kind] == [each.kind for each in mailgun({**FAILED, **change})]


@pytest.fixture(scope="module")
def twilio():
    return ec.generate_private_key(ec.SECP256R1())


def test_e24_sendgrid_is_believed_by_its_key(twilio):
    """Over the instant and the body; several events in one."""
    found = sendgrid(twilio, [DROPPED, {**DROPPED, "event": "open", "sg_event_id": "e-2"}])
    assert ["hard", "opened"] == [each.kind for each in found]
    assert ("e-1", "0100-abc", "m1@example.com", "t-17", "5.1.1", NOW - 60 * SECOND) == (
        found[0].event_id,
        found[0].reference,
        found[0].message_id,
        found[0].token,
        found[0].status,
        found[0].at,
    )
    for wrong in (
        {"tamper": b" "},
        {"signed_by": ec.generate_private_key(ec.SECP256R1())},
        {"stamp": "soon"},
    ):
        with pytest.raises(FeedbackRefusedError):
            sendgrid(twilio, [DROPPED], **wrong)
    with pytest.raises(FeedbackRefusedError, match="90001 s"):
        sendgrid(twilio, [DROPPED], now=NOW + 90_001 * SECOND)
    with pytest.raises(FeedbackRefusedError):
        SendGridWebhook(key=public(twilio)).receive(b"[]", {}, now=NOW)
    for key in ("", "no key", base64.b64encode(b"x").decode()):
        with pytest.raises(ConfigurationError):
            SendGridWebhook(key=key)


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"type": "blocked", "status": "", "reason": "550 no"}, "block"),
        ({"type": "blocked", "status": "5.1.1"}, "block"),
        ({"type": "blocked", "status": "4.2.2", "reason": "full"}, "soft"),
        ({"status": "5.7.1"}, "block"),
        ({"status": "", "reason": "500 unknown recipient"}, "hard"),
        ({"event": "dropped", "reason": "Bounced Address"}, "block"),
        ({"event": "deferred"}, "deferred"),
        ({"event": "delivered"}, "delivered"),
        ({"event": "click"}, "clicked"),
        ({"event": "spamreport"}, "complaint"),
        ({"event": "unsubscribe"}, "unsubscribed"),
        ({"event": "group_unsubscribe"}, "unsubscribed"),
        ({"event": "group_resubscribe"}, "unknown"),
        ({"event": "processed"}, "unknown"),
        ({"event": 7}, "unknown"),
    ],
)
def test_e21_sendgrid_events_by_kind(twilio, change, kind):
    """A blocked mail is never the person's fault."""
    assert [kind] == [each.kind for each in sendgrid(twilio, [{**DROPPED, **change}])]


def test_e24_resend_is_believed_by_its_secret():
    """Svix: id, instant and body are signed; while a secret changes there are several."""
    (found,) = resend(BOUNCE)
    assert ("msg_1", "hard", "5.1.1", "0100-abc", "t-17", NOW - 60 * SECOND) == (
        found.event_id,
        found.kind,
        found.status,
        found.reference,
        found.token,
        found.at,
    )
    assert resend(BOUNCE, more="v1,AAAA v2,BBBB ")
    pairs = {**BOUNCE["data"], "tags": [{"name": "token", "value": "t-18"}]}
    assert "t-18" == resend({**BOUNCE, "data": pairs})[0].token
    for wrong in (
        {"tamper": b" "},
        {"stamp": "soon"},
        {"Svix-Id": "msg_2"},
        {"Svix-Timestamp": str(NOW // SECOND + 1)},
        {"Svix-Signature": "v1,"},
        {"Svix-Signature": ""},
        {"secret": "whsec_" + base64.b64encode(b"another").decode()},
    ):
        with pytest.raises(FeedbackRefusedError):
            resend(BOUNCE, **wrong)
    for away in (-301, 301):
        with pytest.raises(FeedbackRefusedError, match="301 s"):
            resend(BOUNCE, now=NOW + away * SECOND)
    for secret in ("", "whsec_", "whsec_*"):
        with pytest.raises(ConfigurationError):
            ResendWebhook(secret=secret)


def test_e24_svix_signs_as_its_documentation_shows():
    """The secret, id, instant, payload and signature of its own example."""
    webhook = ResendWebhook(secret="whsec_plJ3nmyCDGBKInavdOK15jsl")
    headers = {
        "svix-id": "msg_loFOjxBNrRLzqYUf",
        "svix-timestamp": "1731705121",
        "svix-signature": "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0=",
    }
    body = b'{"event_type":"ping","data":{"success":true}}'
    assert ["unknown"] == [
        each.kind for each in webhook.receive(body, headers, now=1731705121 * SECOND)
    ]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("email.delivered", "delivered"),
        ("email.delivery_delayed", "deferred"),
        ("email.complained", "complaint"),
        ("email.opened", "opened"),
        ("email.clicked", "clicked"),
        ("email.failed", "block"),
        ("email.suppressed", "block"),
        ("email.sent", "unknown"),
        ("contact.created", "unknown"),
    ],
)
def test_e21_resend_events_by_kind(name, kind):
    """What is of no kind known here is kept as it came."""
    (found,) = resend({**BOUNCE, "type": name})
    assert kind == found.kind
    assert name == json.loads(found.raw)["type"]
