"""Provider APIs: what each is told of a mail, and what its own codes mean."""

import base64
import json
from email.parser import BytesParser
from email.policy import default
from typing import Any

import pytest
from crmcore_email_link.transports import (
    Credentials,
    Mailgun,
    Postmark,
    Resend,
    SendGrid,
    Ses,
)
from crmcore_email_link.transports.sigv4 import signed, signing_key

from crmcore import Accepted, Deferred, Failed, Unknown
from plugins.email_link.tests.provider_servers import (
    AT,
    EXAMPLE,
    RAW,
    TAKEN,
    envelope,
    make,
    sent,
    serving,
)


def test_signatures_are_those_amazon_publishes():
    """Vectors of its test suite, and the signing key and request of its documentation."""
    url = "https://example.amazonaws.com/"
    for method, query, signature in (
        ("GET", "", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        ("POST", "", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
        (
            "GET",
            "?Param2=value2&Param1=value1",
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
        ),
    ):
        found = signed(
            method,
            url + query,
            {},
            b"",
            credentials=EXAMPLE,
            region="us-east-1",
            service="service",
            at=AT,
        )
        assert (
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
            f"SignedHeaders=host;x-amz-date, Signature={signature}" == found["Authorization"]
        )
    form = signed(
        "POST",
        url,
        {"Content-Type": "application/x-www-form-urlencoded"},
        b"Param1=value1",
        credentials=EXAMPLE,
        region="us-east-1",
        service="service",
        at=AT,
    )
    assert form["Authorization"].endswith(
        "SignedHeaders=content-type;host;x-amz-date, Signature="
        "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"
    )
    users = signed(
        "GET",
        "https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08",
        {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"},
        b"",
        credentials=EXAMPLE,
        region="us-east-1",
        service="iam",
        at=AT,
    )
    assert users["Authorization"].endswith(
        "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
    )
    assert (
        "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9"
        == signing_key(EXAMPLE.secret_key, "20150830", "us-east-1", "iam").hex()
    )


def test_ses_gets_the_mails_own_bytes():
    """Raw, with the recipient, the token as a tag, and each header signed."""
    temporary = Credentials(access_key="A", secret_key="S", token="session")
    _, server = sent(Ses, TAKEN[Ses], credentials=temporary, configuration_set="news")
    path, headers, body = server.requests[0]
    found = json.loads(body)
    assert "/v2/email/outbound-emails" == path
    assert RAW == base64.b64decode(found["Content"]["Raw"]["Data"])
    assert ["ada@example.com"] == found["Destination"]["ToAddresses"]
    assert [{"Name": "token", "Value": "t-17"}] == found["EmailTags"]
    assert "news" == found["ConfigurationSetName"]
    assert "session" == headers["X-Amz-Security-Token"]
    assert [f"127.0.0.1:{server.server_port}"] == headers.get_all("Host")
    assert (
        "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token"
        in (headers["Authorization"])
    )


@pytest.mark.parametrize(
    ("kind", "said", "expected"),
    [
        ("MessageRejected", "Email address is not verified. x@example.com", Deferred),
        ("MessageRejected", "Illegal content", Failed),
        ("BadRequestException", "Missing To", Failed),
        ("SendingPausedException", "paused", Deferred),
        ("MailFromDomainNotVerifiedException", "no", Deferred),
        ("AccountSuspendedException", "no", Deferred),
        ("LimitExceededException", "quota", Deferred),
    ],
)
def test_e18_what_ses_says_of_the_account_only_defers(kind, said, expected):
    """All of these come as 400."""
    answer = (400, {"message": said}, {"x-amzn-ErrorType": f"{kind}:http://example.com/"})
    (outcome,), _ = sent(Ses, answer)
    assert expected is type(outcome)
    assert f"SES answered 400, {kind}: {said}" == outcome.reason


def test_mailgun_gets_the_mails_own_bytes():
    """As a file of a form, whatever is in it; what it would track is off."""
    outcomes, server = sent(Mailgun, TAKEN[Mailgun])
    path, headers, body = server.requests[0]
    assert [Accepted("0100-abc")] == list(outcomes)
    assert "/v3/mg.example.com/messages.mime" == path
    assert "Basic " + base64.b64encode(b"api:secret").decode() == headers["Authorization"]
    boundary = headers["Content-Type"].partition("boundary=")[2].encode()
    *_, file, end = body.split(b"--" + boundary)[1:]
    assert b"--\r\n" == end
    assert RAW == file.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n")
    form: Any = BytesParser(policy=default).parsebytes(
        b"Content-Type: " + headers["Content-Type"].encode() + b"\r\n\r\n" + body
    )
    values = {
        part.get_param("name", header="Content-Disposition"): part.get_payload().strip()
        for part in form.iter_parts()
        if part.get_filename() is None
    }
    assert {"to": "ada@example.com", "o:tracking": "no", "v:token": "t-17"} == values


def passed_on(headers):
    return {
        "Message-ID": "<m1@example.com>",
        "List-Unsubscribe": "<https://example.com/u/1>, <mailto:u@example.com>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    } == {name: value for name, value in headers.items() if not name.startswith("X-PM")}


def test_postmark_gets_fields():
    """Text, HTML, headers and files; what it would track is off, and our Message-ID stays."""
    _, server = sent(Postmark, TAKEN[Postmark], stream="broadcast")
    path, headers, body = server.requests[0]
    found = json.loads(body)
    assert ("/email", "secret") == (path, headers["X-Postmark-Server-Token"])
    assert "ada@example.com" == found["To"]
    assert "Shöp <shop@example.com>" == found["From"]
    assert "Grüße, Ada" == found["Subject"]
    assert "Hello, Ada: grüße" == found["TextBody"].strip()
    assert "<img" in found["HtmlBody"]
    assert "help@example.com" == found["ReplyTo"]
    assert ({"token": "t-17"}, "broadcast") == (found["Metadata"], found["MessageStream"])
    assert (False, "None") == (found["TrackOpens"], found["TrackLinks"])
    given = {each["Name"]: each["Value"] for each in found["Headers"]}
    assert passed_on(given)
    assert "true" == given["X-PM-KeepID"]
    assert [("part-", b"\x89PNG", "cid:logo"), ("invoice.pdf", b"%PDF", None)] == [
        (
            each["Name"].rstrip("0123456789"),
            base64.b64decode(each["Content"]),
            each.get("ContentID"),
        )
        for each in found["Attachments"]
    ]


def test_e23_whom_postmark_does_not_send_to_is_not_called_undeliverable():
    """406 hides whether it was a bounce or a complaint; a code about the account defers."""
    (outcome,), _ = sent(Postmark, (422, {"ErrorCode": 406, "Message": "inactive"}, {}))
    assert Failed("Postmark answered 422, error 406: inactive") == outcome
    for code in (10, 400, 405, 412):
        (outcome,), _ = sent(Postmark, (422, {"ErrorCode": code, "Message": "no"}, {}))
        assert Deferred is type(outcome)
    (outcome,), _ = sent(Postmark, (200, {"ErrorCode": 300, "MessageID": "x"}, {}))
    assert Unknown is type(outcome)


def test_sendgrid_gets_fields():
    """With what it would track, and its own unsubscribing, turned off."""
    _, server = sent(SendGrid, TAKEN[SendGrid])
    path, headers, body = server.requests[0]
    found = json.loads(body)
    assert ("/v3/mail/send", "Bearer secret") == (path, headers["Authorization"])
    assert [
        {"to": [{"email": "ada@example.com"}], "custom_args": {"key": "key-0", "token": "t-17"}}
    ] == found["personalizations"]
    assert {"email": "shop@example.com", "name": "Shöp"} == found["from"]
    assert {"email": "help@example.com"} == found["reply_to"]
    assert ["text/plain", "text/html"] == [each["type"] for each in found["content"]]
    assert passed_on(found["headers"])
    assert [False] * 3 == [each["enable"] for each in found["tracking_settings"].values()]
    assert ["inline", "attachment"] == [each["disposition"] for each in found["attachments"]]

    answer = (
        429,
        {"errors": [{"message": "too many requests"}]},
        {"X-RateLimit-Reset": "1795435230"},
    )
    (outcome,), _ = sent(SendGrid, answer)
    # 2026-11-23 12:00:30 is 30 seconds after the answer's date.
    assert Deferred("SendGrid answered 429: too many requests", 30.0, counts=False) == outcome


def test_resend_gets_fields_and_the_key():
    """The same key in every attempt; a key that it had with another mail leaves it unknown."""
    _, server = sent(Resend, TAKEN[Resend])
    path, headers, body = server.requests[0]
    found = json.loads(body)
    assert ("/emails", "key-0") == (path, headers["Idempotency-Key"])
    assert ("Bearer secret", ["ada@example.com"]) == (headers["Authorization"], found["to"])
    assert passed_on(found["headers"])
    assert [{"name": "token", "value": "t-17"}] == found["tags"]
    assert ["logo", None] == [each.get("content_id") for each in found["attachments"]]

    def said(name):
        return sent(Resend, (409, {"name": name, "message": "m"}, {}))[0][0]

    assert Deferred is type(said("concurrent_idempotent_requests"))
    assert Unknown is type(said("invalid_idempotent_request"))
    with serving() as (server, url):
        (outcome,) = make(Resend, url).send([envelope(idempotency_key="k" * 257)])
        assert Failed is type(outcome)
        assert [] == server.requests
