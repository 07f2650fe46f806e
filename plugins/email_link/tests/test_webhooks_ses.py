"""SES through SNS: believed by Amazon's certificate and the shop's own topics alone."""

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from crmcore_email_link.webhooks import (
    Feedback,
    FeedbackRefusedError,
    SesWebhook,
)
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

from crmcore.errors import ConfigurationError
from plugins.email_link.tests.webhook_senders import NOW, SECOND, STAMP, told

TOPIC = "arn:aws:sns:eu-central-1:123456789012:feedback"


CERTIFICATE = "https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-0a1b.pem"


@pytest.fixture(scope="module")
def amazon():
    """A key of Amazon's, and its certificate."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    at = datetime.fromtimestamp(NOW / SECOND, UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(at - timedelta(days=1))
        .not_valid_after(at + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    return key, made.public_bytes(serialization.Encoding.PEM)


class Fetch:
    """What the application fetches for us."""

    def __init__(self, pem):
        self.pem = pem
        self.asked = []

    def __call__(self, url):
        self.asked.append(url)
        return self.pem


def notification(key, event, *, version="2", **fields):
    """Sign as Amazon's documentation says: names and values, in the order it gives."""
    said = {
        "Type": "Notification",
        "MessageId": "n-1",
        "TopicArn": TOPIC,
        "Message": event if isinstance(event, str) else json.dumps(event),
        "Timestamp": STAMP,
        "SignatureVersion": version,
        "SigningCertURL": CERTIFICATE,
        **fields,
    }
    names = ["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"]
    if said["Type"] != "Notification":
        names = ["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"]
    text = "".join(f"{name}\n{said[name]}\n" for name in names if name in said)
    kind = hashes.SHA256() if version == "2" else hashes.SHA1()
    signature = key.sign(text.encode(), padding.PKCS1v15(), kind)
    return {**said, "Signature": base64.b64encode(signature).decode()}


def receive(amazon, said, *, fetch=None, now=NOW, **fields):
    webhook = SesWebhook(topics={TOPIC}, fetch=fetch or Fetch(amazon[1]), **fields)
    return webhook.receive(json.dumps(said).encode(), {}, now=now)


MAIL = {
    "messageId": "0100-abc",
    "destination": ["ada@example.com"],
    "headers": [{"name": "Message-ID", "value": "<m1@example.com>"}],
    "tags": {"token": ["t-17"], "ses:configuration-set": ["news"]},
}


def bounce(kind, sub, status=None, said=None):
    recipient = {"emailAddress": "ada@example.com", "status": status, "diagnosticCode": said}
    return {
        "eventType": "Bounce",
        "mail": MAIL,
        "bounce": {
            "bounceType": kind,
            "bounceSubType": sub,
            "bouncedRecipients": [{k: v for k, v in recipient.items() if v}],
            "timestamp": "2026-11-23T11:59:00.000Z",
        },
    }


@pytest.mark.parametrize("version", ["1", "2"])
def test_e24_ses_is_believed_by_amazons_certificate(amazon, version):
    """Both versions of the signature; the certificate is fetched once."""
    fetch = Fetch(amazon[1])
    event = bounce("Permanent", "General", "5.1.1", "smtp; 550 5.1.1 user unknown")
    webhook = SesWebhook(topics={TOPIC}, fetch=fetch)
    body = json.dumps(notification(amazon[0], event, version=version, Subject="s")).encode()
    (found,) = webhook.receive(body, {}, now=NOW)
    assert [found] == list(webhook.receive(body, {}, now=NOW))
    assert [CERTIFICATE] == fetch.asked
    assert Feedback(
        provider="ses",
        event_id="n-1/0",
        kind="hard",
        reference="0100-abc",
        message_id="m1@example.com",
        token="t-17",
        recipient="ada@example.com",
        reason="smtp; 550 5.1.1 user unknown",
        status="5.1.1",
        at=NOW - 60 * SECOND,
        raw=found.raw,
    ) == (found)
    assert event == json.loads(found.raw)


def test_e24_what_was_changed_or_is_anothers_is_refused(amazon):
    """Each signed field, another topic, another key, another address of the certificate."""
    good = notification(amazon[0], bounce("Permanent", "NoEmail"), Subject="s")
    assert receive(amazon, good)
    for name in ("Message", "MessageId", "Subject", "Timestamp", "Type", "Signature"):
        with pytest.raises(FeedbackRefusedError):
            receive(amazon, {**good, name: good[name][:-1]})
    for change in (
        {"SignatureVersion": "3"},
        {"Signature": "###"},
        {"Message": 7},
        {"Type": None},
        {"Type": "SubscriptionConfirmation"},
    ):
        with pytest.raises(FeedbackRefusedError):
            receive(amazon, {**good, **change})
    with pytest.raises(FeedbackRefusedError, match="not one of those expected"):
        receive(amazon, notification(amazon[0], "{}", TopicArn=TOPIC + "2"))
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    with pytest.raises(FeedbackRefusedError, match="signature"):
        receive(amazon, notification(stranger, bounce("Permanent", "NoEmail")))


