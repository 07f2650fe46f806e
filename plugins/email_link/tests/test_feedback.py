"""What comes back: found by our token, recorded once, in any order; forged mails do nothing."""

import itertools

import pytest
from crmcore_email_link import EmailLink
from crmcore_email_link.webhooks import Feedback

from crmcore import Identifier
from plugins.email_link.tests.shops import draft, envelopes, mails, member, shop

pytestmark = pytest.mark.each_database(partitioned=False)
ADA = Identifier("email", "ada@example.com")


def sent(crm, *names):
    """Send news to each, and return the envelopes by name."""
    for name in names or ("ada",):
        crm.send(draft(member(crm, name)))
    crm.deliver()
    return {each.rcpt_to.partition("@")[0]: each for each in envelopes(crm)}


def report(to, address="ada@example.com", status="5.1.1", said="550 5.1.1 no such user", within=""):
    """Return a report of delivery as RFC 3464 has it."""
    return (
        f"From: MAILER-DAEMON@mx.example.com\r\nTo: <{to}>\r\nSubject: Undelivered\r\n"
        "MIME-Version: 1.0\r\n"
        "Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n"
        "--b\r\nContent-Type: text/plain\r\n\r\nIt was not delivered.\r\n"
        "--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example.com\r\n"
        f"\r\nFinal-Recipient: rfc822; {address}\r\nAction: failed\r\nStatus: {status}\r\n"
        f"Diagnostic-Code: smtp; {said}\r\n\r\n"
        f"--b\r\nContent-Type: message/rfc822\r\n\r\n{within}\r\n--b--\r\n"
    ).encode()


def complaint(within, kind="abuse"):
    """Return a complaint as RFC 5965 has it, whose recipient is redacted."""
    return (
        "From: fbl@isp.example\r\nTo: fbl@shop.example\r\nSubject: FW\r\nMIME-Version: 1.0\r\n"
        "Content-Type: multipart/report; report-type=feedback-report; boundary=b\r\n\r\n"
        "--b\r\nContent-Type: message/feedback-report\r\n\r\n"
        f"Feedback-Type: {kind}\r\nUser-Agent: ISP/1\r\nVersion: 1\r\n\r\n"
        f"--b\r\nContent-Type: message/rfc822\r\n\r\n{within}\r\n--b--\r\n"
    ).encode()


def take(crm, raw):
    with crm.begin() as tx:
        return crm.plugin(EmailLink).take_mail(tx, raw)


def told(crm, *events):
    with crm.begin() as tx:
        return crm.plugin(EmailLink).take_feedback(tx, events)


def event(envelope, kind, number=1, **values):
    given = {"provider": "ses", "event_id": f"e{number}", "reference": "r", "at": number}
    return Feedback(**{**given, "kind": kind, "token": envelope.envid, "raw": "{}", **values})


def kinds(crm, who=ADA):
    """Return the kinds of what came back, in order."""
    latest = reversed(crm.customer(who).latest)
    names = ("message.bounced", "message.complained", "message.delivered", "email_link.blocked")
    return [each.kind for each in latest if each.kind in names]


def goes(crm, who=ADA, purpose="news", key="next"):
    return crm.send(draft(who, f"{key}-{purpose}", purpose)).state == "planned"


def test_e21_a_hard_bounce_ends_the_address():
    """Found by the return path it came to; told twice it is one fact, and nothing goes there."""
    with shop() as crm:
        raw = report(sent(crm)["ada"].mail_from)
        first, again = take(crm, raw), take(crm, b"Received: from elsewhere\r\n" + raw)

        assert ("hard", "hard") == (first.what, again.what)
        assert first.interaction_id == again.interaction_id
        assert ["message.bounced"] == kinds(crm)
        assert not goes(crm)
        assert not goes(crm, purpose="service")


def test_e21_it_is_found_by_the_message_id_of_the_returned_part():
    """Where the return path was lost, our own Message-ID tells, as it holds the token."""
    with shop() as crm:
        sent(crm)
        name = mails(crm)[0]["Message-ID"]
        within = f"From: shop@shop.example\r\nMessage-ID: {name}\r\nSubject: News\r\n\r\nHello\r\n"
        found = take(crm, report("postmaster@shop.example", within=within))

        assert "hard" == found.what
        assert not goes(crm)


@pytest.mark.parametrize(
    ("status", "said", "what"),
    [
        ("4.2.2", "452 4.2.2 mailbox full", "soft"),
        ("5.7.1", "550 5.7.1 blocked using a list of bad reputation", "block"),
    ],
)
def test_e21_a_soft_bounce_or_a_block_ends_nothing(status, said, what):
    """Being blocked is our fault, and never the customer's: they can still be written to."""
    with shop() as crm:
        found = take(crm, report(sent(crm)["ada"].mail_from, status=status, said=said))

        assert what == found.what
        assert ["email_link.blocked" if what == "block" else "message.bounced"] == kinds(crm)
        assert goes(crm)


