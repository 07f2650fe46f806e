"""What came back as it came: kept for a while, once, of whom we wrote to and who is not erased."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from crmcore_email_link import EmailLink
from crmcore_email_link.received import LONGEST, MOST, storable

from crmcore import Identifier
from plugins.email_link.tests.shops import DAY, envelopes, mails, plugin, shop
from plugins.email_link.tests.test_feedback import (
    ADA,
    complaint,
    event,
    report,
    sent,
    take,
    told,
)
from plugins.email_link.tests.test_sign_ups import pass_time
from tests.support.databases import shop_file

pytestmark = pytest.mark.each_database(partitioned=False)


def received(crm, who=ADA):
    """Return what is kept of a customer's one message."""
    (message,) = crm.messages(who)
    with crm.begin() as tx:
        return crm.plugin(EmailLink).received(tx, message.id)


def test_e22_what_is_no_complaint_is_counted():
    """That a mail was no spam is a fact of its customer, once for each message and report."""
    with shop() as crm:
        sent(crm)
        within = envelopes(crm)[0].raw.decode()
        for kind in ("not-spam", "not-spam", "auth-failure", "NOT-SPAM"):
            take(crm, complaint(within, kind))
        facts = [e.payload for e in crm.customer(ADA).latest if e.kind == "email_link.reported"]

    assert ["auth-failure", "not-spam"] == sorted(each.report for each in facts)
    assert {"news-1"} == {each.message for each in facts}


def test_e22_a_redacted_complaint_is_found_by_our_own_ids():
    """Every address in it is replaced (RFC 6590), in our own headers too; the Message-ID tells."""
    with shop() as crm:
        sent(crm)
        redacted = [
            f"Message-ID: {mails(crm)[0]['Message-ID']}"
            if line.startswith("Message-ID:")
            else line.replace("ada@example.com", "redacted@isp.example")
            for line in envelopes(crm)[0].raw.decode().split("\r\n")
            if not line.startswith("List-Unsubscribe")
        ]
        raw = complaint("\r\n".join(redacted)).replace(
            b"Version: 1\r\n", b"Version: 1\r\nOriginal-Rcpt-To: redacted@isp.example\r\n"
        )

        assert b"ada@example.com" not in raw
        assert "complaint" == take(crm, raw).what


def test_e24_what_came_is_kept_as_it_came():
    """A webhook's event and a mail, each once, with what each was taken for."""
    with shop() as crm:
        envelope = sent(crm)["ada"]
        raw = report(envelope.mail_from)
        for _ in range(2):
            take(crm, raw)
            told(crm, event(envelope, "delivered", raw='{"event":"Delivery"}'))
            told(crm, event(envelope, "deferred", 2, raw='{"event":"Delay"}'))
        found = {(each.source, each.kind): each.raw for each in received(crm)}

    assert {
        ("mail", "hard"): raw.decode(),
        ("ses", "delivered"): '{"event":"Delivery"}',
        ("ses", "deferred"): '{"event":"Delay"}',
    } == found


def test_e24_what_nobody_is_to_keep_is_not_kept():
    """Opens, clicks, what somebody wrote while away, and what is about nobody we wrote to."""
    with shop() as crm:
        envelope = sent(crm)["ada"]
        away = (
            f"From: ada@example.com\r\nTo: {envelope.mail_from}\r\nSubject: Out of office\r\n"
            "Auto-Submitted: auto-replied\r\n\r\nI am in hospital.\r\n"
        )
        take(crm, away.encode())
        take(crm, report("postmaster@shop.example"))
        told(crm, event(envelope, "opened"), event(envelope, "clicked", 2))
        told(crm, event(envelope, "hard", 3, token="a" * 31, recipient="ada@example.com"))

        assert [] == received(crm)


