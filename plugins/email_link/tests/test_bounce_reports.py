"""Reports: what the fields of a delivery report say, and which of our mails it was (E21)."""

import pytest
from crmcore_email_link.bounces import classify

TOKEN = "aaaqeayeaudaocajbifqydiob4ibceq"


def report(*groups, to=f"b+{TOKEN}@shop.example", text="It failed.", returned=None, of_all=""):
    """Return a delivery report with these groups."""
    fields = "\n".join(f"{group.strip()}\n" for group in groups)
    returned = (
        returned or "Content-Type: text/rfc822-headers\n\nMessage-ID: <news-1@shop.example>\n"
    )
    return f"""\
From: MAILER-DAEMON@mx.example.net
To: {to}
Subject: Delivery report
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary=x

--x
Content-Type: text/plain; charset=utf-8

{text}
--x
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example.net
{of_all}
{fields}
--x
{returned}
--x--
""".encode()


def failed(address="ada@example.com", status="5.1.1", reply="550 user unknown"):
    """Return the group of a recipient to whom the mail could not be delivered."""
    return f"""
Final-Recipient: rfc822; {address}
Action: failed
Status: {status}
Diagnostic-Code: smtp; {reply}
"""


@pytest.mark.parametrize(
    ("action", "status", "kind"),
    [
        ("failed", "5.1.1", "hard"),
        ("failed (Bad destination mailbox address)", "5.1.1", "hard"),
        ("FAILED", "5.2.2", "soft"),
        ("delayed", "4.4.1", "delayed"),
        ("Delayed", "4.2.2", "delayed"),
        ("delivered", "2.0.0", "delivered"),
        ("relayed", "2.1.9", "delivered"),
        ("expanded", "2.0.0", "delivered"),
        ("error", "5.0.0", "soft"),
    ],
)
def test_e21_the_action_says_whether_it_failed(action, status, kind):
    """Only what failed is judged; the rest has arrived or is on its way (RFC 3464, 2.3.3)."""
    group = f"Final-Recipient: rfc822; ada@example.com\nAction: {action}\nStatus: {status}"

    assert kind == classify(report(group)).kind


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("rfc822; ada@example.com", "ada@example.com"),
        ("RFC822;<ada@example.com>", "ada@example.com"),
        ("<ada@example.com>", "ada@example.com"),
        ('rfc822; "ada; b. <x>"@example.com', '"ada; b. <x>"@example.com'),
        ("utf-8; grå@example.com", "grå@example.com"),
        (r"utf-8; gr\x{E5}@example.com", "grå@example.com"),
        ("utf-8; 用户@例え.jp", "用户@例え.jp"),
        ("LOCAL; <ada@example.com>", "ada@example.com"),
        ("x400; /C=US;/S=ada/", None),
        ("rfc822; ada", None),
        ("rfc822; @", None),
        ("system; <>", None),
        (f"rfc822; {'a' * 400}@example.com", None),
        (r"utf-8; a\x{A}\x{D}bcc: b@example.com", "abcc: b@example.com"),
    ],
)
def test_e21_addresses_are_read_in_all_forms(written, address):
    """An address may be quoted, in UTF-8 or in the form of RFC 6533; what is none is None."""
    raw = report(f"Final-Recipient: {written}\nAction: failed\nStatus: 5.1.1")
    (recipient,) = classify(raw).recipients

    assert address == recipient.address
    assert ("report" if address else None) == recipient.origin
    assert "hard" == recipient.kind


def test_e21_the_address_that_we_gave_comes_first():
    """A mail that was forwarded fails elsewhere; the address is the one we know."""
    group = "Original-Recipient: rfc822; ada@example.com" + failed("x123@forwarded.example")
    (recipient,) = classify(report(group)).recipients

    assert "ada@example.com" == recipient.address


def test_e21_each_group_is_judged_by_itself():
    """Of several recipients each has its own kind, status and words; the worst is the whole's."""
    found = classify(
        report(
            failed("a@example.com", "5.2.2", "552 mailbox full"),
            failed("b@example.com", "5.1.1", "550 user unknown"),
            failed("c@example.com", "5.7.1", "554 rejected as spam"),
        )
    )

    assert "hard" == found.kind
    assert ["soft", "hard", "block"] == [each.kind for each in found.recipients]
    assert ["5.2.2", "5.1.1", "5.7.1"] == [each.status for each in found.recipients]
    assert "552 mailbox full" == found.recipients[0].diagnostic
    assert "Diagnostic-Code of recipient 2" == found.evidence[0].part


def test_e21_groups_without_empty_lines_are_told_apart():
    """Some systems forget the empty line between recipients."""
    found = classify(report(failed("a@example.com").strip() + failed("b@example.com").rstrip()))

    assert ["a@example.com", "b@example.com"] == [each.address for each in found.recipients]