def test_e21_a_forged_report_does_nothing():
    """One that names another customer in words, or guesses a token, is about nobody."""
    with shop() as crm:
        path = sent(crm, "ada", "ben")["ben"].mail_from
        guessed = path.replace("b+", "b+q", 1).replace("@", "", 1)[:34] + "@shop.example"
        within = "From: shop@shop.example\r\nMessage-ID: <1.aaaaaaaaaaaaaaaa@shop.example>\r\n\r\nX"
        found = [
            take(crm, report(to, within=within))
            for to in ("postmaster@shop.example", guessed, "b+x@shop.example", "ada@example.com")
        ]

        assert [None] * 4 == found
        assert [] == kinds(crm)
        assert goes(crm)


def test_e21_a_report_ends_the_address_that_we_wrote_to():
    """Whatever address it names: it came to the return path of Ben's mail, so it is about Ben's."""
    with shop() as crm:
        found = sent(crm, "ada", "ben")
        take(crm, report(found["ben"].mail_from, address="ada@example.com"))

        assert goes(crm)
        assert not goes(crm, Identifier("email", "ben@example.com"))


def test_e21_a_vacation_is_no_bounce():
    """An auto-reply tells nothing of the address."""
    with shop() as crm:
        to = sent(crm)["ada"].mail_from
        raw = (
            f"From: ada@example.com\r\nTo: {to}\r\nSubject: Out of office\r\n"
            "Auto-Submitted: auto-replied\r\n\r\nI am away.\r\n"
        )

        assert take(crm, raw.encode()) is None
        assert goes(crm)


def test_e22_a_complaint_ends_what_nobody_is_owed():
    """Redacted, it is found by our own headers; service still goes."""
    with shop() as crm:
        sent(crm)
        within = envelopes(crm)[0].raw.decode()
        found = take(crm, complaint(within)), take(crm, complaint(within))

        assert ["complaint", "complaint"] == [each.what for each in found]
        assert ["message.complained"] == kinds(crm)
        assert not goes(crm)
        assert not goes(crm, purpose="promotion")
        assert goes(crm, purpose="service")


def test_e22_an_opt_out_ends_its_purpose():
    """It is the wish to leave, said to the provider."""
    with shop() as crm:
        sent(crm)
        found = take(crm, complaint(envelopes(crm)[0].raw.decode(), "opt-out"))

        assert "unsubscribed" == found.what
        assert not goes(crm)
        assert goes(crm, purpose="promotion")


@pytest.mark.parametrize("kind", ["auth-failure", "not-spam", "fraud", "other", "virus"])
def test_e22_other_reports_end_nothing(kind):
    """A failed authentication is our fault, and `not-spam` the contrary of a complaint."""
    with shop() as crm:
        sent(crm)

        raw = complaint(envelopes(crm)[0].raw.decode(), kind)
        found = take(crm, raw), take(crm, raw)

        assert ["reported", "reported"] == [each.what for each in found]
        assert [] == kinds(crm)
        assert goes(crm)


def test_e24_what_is_told_twice_is_recorded_once():
    """By the event's id, however often a webhook is called."""
    with shop() as crm:
        hard = event(sent(crm)["ada"], "hard")
        told(crm, hard, hard)
        told(crm, hard)

        assert ["message.bounced"] == kinds(crm)


def test_e24_a_delivered_after_a_bounce_does_not_revive():
    """In every order of arrival the address has ended, and the facts are the same."""
    for order in itertools.permutations(("delivered", "hard", "soft")):
        with shop() as crm:
            envelope = sent(crm)["ada"]
            numbers = {"delivered": 3, "hard": 2, "soft": 1}
            for kind in order:
                told(crm, event(envelope, kind, numbers[kind]))

            assert {"message.bounced": 2, "message.delivered": 1} == {
                kind: kinds(crm).count(kind) for kind in kinds(crm)
            }
            assert not goes(crm)


def test_e24_events_without_our_token_are_about_nobody():
    """The provider's name for the mail, and the recipient, are not enough."""
    with shop() as crm:
        envelope = sent(crm)["ada"]
        unknown = event(envelope, "hard", token=None, recipient="ada@example.com")
        forged = event(envelope, "complaint", token="a" * 31)

        assert [] == told(crm, unknown, forged)
        assert goes(crm)


def test_e24_a_block_told_by_a_provider_ends_nothing():
    """It is on record with its status, and mail goes on."""
    with shop() as crm:
        told(crm, event(sent(crm)["ada"], "block", status="5.7.1", reason="554 policy\x00"))
        (fact,) = [e for e in crm.customer(ADA).latest if e.kind == "email_link.blocked"]

        assert ("5.7.1", "554 policy") == (fact.payload.status, fact.payload.reason)
        assert goes(crm)


def test_e25_opens_and_clicks_are_not_kept():
    """Nobody was asked whether they may be looked at."""
    with shop() as crm:
        envelope = sent(crm)["ada"]

        assert [] == told(crm, event(envelope, "opened"), event(envelope, "clicked", 2))


def test_what_was_never_handed_over_cannot_come_back():
    """A token of a message that waits, as after a restore of the database, is about nothing."""
    with shop() as crm:
        crm.send(draft(member(crm)))
        (message,) = crm.messages()
        links = crm.plugin(EmailLink).composer.links
        path = links.return_path(message.id, message.planned_at)

        assert take(crm, report(path)) is None
        assert goes(crm)
