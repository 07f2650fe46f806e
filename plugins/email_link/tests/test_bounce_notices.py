"""Notices: bounces in words alone, and mail that only looks like one (E21)."""

from pathlib import Path

import pytest
from crmcore_email_link.bounces import classify

DAEMON = "Mail Delivery System <MAILER-DAEMON@mx.example.net>"
COPY = """
Return-Path: <b+aaaqeayeaudaocajbifqydiob4ibceq@shop.example>
Received: from shop.example by mx.example.net; Mon, 2 Nov 2026 10:00:00 +0000
Message-ID: <news-1@shop.example>
From: Shop <news@shop.example>
To: ada@example.com
Subject: Your quota of discounts: user unknown, mailbox full, spam
"""


def read_notices():
    """Return kind, From, Subject and text of each notice, by the system in whose manner it is."""
    samples = Path(__file__).with_name("bounce_notices.txt").read_text(encoding="utf-8")
    notices = (each.split("\n", 4) for each in samples.removeprefix("=== ").split("\n=== "))
    return {name: rest for name, *rest in notices}


NOTICES = read_notices()
REPLIES = {
    "RFC 3834": (
        "Auto-Submitted: auto-replied (vacation)\n",
        "Re: News",
        "This mailbox does not exist.",
    ),
    "RFC 5230": (
        "Auto-Submitted: auto-replied\nX-Sieve: Pigeonhole\n",
        "Auto: News",
        "user unknown",
    ),
    "precedence": ("Precedence: auto_reply\n", "News", "Gracias por contactar con nosotros!"),
    "x-autoreply": ("X-Autoreply: yes\n", "Re: News", "The account is closed."),
    "exchange": (
        "X-MS-Exchange-Inbox-Rules-Loop: ada@example.com\n",
        "Automatic reply: News",
        "Away.",
    ),
    "outlook, german": ("", "Abwesenheitsnotiz: News", "Ich bin bis Montag nicht im Büro."),
    "outlook, french": ("", "Réponse automatique : News", "Je suis en congés."),
    "outlook, spanish": ("", "Respuesta automática: News", "Estoy de vacaciones."),
    "outlook, italian": ("", "Risposta automatica: News", "Sono assente."),
    "outlook, chinese": ("", "自动回复: News", "您好, 您的邮件我已收到。"),
    "outlook, japanese": ("", "自動応答: News", "不在にしております。"),
    "russian": ("", "Автоответ: News", "Нахожусь в отпуске."),
    "english, words only": (
        "",
        "Re: News",
        "I am out of the office until 5 May. My mailbox may be full.",
    ),
    "left the firm": (
        "",
        "Out of office: News",
        "Ada no longer works here; this address does not exist.",
    ),
    "challenge": (
        "",
        "Re: News",
        "To control spam, I only allow messages from approved senders list.",
    ),
    "acknowledged": (
        "",
        "Ticket 17",
        "Thank you for contacting us. We have received your message.",
    ),
}
ORDINARY = {
    "a reply": ("Ada <ada@example.com>", "Re: News", "The user is unknown to me, who is it?"),
    "a newsletter": ("Shop <x@example.org>", "Delivery in time for the feast", "Order by Friday!"),
    "a postmaster's": ("postmaster@example.com", "Lunch", "Shall we meet at noon?"),
    "nothing": ("Ada <ada@example.com>", "", ""),
}


def mail(sender, subject, text, more=""):
    """Return a mail in words alone."""
    return (
        f"From: {sender}\nTo: b+aaaqeayeaudaocajbifqydiob4ibceq@shop.example\nSubject: "
        f"{subject}\n{more}"
        f"MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\n{text}"
    ).encode()


@pytest.mark.parametrize(("kind", "sender", "subject", "text"), NOTICES.values(), ids=NOTICES)
def test_e21_a_notice_says_what_it_says(kind, sender, subject, text):
    """The words for people decide, and never those of our own mail below them."""
    report = classify(mail(sender, subject, f"{text}\n{COPY}"))

    assert kind == report.kind
    assert "news-1@shop.example" == report.message_id
    assert "aaaqeayeaudaocajbifqydiob4ibceq" == report.token
    assert report.evidence


@pytest.mark.parametrize("name", [name for name in NOTICES if name not in ("groupwise", "verizon")])
def test_e21_an_address_in_a_notice_is_marked_as_mere_words(name):
    """Whom a notice names is told, with its origin, by which nobody is ever given up."""
    _, sender, subject, text = NOTICES[name]
    (recipient,) = classify(mail(sender, subject, text)).recipients

    assert "ada@" == (recipient.address or "")[:4]
    assert "text" == recipient.origin


