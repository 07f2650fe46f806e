import re
from datetime import UTC, datetime
from email import message_from_bytes, policy
from typing import Any

import pytest
from crmcore_email_link.dkim import Signer
from crmcore_email_link.mime import Image, Mail, Mailbox, compose
from crmcore_email_link.wire import check
from cryptography.hazmat.primitives.asymmetric import ed25519
from hypothesis import example, given
from hypothesis import strategies as st

SIGNER = Signer("shop.example", "e2026", ed25519.Ed25519PrivateKey.generate())
URL = "https://shop.example/u/AAAAAAAAAAGEGL88n-dOaAHC1EOA"
TEXT = b"Viele liebe Gr=C3=BC=C3=9Fe, Ada."
BULK: dict[str, Any] = {
    "bulk": True,
    "list_id": "news.shop.example",
    "unsubscribe_url": URL,
    "unsubscribe_mailto": "mailto:u@shop.example",
    "feedback_id": "news-2026-11:::shop1",
}


def mail(**changes):
    """A mail about an order, or what *changes* make of it."""
    given_: dict[str, Any] = {
        "sender": Mailbox("news@shop.example", "Der Laden für Tee"),
        "recipient": Mailbox("ada@example.com", "Ada Müller"),
        "subject": "Grüße aus dem Laden",
        "text": "Viele liebe Grüße, Ada.",
        "html": '<p>Grüße, Ada.</p><img src="cid:logo" alt="Tee">',
        "images": [Image("logo", b"pixels", "image/png")],
        "message_id": "<4711@shop.example>",
        "date": datetime(2026, 11, 23, 8, 30, tzinfo=UTC),
    }
    return Mail(**given_ | changes)


def codes(raw):
    """What is found, without its words."""
    return {finding.code for finding in check(raw)}


def signed(**changes):
    """A mail's octets as they would be sent."""
    return SIGNER.sign(compose(mail(**changes)))


def tampered(old, new, **changes):
    """A mail whose octets were changed before it was signed."""
    raw = compose(mail(**changes))
    found = re.sub(old, lambda _: new, raw, count=1)
    assert found != raw
    return SIGNER.sign(found)


@pytest.mark.parametrize("changes", [{}, BULK, {"html": None, "images": []}])
def test_nothing_is_found_in_what_we_send(changes):
    """What is composed and signed here is free of faults, in bulk or not."""
    assert [] == check(signed(**changes))


letters = st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"])
lines = st.text(letters, min_size=1, max_size=200).filter(str.strip)


@given(lines, lines, st.text(letters | st.just("\n")).filter(str.strip), st.booleans())
def test_nothing_is_found_whatever_we_send(subject, name, text, is_bulk):
    """No subject, name or text that is taken gives a mail with a fault."""
    changes = BULK if is_bulk else {}
    recipient = Mailbox("ada@example.com", name)

    assert [] == check(signed(subject=subject, recipient=recipient, text=text, **changes))


@given(
    st.binary(max_size=400)
    | st.lists(
        st.sampled_from(
            [
                b"\r\n",
                b"\r",
                b"\n",
                b"From:",
                b"DKIM-Signature: ",
                b"h=",
                b";",
                b"List-Unsubscribe: <",
                b"=?utf-8?q?",
                b"Content-Type: multipart/mixed; boundary=x",
                b"--x",
                b"\xff",
                b" ",
                b"\0",
                b"Content-Type: text/html; charset=\xff",
                b"<img src=cid:x",
                b"Content-Transfer-Encoding: base64",
            ]
        )
    ).map(b"".join)
)
@example(b"Content-Type: text/plain; charset=\0\r\n\r\n\x80")  # `email` raises ValueError
def test_any_octets_are_judged_and_none_break_it(raw):
    """There is always something wrong with noise, and never an exception."""
    assert codes(raw) - {"dkim-missing"}


NEST = b"".join(
    b'Content-Type: multipart/mixed; boundary="%d"\r\n\r\n--%d\r\n' % (depth, depth)
    for depth in range(10_000)
)
HTML = b"Content-Type: text/html\r\n\r\n"