def test_e21_a_report_that_lost_its_parts_is_read_all_the_same():
    """The fields may stand in the text, when something took the boundaries away."""
    raw = f"""\
From: MAILER-DAEMON@mx.example.net
To: b+{TOKEN}@shop.example
Subject: Returned mail: Service unavailable
Content-Type: multipart/report; report-type=delivery-status; boundary="x"

   ----- The following addresses had permanent fatal errors -----
<ada@example.com>

Reporting-MTA: dns; mx.example.net

Final-Recipient: RFC822; <ada@example.com>
Action: failed
Status: 5.1.1

Message-Id: <news-1@shop.example>
To: ada@example.com
"""
    found = classify(raw.encode())

    assert ("hard", "ada@example.com") == (found.kind, found.recipients[0].address)
    assert "news-1@shop.example" == found.message_id


def in_text(text, sender="postmaster@shop.example"):
    """Return a mail with two parts: a text for people, and the mail that came back."""
    return (
        f"From: {sender}\nTo: b+{TOKEN}@shop.example\nSubject: Undeliverable: News\n"
        'MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="x"\n\n'
        f"--x\nContent-Type: text/plain\n\n{text}\n"
        "--x\nContent-Type: message/rfc822\n\nMessage-ID: <news-1@shop.example>\n\nHello\n--x--\n"
    ).encode()


IN_TEXT = "Technical report:\n\nReporting-MTA: dns; m\n\n"


def test_e21_a_report_may_stand_in_the_text_for_people():
    """Amazon WorkMail writes the fields there, and then they say who it was and why."""
    found = classify(in_text(f"It could not be delivered.\n\n{IN_TEXT}{failed().strip()}\n"))

    assert ("hard", ["ada@example.com"]) == (found.kind, [r.address for r in found.recipients])
    assert ("5.1.1", "report") == (found.recipients[0].status, found.recipients[0].origin)


def test_e21_a_report_that_a_person_quotes_gives_nobody_up():
    """Fields in the text count only if a mail server wrote it."""
    text = f"Look what I got:\n\n{IN_TEXT}{failed().strip()}\n"
    found = classify(in_text(text, "Bob <bob@example.com>").replace(b"Undeliverable", b"Question"))

    assert ("unknown", ()) == (found.kind, found.recipients)


@pytest.mark.parametrize(
    "text",
    [
        "Mailbox is full.\n\n--- This is a copy of the message.\n\nReceived: from a by b\n\n",
        f"It is full.\n\n{IN_TEXT}{failed('bob@example.com', '5.2.2', '552 full').strip()}\n\n",
    ],
    ids=["below a copy", "below another report"],
)
def test_e21_a_report_in_the_copy_of_a_mail_is_no_report_about_it(text):
    """What follows the notice, or the report about the mail, is of the mail that came back."""
    found = classify(in_text(f"{text}{IN_TEXT}{failed().strip()}\n"))

    assert "soft" == found.kind
    assert "ada@example.com" not in [each.address for each in found.recipients]


def test_e21_a_report_in_words_is_judged_by_its_words():
    """Where a report gives neither words nor a status that says much, the text for people does."""
    raw = report(
        "Final-Recipient: rfc822; ada@example.com\nAction: failed\nStatus: 5.0.0",
        text="Failed to deliver to 'ada@example.com'\n account is full (quota exceeded)",
    )

    assert "soft" == classify(raw).kind
    assert "text" == classify(raw).evidence[0].part[:4]


def test_e21_words_of_our_own_mail_decide_nothing():
    """A subject that was quoted to people does not make a bounce a block or hard."""
    text = "Your message with subject User unknown, spam! failed.\n Subject: user unknown"
    group = "Final-Recipient: rfc822; ada@example.com\nAction: failed\nStatus: 5.0.0"

    assert "soft" == classify(report(group, text=text)).kind


def test_e21_a_notification_of_reading_is_a_delivery():
    """A disposition notification tells that the mail arrived (RFC 8098)."""
    raw = report(failed()).replace(b"delivery-status", b"disposition-notification")
    raw = raw.replace(b"Action: failed", b"Disposition: manual-action/MDN-sent-manually; displayed")

    assert "delivered" == classify(raw).kind


def test_e21_a_rejection_after_acceptance_is_a_bounce():
    """A server that rejects late does so by a disposition notification (RFC 5429)."""
    raw = report(failed(), text="Your message was automatically rejected: Quota exceeded")
    raw = raw.replace(b"delivery-status", b"disposition-notification")
    raw = raw.replace(b"Action: failed", b"Disposition: automatic-action/MDN-sent; deleted")

    assert "soft" == classify(raw).kind