@pytest.mark.parametrize(("more", "subject", "text"), REPLIES.values(), ids=REPLIES)
def test_e21_a_vacation_is_no_bounce(more, subject, text):
    """What a person's machine answers is an auto-reply, whatever it says about addresses."""
    report = classify(mail("Ada <ada@example.com>", subject, text, more))

    assert ("auto_reply", ()) == (report.kind, report.recipients)
    assert "auto-reply" == report.evidence[0].rule


@pytest.mark.parametrize(("sender", "subject", "text"), ORDINARY.values(), ids=ORDINARY)
def test_e21_ordinary_mail_is_unknown(sender, subject, text):
    """What nobody's machine wrote about our mail is nothing."""
    assert ("unknown", ()) == (
        classify(mail(sender, subject, text)).kind,
        classify(mail(sender, subject, text)).recipients,
    )


def test_e21_each_recipient_of_a_notice_has_a_kind_of_its_own():
    """One address may be gone and another one full; the whole is what is worst."""
    text = """\
Unable to deliver message to the following address(es).

<ada@yahoo.com>:
This user doesn't have a yahoo.com account (ada@yahoo.com) [0]

<bob@yahoo.com>:
Sorry, your message to bob@yahoo.com cannot be delivered. This account is over quota.
"""
    report = classify(mail("MAILER-DAEMON@yahoo.com", "Delivery failure", text))

    assert "hard" == report.kind
    assert [("ada@yahoo.com", "hard"), ("bob@yahoo.com", "soft")] == [
        (each.address, each.kind) for each in report.recipients
    ]


def test_e21_exim_names_whom_it_failed_in_a_header():
    """`X-Failed-Recipients` is a server's own word, so its origin is a header."""
    raw = mail(
        DAEMON, "Mail delivery failed", "quota exceeded", "X-Failed-Recipients: ada@example.com\n"
    )
    (recipient,) = classify(raw).recipients

    assert ("ada@example.com", "header", "soft") == (
        recipient.address,
        recipient.origin,
        recipient.kind,
    )


def test_e21_exim_may_write_in_the_name_of_a_person():
    """Whom it failed is in the header, so it is a bounce, and no machine of that person's."""
    said = "Auto-Submitted: auto-replied\n"
    failed = "X-Failed-Recipients: ada@example.com\n"
    text = "The following address(es) failed:\n\n  ada@example.com\n    Unrouteable address\n"

    def kind(more):
        return classify(mail("Bea <bea@example.org>", "Mail delivery failed", text, more)).kind

    assert ("hard", "auto_reply") == (kind(said + failed), kind(said))


def test_e21_a_transcript_tells_at_which_step_a_server_refused():
    """An unknown host in reply to `MAIL FROM` is the sender's, one in reply to `RCPT TO` is not."""
    text = "   ----- Transcript of session follows -----\n>>> {}\n<<< 550 {}\n"

    def kind(command, reply="Unknown host"):
        notice = "<ada@example.com>\n" + text.format(command, reply)
        return classify(mail(DAEMON, "Returned mail", notice)).kind

    assert "block" == kind("MAIL From:<b@shop.example>")
    assert "hard" == kind("RCPT To:<ada@example.com>")


@pytest.mark.parametrize(("kind", "sender", "subject", "text"), NOTICES.values(), ids=NOTICES)
@pytest.mark.parametrize("end", [b"\r\n", b"\r"], ids=["CRLF", "CR"])
def test_e21_line_ends_change_no_notice(kind, sender, subject, text, end):
    """What a notice says is the same with LF, CRLF and CR."""
    raw = mail(sender, subject, f"{text}\n{COPY}").replace(b"\r\n", b"\n")

    assert kind == classify(raw.replace(b"\n", end)).kind
    assert classify(raw) == classify(raw.replace(b"\n", end))


def test_e21_a_machine_that_only_wrote_answers_if_its_subject_does():
    """`auto-generated` is said of newsletters, too: only an answer with it is an auto-reply."""
    said = "Auto-Submitted: auto-generated\n"

    answer = classify(mail("Ada <ada@example.com>", "Re: News", "Noted, bye", said))
    other = classify(mail("Ada <ada@example.com>", "Our news", "Come and see", said))

    assert ("auto_reply", "unknown") == (answer.kind, other.kind)


def test_e21_a_relay_quotes_a_refusal_that_is_none_of_its_own_words():
    """That the other server rejected a mail is said of every bounce; what it replied decides."""
    text = (
        "Delivery to ada@example.com failed permanently.\n\nWe tried to deliver it, but it was "
        "rejected by the server for the recipient domain example.com. It returned:\n{}\n"
    )

    def kind(reply):
        return classify(mail(DAEMON, "Delivery failed", text.format(reply))).kind

    assert "hard" == kind("550 5.1.1 no such user here")
    assert "soft" == kind("550 5.2.2 mailbox full")
    assert "block" == kind("550 5.7.1 message refused as spam")
