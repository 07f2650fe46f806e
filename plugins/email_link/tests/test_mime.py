import re
from datetime import UTC, datetime, timedelta, timezone
from email import message_from_bytes, policy
from email.utils import parsedate_to_datetime
from typing import Any

import attrs
import pytest
from crmcore_email_link.mime import Image, Mail, Mailbox, compose, message_id

from crmcore.errors import InputError

SHOP = Mailbox("news@shop.example", "Der Laden für Tee")
ADA = Mailbox("ada@example.com", "Ada Lovelace")
PIXELS = bytes(range(256)) * 20
LOGO = Image("logo", PIXELS, "image/png")
HTML = '<p>Grüße, <b>Ada</b></p><img src="cid:logo" alt="Tee">'

BULK: dict[str, Any] = {
    "bulk": True,
    "list_id": "news.shop.example",
    "unsubscribe_url": "https://shop.example/u/AAAAAAAAAAGEGL88n-dOaAHC1EOA",
    "unsubscribe_mailto": "mailto:u+aaaaaaaaaaagqx3thr7z44qtyfzq@shop.example",
    "feedback_id": "news-2026-11:::shop1",
}


def mail(**changes):
    """A mail about an order, or what *changes* make of it."""
    given_: dict[str, Any] = {
        "sender": SHOP,
        "recipient": ADA,
        "subject": "Your order has left",
        "text": "Hello Ada,\n\nit is on its way.",
        "message_id": "<4711@shop.example>",
        "date": datetime(2026, 11, 23, 8, 30, tzinfo=UTC),
    }
    return Mail(**given_ | changes)


def headers(raw):
    """The header lines of a mail, unfolded, by name in lower case."""
    head = raw.partition(b"\r\n\r\n")[0].decode().replace("\r\n ", " ")
    pairs = [line.partition(": ") for line in head.split("\r\n")]
    names = [name.lower() for name, _, _ in pairs]
    assert len(names) == len(set(names))
    return {name.lower(): value for name, _, value in pairs}


def test_e6_every_mail_has_what_rfc_5322_and_2045_want():
    """Date, From, To, Message-ID and MIME-Version, once each, as they were given."""
    found = headers(compose(mail()))

    assert "Mon, 23 Nov 2026 08:30:00 +0000" == found["date"]
    assert "Ada Lovelace <ada@example.com>" == found["to"]
    assert "<4711@shop.example>" == found["message-id"]
    assert "1.0" == found["mime-version"]
    assert "Your order has left" == found["subject"]
    assert found["from"].endswith(" <news@shop.example>")


def test_e6_bulk_mail_can_be_refused_with_one_click():
    """RFC 2919, 2369 and 8058: list, one https and one mailto, and the header that allows POST."""
    found = headers(compose(mail(**BULK)))

    assert "<news.shop.example>" == found["list-id"]
    assert (
        f"<{BULK['unsubscribe_url']}>, <{BULK['unsubscribe_mailto']}>" == found["list-unsubscribe"]
    )
    assert "List-Unsubscribe=One-Click" == found["list-unsubscribe-post"]
    assert "bulk" == found["precedence"]
    assert "news-2026-11:::shop1" == found["feedback-id"]
    assert "auto-submitted" not in found


def test_e6_any_other_mail_has_no_one_click_and_says_a_machine_wrote_it():
    """No vacation answers a mail about an order, and nobody unsubscribes from it."""
    found = headers(compose(mail()))

    assert "auto-generated" == found["auto-submitted"]
    assert not {"list-unsubscribe", "list-unsubscribe-post", "list-id", "precedence"} & set(found)


@pytest.mark.parametrize("name", ["list_id", "unsubscribe_url", "unsubscribe_mailto"])
def test_e6_one_click_on_what_is_not_bulk_is_refused(name):
    """Whoever gives a mail about an order a way to unsubscribe is told."""
    with pytest.raises(InputError, match=f"a mail that is not bulk has {name}"):
        mail(**{name: BULK[name]})