def test_e21_the_token_is_that_of_the_return_path():
    """It is read in whom the bounce was sent to, through a forwarder, and in the returned part."""
    other = "zz" + TOKEN[2:]
    srs = f"SRS0=aB1c=XY=shop.example=b+{TOKEN}@forwarder.example"
    inside = (
        f"Content-Type: message/rfc822\n\nReturn-Path: <b+{other}@shop.example>\nFrom: a@b.example"
    )

    assert TOKEN == classify(report(failed())).token
    assert TOKEN == classify(report(failed(), to=f"Shop <b+{TOKEN}@shop.example>")).token
    assert TOKEN == classify(report(failed(), to=srs)).token
    assert other == classify(report(failed(), to="x@shop.example", returned=inside)).token
    assert TOKEN == classify(report(failed(), returned=inside)).token


def test_e21_an_address_alone_is_no_token():
    """A forged report that names a customer has no token, so that nobody is given up for it."""
    found = classify(
        report(failed(), to="news@shop.example", returned="\nUser b+ada@example.com unknown")
    )

    assert "ada@example.com" == found.recipients[0].address
    assert (None, None) == (found.token, found.message_id)


@pytest.mark.parametrize(
    "returned",
    [
        "Content-Type: text/rfc822-headers\n\nMessage-ID: <news-1@shop.example>",
        "Content-Type: message/rfc822\n\nMessage-ID: <news-1@shop.example>\n\nHello",
        "Content-Type: message/rfc822\n\nmessage-id: news-1@shop.example\nFrom: "
        "a@b.example\n\nHello",
        "Content-Type: message/global\n\nMessage-ID:\n <news-1@shop.example>\n\nHello",
        "Content-Type: message/global-headers\n\nMessage-ID: <news-1@shop.example>",
        "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\n"
        "TWVzc2FnZS1JRDogPG5ld3MtMUBzaG9wLmV4YW1wbGU+CgpIZWxsbw==",
        "Content-Type: message/rfc822\n\nContent-Type: multipart/mixed; boundary=y\n"
        "Message-ID: <news-1@shop.example>\n\n--y\n\nHello\n--y--",
    ],
)
def test_e21_our_mail_is_known_by_the_message_id_that_came_back(returned):
    """It is read in the returned part, however that is put in."""
    assert "news-1@shop.example" == classify(report(failed(), returned=returned)).message_id


def test_e21_the_envelope_id_comes_back():
    """The ENVID that we gave is told, without the xtext that it travels in (RFC 3461, 4)."""
    found = classify(report(failed(), of_all="Original-Envelope-Id: news+2B1+3D\n"))

    assert "news+1=" == found.envelope_id


def test_e21_a_reply_tells_which_mail_it_answers():
    """A vacation names our mail in In-Reply-To, and is counted for it."""
    head = b"From: ada@example.com\nAuto-Submitted: auto-replied\n"
    raw = head + b"In-Reply-To: <news-1@shop.example>\n\nBye"

    assert ("auto_reply", "news-1@shop.example") == (classify(raw).kind, classify(raw).message_id)


def test_e21_a_complaint_is_no_bounce():
    """A feedback report is for `complaints`."""
    raw = report(failed()).replace(b"message/delivery-status", b"message/feedback-report")

    assert ("unknown", "complaint") == (classify(raw).kind, classify(raw).evidence[0].rule)


def _report(*parts):
    """Return a report of the parts given, each a media type and a text."""
    head = (
        "From: MAILER-DAEMON@mx.example.net\nTo: b@shop.example\nSubject: Returned mail\n"
        "MIME-Version: 1.0\n"
        'Content-Type: multipart/report; report-type=delivery-status; boundary="x"\n\n'
    )
    return (head + "".join(f"--x\nContent-Type: {t}\n\n{s}\n" for t, s in parts)).encode()


GROUP_OF_ADA = "Final-Recipient: rfc822; ada@example.com\nAction: failed\nStatus: 5.1.1\n"


def test_e21_words_that_call_themselves_a_report_hide_no_report():
    """Some send what they say to people with the type of a report, before the report itself."""
    words = ("message/delivery-status", "Your mail could not be delivered to Ada.\n")
    told = ("message/delivery-status", f"Reporting-MTA: dns; m\n\n{GROUP_OF_ADA}")

    report = classify(_report(words, told))

    assert ("hard", ["ada@example.com"]) == (report.kind, [r.address for r in report.recipients])


def test_e21_a_report_within_the_mail_that_came_back_is_no_report_about_it():
    """Whoever writes a report into a mail, so that it comes back, gives nobody else up."""
    full = "Final-Recipient: rfc822; bob@example.com\nAction: failed\nStatus: 5.2.2\n"
    forged = (
        'Content-Type: multipart/report; report-type=delivery-status; boundary="y"\n\n--y\n'
        f"Content-Type: message/delivery-status\n\nReporting-MTA: dns; m\n\n{GROUP_OF_ADA}\n--y--"
    )

    report = classify(
        _report(
            ("message/delivery-status", f"Reporting-MTA: dns; m\n\n{full}"),
            ("message/rfc822", forged),
        )
    )

    assert ("soft", ["bob@example.com"]) == (report.kind, [r.address for r in report.recipients])
