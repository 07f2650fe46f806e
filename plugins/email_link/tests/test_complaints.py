"""Complaints: what providers pass on, and who asked for no more mail (E22)."""

import pytest
from crmcore_email_link import complaints
from hypothesis import given, settings
from hypothesis import strategies as st

TOKEN = "aaaqeayeaudaocajbifqydiob4ibceq"


def complaint(
    fields="Feedback-Type: abuse\nUser-Agent: Yahoo!-Mail-Feedback/2.0\nVersion: 1", our=""
):
    """Return a complaint about a mail of ours."""
    return f"""\
From: feedback@arf.mail.example.net
To: fbl@shop.example
Subject: FW: News
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report; boundary=x

--x
Content-Type: text/plain

This is an email abuse report.
--x
Content-Type: message/feedback-report

{fields}

--x
Content-Type: message/rfc822

Return-Path: <b+{TOKEN}@shop.example>
Message-ID: <news-1@shop.example>
Feedback-ID: news-1:shop:news:crm
To: undisclosed
Subject: News
{our}
Hello
--x--
""".encode()


def parsed(raw):
    """Return the complaint that a mail passes on."""
    found = complaints.parse(raw)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("feedback_type", "suppresses"),
    [
        *[("abuse", True), ("Abuse", True), ("opt-out", True), ("opt-out-list", True)],
        *[("not-spam", False), ("auth-failure", False), ("fraud", False), ("virus", False)],
        *[("other", False), ("miscategorized", False), ("dmarc", False), ("", False)],
    ],
)
def test_e22_only_abuse_and_opt_out_suppress(feedback_type, suppresses):
    """A failed authentication or a mail that was no spam is told, and suppresses nobody."""
    found = parsed(complaint(f"Feedback-Type: {feedback_type}\nVersion: 1"))

    assert (feedback_type.lower() or "other", suppresses) == (found.feedback_type, found.suppresses)


def test_e22_redacted_recipients_are_known_by_our_own_ids():
    """Who complained is told by the ids in our mail, as the report hides the address (RFC 6590)."""
    found = parsed(
        complaint("Feedback-Type: abuse\nVersion: 1\nOriginal-Rcpt-To: <redacted@example.net>")
    )

    assert ("news-1@shop.example", TOKEN) == (found.message_id, found.token)
    assert "news-1:shop:news:crm" == found.feedback_id
    assert (("<redacted@example.net>",), True) == (found.recipients, found.is_redacted)


def test_e22_recipients_in_clear_are_told():
    """Several may be named; each is kept as it was written."""
    found = parsed(
        complaint(
            "Feedback-Type: abuse\nVersion: 1\nOriginal-Envelope-Id: n1\n"
            "Original-Rcpt-To: <ada@example.com>\nOriginal-Rcpt-To: <bob@example.com>"
        )
    )

    assert ("<ada@example.com>", "<bob@example.com>") == found.recipients
    assert (False, "n1") == (found.is_redacted, found.envelope_id)


def test_e22_the_token_may_be_in_the_return_path_that_is_told():
    """A report without our Return-Path names it in Original-Mail-From."""
    raw = complaint(f"Feedback-Type: abuse\nOriginal-Mail-From: <b+{TOKEN}@shop.example>")
    raw = raw.replace(b"Return-Path:", b"X-Other:")

    assert TOKEN == parsed(raw).token


def test_e22_outlook_sends_our_mail_alone():
    """Outlook.com's programme says by the subject that it is a complaint, and whose in a header."""
    raw = f"""\
From: staff@hotmail.com
Subject: complaint about message from 192.0.2.1
Content-Type: multipart/mixed; boundary=x

--x
Content-Type: message/rfc822

X-HmXmrOriginalRecipient: ada@outlook.com
Message-ID: <news-1@shop.example>
Return-Path: <b+{TOKEN}@shop.example>

Hello
--x--
""".encode()
    found = parsed(raw)

    assert ("abuse", True, "news-1@shop.example") == (
        found.feedback_type,
        found.suppresses,
        found.message_id,
    )
    assert (("ada@outlook.com",), TOKEN) == (found.recipients, found.token)


def test_e22_other_mail_is_no_complaint():
    """A mail about complaints is none."""
    assert complaints.parse(b"Subject: Re: complaint\n\nFeedback-Type: abuse") is None
    assert complaints.parse(b"") is None


@pytest.mark.parametrize("end", [b"\r\n", b"\r"])
def test_e22_the_ends_of_lines_change_nothing(end):
    """LF, CRLF and CR are read alike."""
    assert complaints.parse(complaint()) == complaints.parse(complaint().replace(b"\n", end))


@settings(max_examples=200)
@given(
    cut=st.integers(0, len(complaint())),
    noise=st.binary(max_size=60),
)
def test_e22_broken_complaints_are_no_error(cut, noise):
    """Whatever a complaint is cut to, and whatever stands in it, it is read or is none."""
    raw = complaint()
    found = complaints.parse(raw[:cut] + noise + raw[cut:])

    assert found is None or found.feedback_type
