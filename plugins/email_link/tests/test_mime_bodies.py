"""Bodies of mails: read as they were written, and in lines that every server leaves alone."""

import re
from base64 import b64decode
from email import message_from_bytes, policy
from quopri import decodestring

from crmcore_email_link.mime import Mailbox, compose
from hypothesis import example, given
from hypothesis import strategies as st

from plugins.email_link.tests.test_mime import BULK, HTML, LOGO, headers, mail

PIECES = [
    "\n",
    "\r\n",
    "\r",
    " ",
    "\t",
    ".",
    "=",
    "From ",
    "é",
    "中",
    "\0",
    "\x0c",
    "\u2028",
    "--=_a",
]
texts = st.lists(
    st.sampled_from([*PIECES, "word", "x" * 70, "x" * 76, "a" * 1000]), max_size=40
).map("".join) | st.text(st.characters(exclude_categories=["Cs"]), max_size=300)


def decoded(part):
    """A part's octets by decoders of their own: `email` mends what is wrong."""
    head, _, body = part.partition(b"\r\n\r\n")
    (encoding,) = re.findall(r"Content-Transfer-Encoding: (\S+)", head.decode())
    if encoding == "quoted-printable":
        body = decodestring(body)
    elif encoding == "base64":
        body = b64decode(body)
    return body.replace(b"\r\n", b"\n").decode()


@given(texts.filter(str.strip), texts.filter(str.strip))
@example("a" * 70 + " From me", "From me\n.\n..\nFrom")
def test_e7_body_is_read_as_it_was_written(text, html):
    """Lines, blanks at their ends, and whatever else is in a body arrive, whatever its encoding."""
    raw = compose(mail(text=text, html=html))
    (boundary,) = re.findall(rb'boundary="([^"]+)"', raw)
    _, *parts, end = raw.split(b"--" + boundary)

    assert b"--\r\n" == end
    for written, part in zip((text, html), parts, strict=True):
        expected = written.replace("\r\n", "\n").replace("\r", "\n")
        assert expected.removesuffix("\n") == decoded(part).removesuffix("\n")


@given(texts.filter(str.strip), texts.filter(str.strip))
@example("é" * 2000, "a " * 5000)
@example("a" * 79, "word " * 40 + "and so on")
@example("a" * 76 + " \n" + "é", "a" * 75 + "\té")
@example("From " + "a" * 70 + "é" * 3, "  From From " + "a" * 950 + "\x85\x85 ")
@example("a" * 74 + " \n" + "a" * 75 + "\t\né", "é" + "a" * 69 + " ")  # CPython writes up to 78
def test_e7_lines_are_never_longer_than_998_octets(text, html):
    """Encoded lines have at most 76, others 78; no CR or LF stands alone; all is ASCII."""
    raw = compose(mail(text=text, html=html, images=[LOGO], **BULK))
    parts = raw.split(b"\r\n\r\n--=_")

    assert raw.isascii()
    assert not re.search(rb"\r(?!\n)|(?<!\r)\n", raw)
    assert max(map(len, raw.split(b"\r\n"))) <= 78
    for part in parts:
        if b"Content-Transfer-Encoding: 7bit" not in part:
            assert max(map(len, part.split(b"\r\n"))) <= 76
    assert b"\0" not in raw


letters = st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"])
words = st.text(letters, min_size=1, max_size=120).filter(str.strip)


@given(words, words)
def test_e7_a_parsed_mail_says_what_was_composed(subject, name):
    """Among all of a mail's headers, subject and names are read as they were written."""
    given_ = mail(subject=subject, recipient=Mailbox("ada@example.com", name), **BULK)
    message = message_from_bytes(compose(given_), policy=policy.default)

    assert subject == message["Subject"]
    assert "".join(name.split()) == "".join(message["To"].addresses[0].display_name.split())
    assert BULK["unsubscribe_url"] in message["List-Unsubscribe"]
    assert "\n" not in message["List-Unsubscribe"]
    assert not message.defects


@given(texts.filter(str.strip))
@example("Hello\n.\nAda")
@example("Hello \nAda\t")
def test_e7_no_line_is_a_dot_alone_or_ends_in_a_blank(text):
    """The first ends a mail where a server forgets to double it, and the second gets lost."""
    body = compose(mail(text=text, html=text)).partition(b"\r\n\r\n")[2]

    assert b"\r\n.\r\n" not in body
    assert not re.search(rb"[ \t]\r\n", body)


def test_e7_no_text_can_end_its_part():
    """A text that holds the very boundary stays one text."""
    (boundary,) = re.findall(r'boundary="([^"]+)"', compose(mail(html=HTML)).decode())
    text = f"Hello\n--{boundary}\nContent-Type: text/html\n\n<p>evil</p>\n--{boundary}--"

    found = message_from_bytes(compose(mail(text=text, html=text)), policy=policy.default)

    assert boundary == found.get_boundary()
    assert [text.split("\n")] * 2 == [
        part.get_content().splitlines() for part in found.walk() if not part.is_multipart()
    ]


@given(texts.filter(str.strip))
def test_e7_no_line_begins_as_a_new_mail_in_a_mailbox_file(text):
    """Servers put ">" before "From ", and the signature would no longer fit."""
    raw = compose(mail(text=text, html=text))

    assert not re.search(rb"^From ", raw.partition(b"\r\n\r\n")[2], re.MULTILINE)


def test_e7_the_shortest_encoding_is_taken():
    """ASCII as it is, a few other letters in quoted-printable, another script in base64."""
    found = {
        text: headers(compose(mail(text=text * 20)))["content-transfer-encoding"]
        for text in ("Hello Ada.\n", "Viele liebe Grüße an Ada, bis bald.\n", "护肤新品上市\n")
    }

    assert ["7bit", "quoted-printable", "base64"] == list(found.values())