@pytest.mark.parametrize("name", ["list_id", "unsubscribe_url"])
def test_e6_bulk_mail_without_a_way_out_is_refused(name):
    """There is no mail to many that one could not refuse."""
    with pytest.raises(InputError, match=f"a bulk mail's {name} is None"):
        mail(**BULK | {name: None})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("unsubscribe_url", "http://shop.example/u/t"),
        ("unsubscribe_url", "https://shop.example/u/t>, <mailto:x@y.example"),
        ("unsubscribe_url", "https://shop.example/u/t,x"),
        ("unsubscribe_url", "https://bücher.example/u/t"),
        ("unsubscribe_url", "https://shop.example/" + "x" * 50),
        ("unsubscribe_mailto", "u@shop.example"),
        ("unsubscribe_mailto", "mailto:u@shop.example\r\nBcc: x@y.example"),
        ("list_id", "News of the shop"),
        ("list_id", "news"),
        ("feedback_id", "too:many:parts:are:here"),
        ("feedback_id", "a b:::shop1"),
        ("message_id", "4711@shop.example"),
        ("message_id", "<4711@shop.example>\r\nBcc: x@y.example"),
        ("date", datetime(2026, 11, 23)),  # noqa: DTZ001 - it is the fault
        ("subject", " "),
        ("text", "\n"),
        ("html", ""),
    ],
)
def test_e6_what_is_not_right_is_refused_before_anything_is_sent(name, value):
    """The error names what was found."""
    with pytest.raises(InputError) as caught:
        mail(**BULK | {name: value})
    assert str(value)[:20].strip() in str(caught.value).replace("\\r\\n", "\r\n")


def test_e6_url_of_71_octets_is_refused_and_of_70_is_not():
    """Trap 1: what is longer is encoded by servers that refold headers."""
    base = "https://shop.example/"
    fits = base + "x" * (70 - len(base))

    assert (
        f"<{fits}>"
        in headers(compose(mail(**BULK | {"unsubscribe_url": fits})))["list-unsubscribe"]
    )
    with pytest.raises(InputError, match="has 71 octets; at most 70"):
        mail(**BULK | {"unsubscribe_url": fits + "x"})


def test_e6_message_id_and_all_other_octets_are_the_same_in_every_attempt():
    """It follows from the key; another key or shop has another, and no key can be read from it."""
    one = message_id("news-2026-11/4711", "shop.example")

    assert one == message_id("news-2026-11/4711", "shop.example")
    assert one != message_id("news-2026-11/4712", "shop.example")
    assert re.fullmatch(r"<[0-9a-f]{32}@shop\.example>", one)
    again = {compose(mail(html=HTML, images=[LOGO], message_id=one)) for _ in range(3)}
    assert 1 == len(again)


def test_e6_date_keeps_its_zone():
    """A date in another zone is the same instant."""
    moment = datetime(2026, 7, 1, 9, 0, tzinfo=timezone(timedelta(hours=5, minutes=30)))

    assert moment == parsedate_to_datetime(headers(compose(mail(date=moment)))["date"])


def test_e7_text_comes_first_and_the_images_with_the_html():
    """multipart/alternative of text, then multipart/related of HTML and its images."""
    message = message_from_bytes(compose(mail(html=HTML, images=[LOGO])), policy=policy.default)

    kinds = [part.get_content_type() for part in message.walk()]

    assert [
        "multipart/alternative",
        "text/plain",
        "multipart/related",
        "text/html",
        "image/png",
    ] == kinds
    text, html, image = (part for part in message.walk() if not part.is_multipart())
    assert ["Hello Ada,", "", "it is on its way."] == text.get_content().splitlines()
    assert [HTML] == html.get_content().splitlines()
    assert PIXELS == image.get_content()
    assert ("<logo>", "inline") == (image["Content-ID"], image["Content-Disposition"])
    assert "utf-8" == text.get_content_charset() == html.get_content_charset()
    assert not message.defects
    assert not any(part.defects for part in message.walk())


def test_e7_parts_without_need_are_not_there():
    """Text alone is one part; HTML without images is no multipart/related."""
    assert "text/plain" == message_from_bytes(compose(mail())).get_content_type()
    found = message_from_bytes(compose(mail(html=HTML))).walk()
    assert ["multipart/alternative", "text/plain", "text/html"] == [
        part.get_content_type() for part in found
    ]


