"""Hostile recipients and clumsy shops: what was tried to break it, and what comes of it."""

import io

import pytest
from crmcore_email_link import EmailLink
from crmcore_email_link.pages import Pages, wsgi_app
from crmcore_email_link.reading import find_named

from crmcore.errors import CrmError
from plugins.email_link.tests.shops import draft, envelopes, mails, member, plugin, shop
from plugins.email_link.tests.test_feedback import event, report, sent, take, told
from plugins.email_link.tests.test_pages import news
from plugins.email_link.tests.test_sign_ups import standing

DEEP = b"".join(
    b"--b%d\r\nContent-Type: multipart/mixed; boundary=b%d\r\n\r\n" % (depth, depth + 1)
    for depth in range(10_000)
)


def box_in(crm):
    """Return the mailbox by which Ada leaves."""
    return mails(crm)[0]["List-Unsubscribe"].partition("<mailto:")[2].rstrip(">").encode()


@pytest.mark.parametrize(
    "to",
    [
        b"(" * 100_000,
        b"(a" * 30_000 + b")" * 30_000,
        b"a:" * 50_000,
        b"<" * 100_000,
        b'"' + b'\\"' * 300_000,
        b"\xed\xa0\x80@\xff",
        b"\r\n x" * 200_000,
        b"a@b.example, " * 80_000,
        b"u+" + b"a" * 31 + b"@shop.example, " * 10,
        b"=?idna?q?x?= <u+x@shop.example>",
        b"u+" * 300_000,
    ],
    ids=range(11),
)
def test_1_5_no_header_of_a_mail_that_came_breaks_its_taking(to):
    """Where the standard library fails or takes for ever, it is put by, and the next is taken."""
    with shop() as crm:
        path = sent(crm)["ada"].mail_from
        found = take(crm, b"To: " + to + b"\r\n" + report(path))

        assert found is None or "hard" == found.what
        assert "hard" == take(crm, report(path)).what


@pytest.mark.parametrize(
    "head",
    [
        b"To: %b\r\n",
        b"TO:\r\n <%b>\r\n",
        b"To: x@shop.example\r\nDelivered-To: %b\r\n",
        b'to: "a, b" (c <d) <%b>\n',
        b"To: =?utf-8?q?x?= <%b>, y@shop.example\r\n",
        b"X-Original-To: \0<%b>\0\r",
    ],
    ids=range(6),
)
def test_e12_the_mailbox_is_found_however_it_is_written(head):
    """Folded, quoted, in another header, with any end of line."""
    with shop() as crm:
        news(crm)
        end = head[-2:] if head.endswith(b"\r\n") else head[-1:]
        found = take(crm, head % box_in(crm) + end + b"Bye")

        assert "unsubscribed" == found.what
        assert "withdrawn" == standing(crm)


@pytest.mark.parametrize(
    "raw",
    [
        b"From: <%b>\r\nTo: x@shop.example\r\n\r\n",
        b"To: x@shop.example\r\n\r\nTo: <%b>\r\n",
        b"Subject: To: %b\r\nTo: x@shop.example\r\n\r\n",
        b"To: x@shop.example\r\n\r\n" + DEEP + b"%b",
        b"To: x%b\r\n\r\n",
        b"X-To: %b\r\n\r\n",
        b"",
    ],
    ids=range(7),
)
def test_e12_a_mail_that_merely_mentions_the_mailbox_ends_nothing(raw):
    """In whom it is from, its subject, its body, however deep: it did not go there."""
    with shop() as crm:
        news(crm)
        raw = raw.replace(b"%b", box_in(crm))

        assert take(crm, raw) is None
        assert "given" == standing(crm)


@pytest.mark.parametrize("length", ["9" * 5000, "-1", "1e3", "٣", " 6", "0x6"])
def test_e10_a_length_that_is_none_is_no_body(length):
    """A request whose length cannot be read is answered, and is the wish to leave all the same."""
    with shop() as crm:
        path, answers = news(crm)["u"], []
        environ = {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": path,
            "CONTENT_LENGTH": length,
            "wsgi.input": io.BytesIO(b"save=1"),
        }
        wsgi_app(Pages(crm))(environ, lambda status, headers: answers.append(status))

        assert ["200 OK"] == answers
        assert "withdrawn" == standing(crm)


def test_e24_what_a_provider_tells_in_bad_characters_is_taken():
    """Half characters, NUL, instants that no calendar has: recorded, at an instant it can be."""
    with shop() as crm:
        envelope = sent(crm)["ada"]
        strange = {"reason": "\ud800\0", "status": "\ud800\0", "raw": "\ud800\0"}
        events = [
            event(envelope, "block", 1, **{**strange, "event_id": "\ud800", "at": -(10**19)}),
            event(envelope, "soft", 2, **{**strange, "event_id": "\0" * 10**6, "at": 10**25}),
        ]
        found = told(crm, *events, *events)
        now = crm.runtime.clock.now()
        facts = [e for e in crm.customer(found[0].sent.customer_id).latest if e.channel == "email"]

        assert {each.interaction_id for each in found} <= {each.id for each in facts}
        assert 2 == len({each.interaction_id for each in found})
        assert all(each.occurred_instant <= now for each in facts)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("list_id", "news"),
        ("list_id", "news.shop.example\r\nBcc: eve@x.example"),
        ("list_id", "=?utf-8?q?news?="),
        ("mail_domain", "shop example"),
        ("mail_domain", "x" * 30 + ".example"),
        ("base_url", "https://shop.example/m\r\n/"),
        ("base_url", "https://shop.example/>,<x/"),
        ("sender_name", "Shop\nBcc: eve@x.example"),
    ],
)
def test_e6_settings_that_would_fail_every_mail_stop_the_start(setting, value):
    """Not a thousand failed messages, but one sentence before the first of them."""
    with pytest.raises(CrmError, match=r"email_link|octets|header may"):
        plugin(**{setting: value}).register_channels()


@pytest.mark.parametrize("key", ["a\r\nBcc: eve@x.example", "ключ", "::::", "=?x?", "\u2028", " "])
def test_e7_a_key_that_no_header_can_hold_still_goes(key):
    """It stands in Feedback-ID as far as it can, and writes no header of its own."""
    with shop() as crm:
        crm.send(draft(member(crm), key))
        crm.deliver()
        (envelope,) = envelopes(crm)
        head = envelope.raw.partition(b"\r\n\r\n")[0]

    assert b"\r\nbcc:" not in head.lower()
    assert 1 == head.count(b"\r\nFeedback-ID: ")
    assert mails(crm)[0]["Feedback-ID"].endswith(":news::news-shop-examp")


def test_e10_a_token_is_good_for_its_purpose_and_message_alone():
    """Each of a mail's tokens on each page, and each of another's mail's: its own page or none."""
    with shop() as crm:
        for name in ("ada", "ben"):
            crm.send(draft(member(crm, name)))
        crm.deliver()
        links = crm.plugin(EmailLink).composer.links
        one, other = crm.messages()
        tokens, now = links.tokens, crm.runtime.clock.now()
        for message in (one, other):
            for purpose in ("unsubscribe", "confirm", "preferences", "archive", "tracking", "open"):
                token = links.of(purpose, message.id, message.planned_at).rpartition("/")[2]
                assert message.id == tokens.named(token)
                for reads in ("unsubscribe", "confirm", "preferences", "archive", "verp"):
                    with crm.begin() as tx:
                        found = find_named(tx.connection.execute, tokens, reads, token, now)
                    assert (message.id if reads == purpose else None) == (found and found.id)
