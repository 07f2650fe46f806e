"""Webhooks as the providers send them, signed."""

import base64
import hashlib
import hmac
import json
from typing import Any

from crmcore_email_link.webhooks import (
    MailgunWebhook,
    PostmarkWebhook,
    ResendWebhook,
    SendGridWebhook,
)
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

SECOND = 1_000_000


NOW = 1_795_435_200 * SECOND  # 2026-11-23T12:00:00Z


STAMP = "2026-11-23T12:00:00.000Z"


def told(found):
    return [(each.kind, each.recipient, each.status) for each in found]


def postmark(event, *, headers=None, now=NOW, **fields):
    webhook = PostmarkWebhook(**(fields or {"username": "shop", "password": "s3cret"}))
    pair = base64.b64encode(b"shop:s3cret").decode()
    given = headers if headers is not None else {"authorization": f"Basic {pair}"}
    body = event if isinstance(event, bytes) else json.dumps(event).encode()
    return webhook.receive(body, given, now=now)


BOUNCED = {
    "RecordType": "Bounce",
    "ID": 4323372036854775807,
    "Type": "HardBounce",
    "MessageID": "0100-abc",
    "Details": "smtp;550 5.1.1 no such user",
    "Email": "ada@example.com",
    "BouncedAt": "2026-11-23T11:59:00.1234567Z",
    "Metadata": {"token": "t-17"},
}


def mailgun(event, *, now=NOW, stamp=NOW // SECOND, **changed):
    token = "a8ce0edb2dd8301dee6c2405235584e45aa91d1e9f979f3de0"
    text = f"{stamp}{token}".encode()
    signature = {
        "timestamp": str(stamp),
        "token": token,
        "signature": hmac.new(b"key", text, hashlib.sha256).hexdigest(),
        **changed,
    }
    body = json.dumps({"signature": signature, "event-data": event}).encode()
    return MailgunWebhook(key="key").receive(body, {}, now=now)


FAILED = {
    "event": "failed",
    "id": "G9Bn5sl1TC6nu79C8C0bwg",
    "timestamp": 1795435140.5,
    "severity": "permanent",
    "reason": "bounce",
    "recipient": "ada@example.com",
    "message": {"headers": {"message-id": "0100-abc@mg.example.com"}},
    "user-variables": {"token": "t-17"},
    "delivery-status": {"code": 550, "message": "5.1.1 no such user"},
}


def public(key):
    der = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return base64.b64encode(der).decode()


def sendgrid(key, events, *, now=NOW, stamp=NOW // SECOND, tamper=b"", signed_by=None):
    body = json.dumps(events).encode()
    signature = (signed_by or key).sign(f"{stamp}".encode() + body, ec.ECDSA(hashes.SHA256()))
    headers = {
        "X-TWILIO-EMAIL-EVENT-WEBHOOK-SIGNATURE": base64.b64encode(signature).decode(),
        "x-twilio-email-event-webhook-timestamp": str(stamp),
    }
    return SendGridWebhook(key=public(key)).receive(body + tamper, headers, now=now)


DROPPED = {
    "event": "bounce",
    "type": "bounce",
    "email": "ada@example.com",
    "timestamp": 1795435140,
    "sg_event_id": "e-1",
    "sg_message_id": "0100-abc.filterdrecv-5f-1.0",
    "smtp-id": "<m1@example.com>",
    "reason": "550 5.1.1 no such user",
    "status": "5.1.1",
    "token": "t-17",
}


SECRET = "whsec_" + base64.b64encode(b"a secret of some length").decode()


def resend(event, *, now=NOW, stamp=NOW // SECOND, secret=SECRET, tamper=b"", more="", **headers):
    body = json.dumps(event).encode()
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    made = hmac.new(key, f"msg_1.{stamp}.".encode() + body, hashlib.sha256).digest()
    given = {
        "Svix-Id": "msg_1",
        "Svix-Timestamp": str(stamp),
        "Svix-Signature": more + "v1," + base64.b64encode(made).decode(),
        **headers,
    }
    return ResendWebhook(secret=secret).receive(body + tamper, given, now=now)


BOUNCE: dict[str, Any] = {
    "type": "email.bounced",
    "created_at": "2026-11-23T11:59:00.000Z",
    "data": {
        "email_id": "0100-abc",
        "to": ["ada@example.com"],
        "tags": {"token": "t-17"},
        "bounce": {
            "type": "Permanent",
            "subType": "General",
            "message": "The recipient's mail server refused it.",
            "diagnosticCode": ["smtp; 550 5.1.1 no such user"],
        },
    },
}