@pytest.mark.parametrize("broken", ["\r\n", "\n", "\r", "\0", "\x85", "\u2028"])
@pytest.mark.parametrize(
    "write",
    [
        lambda text: mail(subject=text),
        lambda text: Mailbox("ada@example.com", text),
        lambda text: Mailbox(text),
        lambda text: mail(headers={"X-Shop": text}),
        lambda text: mail(headers={"References": text}),
        lambda text: mail(headers={text: "x"}),
        lambda text: mail(message_id=text),
        lambda text: mail(**BULK | {"unsubscribe_url": f"https://{text}"}),
        lambda text: mail(**BULK | {"unsubscribe_mailto": f"mailto:{text}"}),
        lambda text: mail(**BULK | {"list_id": text}),
        lambda text: mail(**BULK | {"feedback_id": text}),
        lambda text: Image(text, PIXELS, "image/png"),
        lambda text: Image("logo", PIXELS, text),
    ],
)
def test_e7_header_injection_is_refused_at_every_door(write, broken):
    """Whatever a mail is made of, none of it ends a header's line."""
    with pytest.raises(InputError):
        write(f"x@example.com{broken}Bcc: all@example.com")


@pytest.mark.parametrize(
    "name", ["Bcc", "cc", "From", "List-Unsubscribe", "Content-Type", "DKIM-Signature", "a b", ""]
)
def test_e7_headers_that_a_field_has_cannot_be_given_by_name(name):
    """A second From or a Bcc does not come in by the side door."""
    with pytest.raises(InputError, match=r"cannot be given by name|no header can be called"):
        mail(headers={name: "x@example.com"})


def test_trap1_no_structured_header_holds_an_encoded_word():
    """Only what people read is encoded; a reference in another script is refused, not encoded."""
    raw = compose(
        mail(
            subject="Grüße",
            recipient=Mailbox("ada@example.com", "Ada Müller"),
            headers={
                "X-Campaign": "Herbst – Tee",
                "References": " ".join(f"<{'x' * 90}{each}@shop.example>" for each in range(5)),
            },
            html=HTML,
            **BULK,
        )
    )

    encoded = {name for name, value in headers(raw).items() if "=?" in value}

    assert {"subject", "from", "to", "x-campaign"} == encoded
    assert "Herbst – Tee" == message_from_bytes(raw, policy=policy.default)["X-Campaign"]
    with pytest.raises(InputError, match="cannot be encoded"):
        compose(mail(headers={"In-Reply-To": "<grüße@shop.example>"}))


def test_e7_international_address_needs_smtputf8_and_no_other_does():
    """Its name in UTF-8 cannot be encoded (RFC 6532), so it stands in the header as it is."""
    eva = Mailbox("éva@example.com", "Éva")
    found = mail(recipient=eva)

    assert (True, False) == (found.is_international, mail().is_international)
    assert "<éva@example.com>".encode() in compose(found)
    with pytest.raises(InputError, match="its host in ASCII"):
        Mailbox("ada@bücher.example")


@pytest.mark.parametrize(
    "address",
    [
        "ada",
        "a da@example.com",
        "<ada@example.com>",
        "ada@example.com>",
        "ada,bob@example.com",
        '"ada"@example.com',
        "ada@example.com, bob@example.com",
        "ada@exa_mple.com",
        "x" * 65 + "@example.com",
        "ada@" + "x." * 130 + "com",
        "\ud800@example.com",
        None,
    ],
)
def test_e7_what_would_be_more_than_one_address_is_refused(address):
    """A mailbox is one address, whatever is in it."""
    with pytest.raises(InputError, match="address"):
        Mailbox(address)


def test_e7_images_are_named_once_and_shown_by_html():
    """Two images of one name, images without HTML, and empty ones are refused."""
    with pytest.raises(InputError, match="two images of a mail have one cid"):
        mail(html=HTML, images=[LOGO, attrs.evolve(LOGO, content=b"x")])
    with pytest.raises(InputError, match="no html that shows them"):
        mail(images=[LOGO])
    with pytest.raises(InputError, match="has no octets"):
        Image("logo", b"", "image/png")


def test_e7_half_of_a_character_is_refused():
    """What UTF-8 cannot hold is named with its place."""
    with pytest.raises(InputError, match="has no character at 2"):
        compose(mail(text="ab\ud800"))


def test_e7_display_name_is_shown_as_readers_show_it():
    """Blanks at its ends and several in a row are no part of a name."""
    assert Mailbox("a@example.com", "Ada Lovelace") == Mailbox("a@example.com", " Ada \t Lovelace ")