@pytest.mark.parametrize(
    "url",
    [
        "http://sns.eu-central-1.amazonaws.com/SimpleNotificationService-0.pem",
        "https://sns.eu-central-1.amazonaws.com.evil.example/SimpleNotificationService-0.pem",
        "https://evil.example/sns.eu-central-1.amazonaws.com/SimpleNotificationService-0.pem",
        "https://sns.eu-central-1.amazonaws.com@evil.example/SimpleNotificationService-0.pem",
        "https://s3.amazonaws.com/SimpleNotificationService-0.pem",
        "https://sns.eu-central-1.amazonaws.com:8443/SimpleNotificationService-0.pem",
        "https://sns.eu-central-1.amazonaws.com/../bucket/evil.pem",
        "https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-0.pem?x=1",
        "https://[sns",
        "",
    ],
)
def test_e24_certificates_come_from_amazon_only(amazon, url):
    """Nothing is fetched from anywhere else."""
    fetch = Fetch(amazon[1])
    said = notification(amazon[0], bounce("Permanent", "NoEmail"), SigningCertURL=url)
    with pytest.raises(FeedbackRefusedError):
        receive(amazon, said, fetch=fetch)
    assert [] == fetch.asked


def test_e24_what_is_too_old_or_from_the_future_is_refused(amazon):
    """By the signed timestamp; and a certificate that has run out signs nothing."""
    said = notification(amazon[0], bounce("Permanent", "NoEmail"))
    for away in (-3600, 0, 3600):
        assert receive(amazon, said, now=NOW + away * SECOND)
    for away in (-3601, 3601):
        with pytest.raises(FeedbackRefusedError, match="3601 s"):
            receive(amazon, said, now=NOW + away * SECOND)
    with pytest.raises(FeedbackRefusedError, match="not valid now"):
        receive(amazon, said, now=NOW + 2 * 86_400 * SECOND, window=1e9)
    with pytest.raises(FeedbackRefusedError, match="no certificate"):
        receive(amazon, said, fetch=Fetch(b"<html>"))


def test_a_topic_is_confirmed_at_amazon_only(amazon):
    """Confirming is calling an address that came in; only one of Amazon's is called."""
    url = "https://sns.eu-central-1.amazonaws.com/?Action=ConfirmSubscription&Token=t"
    fetch = Fetch(amazon[1])

    def confirmation(url):
        return notification(
            amazon[0], "hello", Type="SubscriptionConfirmation", SubscribeURL=url, Token="t"
        )

    assert [] == receive(amazon, confirmation(url), fetch=fetch)
    assert [CERTIFICATE, url] == fetch.asked
    with pytest.raises(FeedbackRefusedError):
        receive(amazon, confirmation("https://evil.example/"), fetch=fetch)
    assert 3 == len(fetch.asked)
    lacks: list[Any] = [set(), TOPIC]
    for lacking in lacks:
        with pytest.raises(ConfigurationError):
            SesWebhook(topics=lacking, fetch=fetch)


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (bounce("Permanent", "General", "5.1.1"), ("hard", "5.1.1")),
        (bounce("Permanent", "NoEmail"), ("hard", None)),
        (bounce("Permanent", "General", "5.7.1", "550 5.7.1 blocked"), ("block", "5.7.1")),
        (bounce("Permanent", "General", "5.0.0", "550 listed by an RBL"), ("block", "5.0.0")),
        (bounce("Permanent", "General", "5.2.2"), ("soft", "5.2.2")),
        (bounce("Permanent", "OnAccountSuppressionList", "5.1.1"), ("block", "5.1.1")),
        (bounce("Permanent", "Suppressed", "5.1.1"), ("block", "5.1.1")),
        (bounce("Transient", "MailboxFull", "4.2.2"), ("soft", "4.2.2")),
        (bounce("Transient", "ContentRejected"), ("block", None)),
        (bounce("Transient", "General"), ("soft", None)),
        (bounce("Undetermined", "Undetermined"), ("soft", None)),
    ],
)
def test_e21_ses_bounces_by_kind(amazon, event, expected):
    """Nobody is given up for what was our fault, or for what Amazon did not even try."""
    ((kind, _, status),) = told(receive(amazon, notification(amazon[0], event)))
    assert expected == (kind, status)


def test_ses_tells_other_things(amazon):
    """Complaints, deliveries, delays, opens; one for each recipient; what is new stays unknown."""

    def kinds(name, key="eventType", **part):
        event = {key: name, "mail": MAIL, **part}
        return [each.kind for each in receive(amazon, notification(amazon[0], event))]

    people = [{"emailAddress": "a@x"}, {"emailAddress": "b@x"}]
    complaint = {"complainedRecipients": people, "complaintFeedbackType": "abuse"}
    assert ["complaint"] * 2 == kinds("Complaint", "notificationType", complaint=complaint)
    assert ["block"] * 2 == kinds(
        "Complaint", complaint={**complaint, "complaintFeedbackType": "auth-failure"}
    )
    assert ["unknown"] * 2 == kinds(
        "Complaint", complaint={**complaint, "complaintFeedbackType": "not-spam"}
    )
    assert ["delivered"] == kinds("Delivery", delivery={"recipients": ["a@x"]})
    delay = {"delayedRecipients": [{"emailAddress": "a@x", "status": "4.4.1"}]}
    assert ["deferred"] == kinds("DeliveryDelay", deliveryDelay=delay)
    assert ["opened"] == kinds("Open", open={"timestamp": STAMP})
    assert ["clicked"] == kinds("Click", click={"timestamp": STAMP})
    assert ["block"] == kinds("Reject", reject={"reason": "Bad content"})
    preferences = {"newTopicPreferences": {"unsubscribeAll": True}}
    assert ["unsubscribed"] == kinds("Subscription", subscription=preferences)
    assert ["unknown"] == kinds("Send", send={})
    assert ["unknown"] == kinds("Teleported")
    found = receive(
        amazon,
        notification(
            amazon[0],
            {"eventType": "Delivery", "mail": MAIL, "delivery": {"recipients": ["a@x", "b@x"]}},
        ),
    )
    assert ["n-1/0", "n-1/1"] == [each.event_id for each in found]