@pytest.mark.parametrize(
    "raw",
    [
        b"From: a@b.example\r\n" + NEST,
        b"From: " + b'"\\' * 200_000 + b"=?\r\n\r\n",
        b"From: " + b"<" * 400_000 + b"=?\r\n\r\n",
        b"Subject: " + b"=?a?q?" * 100_000 + b"\r\n\r\n",
        b"DKIM-Signature: " + b" " * 400_000 + b"\r\n\r\n" + b" \t" * 200_000,
        HTML + b"<img " * 200_000,
        HTML + b"<!--" * 200_000,
        HTML + b"=" + b" " * 400_000,
    ],
    ids=["nested", "quotes", "angles", "words", "blanks", "images", "comments", "references"],
)
def test_what_was_made_to_take_for_ever_is_judged(raw):
    """Ten thousand parts in each other, or a mark that never ends, are looked at once."""
    assert codes(raw)


def test_trap1_the_standard_librarys_folding_is_found():
    """A long List-Unsubscribe written by `email` with its usual policy holds an encoded word."""
    message = message_from_bytes(compose(mail()), policy=policy.SMTP)
    message["List-Unsubscribe"] = f"<https://shop.example/{'x' * 80}>"

    found = check(SIGNER.sign(message.as_bytes()))

    (finding,) = (each for each in found if each.code == "encoded-word")
    assert "list-unsubscribe holds an encoded word" in finding.message
    assert "error" == finding.severity


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (b"List-Help: =?utf-8?q?=3Chttps?=", "encoded-word"),
        (b"References: =?utf-8?b?PGE=?= <b@c>", "encoded-word"),
        (b"Feedback-ID: =?utf-8?q?a?=", "encoded-word"),
        (b'Reply-To: "=?utf-8?q?Ada?=" <a@b.example>', "encoded-word"),
        (b"Reply-To: Ada <=?utf-8?q?a?=@b.example>", "encoded-word"),
        (b"Reply-To: =?utf-8?q??= <a@b.example>", "encoded-word-empty"),
        (b"X-Shop: =?utf-8?q?" + b"a" * 70 + b"?=", "encoded-line"),
        (b"X-Shop: " + b"a" * 991, "line-length"),
        (b"Subject: Another", "header-twice"),
        (b"Message-ID: <1@b.example>", "header-twice"),
        (b"no colon here", "header"),
        (b"X Shop: a", "header"),
        ("X-Shop: é".encode(), "smtputf8"),
        (b"X-Shop: \0", "nul"),
    ],
)
def test_headers_that_are_not_right_are_found(header, expected):
    """One header more, and exactly that is found."""
    assert {expected} == codes(tampered(rb"^From:", header + b"\r\nFrom:"))


@pytest.mark.parametrize(
    "header", [b"X-Shop: =?utf-8?q?Tee?=", b"Reply-To: =?utf-8?q?A?= <a@b.example>"]
)
def test_encoded_words_are_fine_where_people_read(header):
    """Names and what begins with X- may hold them."""
    assert set() == codes(tampered(rb"^From:", header + b"\r\nFrom:"))


@pytest.mark.parametrize(
    "name", [b"From", b"To", b"Subject", b"Date", b"Message-ID", b"MIME-Version"]
)
def test_e6_what_every_mail_needs_is_missed(name):
    """Without one of the required headers there is a fault that names it."""
    raw = re.sub(name + rb": [^\r]*\r\n", b"", signed(), count=1)

    assert f"it has no {name.decode().lower()}" in " ".join(each.message for each in check(raw))


@pytest.mark.parametrize("end", [b"\n", b"\r"])
def test_e7_bare_cr_and_lf_are_found(end):
    """A line end that is not CRLF can end a mail at one server and not at the next."""
    raw = compose(mail()).replace(b"\r\n--=_r", end + b".\r\n--=_r", 1)

    assert "bare-newline" in codes(raw)


def test_e7_long_lines_are_found():
    """A line over 998 octets, one over 76 where it is encoded, and 8 bits where there are 7."""
    text: dict[str, Any] = {"html": None, "images": []}

    assert {"line-length"} == codes(tampered(TEXT, b"x" * 999, **text)) - {"encoded-line"}
    assert {"encoded-line"} == codes(tampered(TEXT, b"x" * 77, **text))
    assert {"8bit"} == codes(tampered(TEXT, "Grüße".encode(), **text))


def test_e15_a_mail_without_signature_is_found():
    """It was composed and not signed."""
    assert {"dkim-missing"} == codes(compose(mail(**BULK)))
    assert [] == check(compose(mail(**BULK)), signed=False)