def test_e24_what_is_kept_is_bounded():
    """A long one is cut, and of one message there are so many, whoever sends more."""
    with shop() as crm:
        envelope = sent(crm)["ada"]
        long = report(envelope.mail_from) + b"x" * 2 * LONGEST
        take(crm, long)
        for number in range(2 * MOST):
            told(crm, event(envelope, "deferred", number))
        found = received(crm)

    assert MOST == len(found)
    assert long.decode()[:LONGEST] == max((each.raw for each in found), key=len)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"\xff\x00", "\\xff\\x00"),
        ("a\ud800\0".encode("utf-8", "surrogatepass"), "a\\xed\\xa0\\x80\\x00"),
        ("a\ud800\0", "a\\ud800\\x00"),
        (b"\xff" * LONGEST, "\\xff" * (LONGEST // 4)),
    ],
)
def test_e24_any_octets_can_be_kept(raw, text):
    """NUL, what is no UTF-8, and half a character are written so that any database has them."""
    with shop() as crm:
        told(crm, event(sent(crm)["ada"], "deferred", raw=raw))
        (found,) = received(crm)

    assert text == storable(raw) == found.raw


def test_e24_it_is_forgotten_after_a_while():
    """By a timer, day by day; what is younger stays."""
    with shop(plugin(received_days=30)) as crm:
        envelope = sent(crm)["ada"]
        told(crm, event(envelope, "deferred", 1))
        pass_time(crm, 20 * DAY)
        told(crm, event(envelope, "deferred", 2, raw='"younger"'))
        counts = []
        for _ in range(3):
            pass_time(crm, 9 * DAY)
            counts.append(len(received(crm)))
        pass_time(crm, 9 * DAY)

        assert [2, 1, 1] == counts
        assert [] == received(crm)


def test_e24_an_erasure_empties_it_and_nothing_comes_after():
    """It is gone with them, verified; what comes later of the same mail is kept nowhere."""
    with shop() as crm:
        envelope = sent(crm)["ada"]
        late, complained = report(envelope.mail_from), complaint(envelope.raw.decode())
        take(crm, late)
        who = crm.find_customer(ADA)
        assert who is not None
        certificate = crm.erase(who)
        for raw in (late, late + b"again", complained):
            take(crm, raw)
        told(crm, event(envelope, "hard"), event(envelope, "unknown", 2))
        with crm.begin() as tx:
            rows = tx.connection.execute(crm.plugin(EmailLink).tables[1].table.select())

        assert certificate.verified_at is not None
        assert [] == rows
        assert crm.find_customer(Identifier("guest_email", "ada@example.com")) is None


def test_e24_it_goes_with_whom_two_turn_out_to_be():
    """A merge moves it, and its undoing moves it back."""
    with shop() as crm:
        envelope = sent(crm, "ada")["ada"]
        told(crm, event(envelope, "deferred"))
        ben = crm.record("account.registered", account="ben").customer_id
        ada = crm.find_customer(ADA)
        assert ada is not None
        done = crm.merge(ben, ada)
        told(crm, event(envelope, "deferred"), event(envelope, "deferred", 2))
        (message,) = crm.messages(ben)
        with crm.begin() as tx:
            merged = crm.plugin(EmailLink).received(tx, message.id)
            rows = tx.connection.execute(crm.plugin(EmailLink).tables[1].table.select())
        crm.unmerge(done.id)

        assert 2 == len(merged)
        assert {ben} == {row[0] for row in rows}
        assert received(crm)


def test_e24_told_at_once_it_is_recorded_once(tmp_path):
    """Eight threads with the same events of four customers, in any order: each once."""
    names = ("ada", "ben", "cai", "dee")
    with shop(url=shop_file(tmp_path)) as crm:
        found = sent(crm, *names)
        events = [event(found[name], "hard", number) for number, name in enumerate(names)]

        def tell(number):
            turned = events[number % 4 :] + events[: number % 4]
            crm.run_transaction(lambda tx: crm.plugin(EmailLink).take_feedback(tx, turned))

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(tell, range(16)))
        for name in names:
            who = Identifier("email", f"{name}@example.com")
            facts = [e.kind for e in crm.customer(who).latest if e.kind == "message.bounced"]

            assert 1 == len(received(crm, who)) == len(facts)