def resigned(old, new):
    """A mail whose signature, and only that, says something else."""
    raw = signed(**BULK)
    head, mark, rest = raw.partition(b"\r\nFrom:")
    found = re.sub(old, new, re.sub(rb"\r\n +", b" ", head), count=1)
    assert found != head
    return found + mark + rest


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (b"List-Unsubscribe-Post:", b"", {"dkim-oversigning"}),
        (b"Subject:Subject:", b"", {"dkim-coverage"}),
        (b"List-Unsubscribe: ?List-Unsubscribe: ?", b"", {"dkim-coverage"}),
        (b"v=1;", b"v=1; l=10;", {"dkim-length"}),
        (b"relaxed/relaxed", b"simple/simple", {"dkim-form"}),
        (b"bh=....", b"bh=AAAA", {"dkim-body"}),
        (b"d=shop.example", b"d=mailer.example", {"dkim-alignment"}),
        (b"d=shop.example", b"d=news.shop.example", set()),
    ],
)
def test_e15_signature_that_covers_too_little_is_found(old, new, expected):
    """What is not signed, or signed so that more can be added, is told."""
    assert expected == codes(resigned(old, new))


def test_e15_a_body_changed_since_is_found():
    """The hash in the signature no longer fits."""
    assert {"dkim-body"} == codes(signed().replace(b"</p>", b"</q>"))


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (b"List-Unsubscribe-Post: [^\r]*\r\n", b"", {"one-click"}),
        (b"=One-Click", b"=Two-Click", {"one-click"}),
        (b"<https://", b"<http://", {"one-click"}),
        (b"<mailto:", b"<https:", {"unsubscribe-mailto"}),
        (b"<mailto:", b"<https://x>, <mailto:", {"one-click"}),
        (b"shop.example/u/", b"shop.example/" + b"u" * 30, {"unsubscribe-length"}),
        (b"List-Unsubscribe: [^>]*>,\r\n [^>]*>\r\n", b"", {"one-click", "unsubscribe-mailto"}),
    ],
)
def test_e6_what_keeps_one_click_from_working_is_found(old, new, expected):
    """RFC 8058 to the letter: one https link, the exact words, and short enough to arrive."""
    assert expected == codes(tampered(old, new, **BULK))


def test_e6_one_click_on_what_is_not_bulk_is_found():
    """A mail about an order that could be unsubscribed from."""
    header = b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\nFrom:"

    assert {"one-click"} == codes(tampered(rb"^From:", header))


def test_gmails_clip_is_foretold():
    """HTML of 102 kB and no more is shown whole."""
    pad = 102_000 - len("<p></p>\n")
    fits = {"html": f"<p>{'x' * pad}</p>\n", "images": []}
    clipped = {"html": f"<p>{'x' * (pad + 100)}</p>\n", "images": []}

    assert set() == codes(signed(**fits))
    assert {"clipped"} == codes(signed(**clipped))


def test_e7_text_part_missing_empty_or_behind_is_found():
    """HTML without text, with an empty text, or before it."""
    raw = compose(mail(images=[], html="<p>Ada</p>"))
    (boundary,) = re.findall(rb'boundary="([^"]+)"', raw)
    head, text, html, end = raw.split(b"--" + boundary)
    mark = b"--" + boundary

    assert {"text-missing"} == codes(SIGNER.sign(mark.join((head, html, end))))
    assert {"text-order"} == codes(SIGNER.sign(mark.join((head, html, text, end))))
    assert {"text-missing"} == codes(tampered(TEXT, b""))
    only = compose(mail(images=[], html=None)).replace(b"text/plain", b"image/png")
    assert {"text-missing"} == codes(SIGNER.sign(only))


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ('<img src="cid:logo">', {"alt-text"}),
        ('<img src="cid:logo" alt="">', set()),
        ('<IMG SRC="cid:logo" ALT=Tee><img src="https://shop.example/a.png"/>', {"alt-text"}),
        ("<img src='cid:logo' title='alt=no' data-alt=x>", {"alt-text"}),
        ("<img src='cid:logo' title='a > b' alt='c > d'>", set()),
        ("<img src=cid:logo alt>", set()),
        ('<td style="background:url(cid:logo)">', set()),
        ("<!--[if mso]><v:fill src='cid:logo'/><![endif]-->", set()),
        ("<p>no image</p>", {"cid-unused"}),
        ('<img src="cid:logo" alt=""><img src="cid:other" alt="">', {"cid-missing"}),
        ("<p>an ordinary cid:other in the text</p>", {"cid-unused"}),
    ],
)
def test_images_are_shown_and_described(html, expected):
    """Each image that is brought is shown, each that is shown is brought, each has its alt text."""
    assert expected == codes(signed(html=html))
