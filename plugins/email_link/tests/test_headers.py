import re
from base64 import b64decode
from email import message_from_bytes, policy
from email.header import decode_header, make_header
from email.utils import parseaddr
from quopri import decodestring

import pytest
from crmcore_email_link.headers import mailbox, structured, unstructured
from hypothesis import example, given
from hypothesis import strategies as st

from crmcore.errors import InputError

WORD = re.compile(r"=\?utf-8\?([bq])\?([^?]*)\?=")

letters = st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]) | st.sampled_from(
    ' =?_"\\,;:<>@.()é中😀ñ\u0301'
)
subjects = st.text(letters | st.just("\t"), min_size=1, max_size=300).filter(str.strip)
names = st.text(letters, min_size=1, max_size=200)
names = names.map(lambda text: re.sub(" +", " ", text).strip(" ")).filter(str.strip)


def read(value):
    """What RFC 2047 says a value means: an implementation of its own, of what we write only."""
    if not WORD.search(value):
        return value.replace("\r\n", "")
    lines = [line.strip(" ") for line in value.split("\r\n")]
    found = [pair for line in lines for pair in WORD.findall(line)]
    # One in each line, and nothing beside them.
    assert [f"=?utf-8?{way}?{text}?=" for way, text in found] == lines
    return "".join(
        # Each for itself: none may hold a part of a character.
        (b64decode(text) if way == "b" else decodestring(text.encode(), header=True)).decode()
        for way, text in found
    )


def parsed(*lines):
    """The headers as both of the standard library's parsers read them."""
    raw = "\r\n".join((*lines, "", "text")).encode()
    return message_from_bytes(raw), message_from_bytes(raw, policy=policy.default)


def check_lines(header):
    """No line is too long, blank or broken, and no encoded word empty or too long."""
    assert not re.search(r"\r(?!\n)|(?<!\r)\n", header)
    for line in header.split("\r\n"):
        assert line.strip()
        assert len(line) <= 76
    for word in re.findall(r"=\?.*?\?=(?=\s|$)", header):
        found = WORD.fullmatch(word)
        assert found
        assert found[2]
        assert len(word) <= 75


@given(subjects)
@example("Grüße, Ada – 50 % auf alles?")
@example("=?utf-8?q?not_encoded?=")
@example(" leading, trailing and  double blanks ")
@example("a" * 300)
@example("=" * 300)
@example("中" * 300)
@example("é" * 29 + "中" * 30)
@example("word " * 59 + "end")
def test_e7_subject_is_read_as_it_was_written(subject):
    """What three readers make of a subject's header is the subject, to the last blank."""
    header = unstructured("Subject", subject)
    older, newer = parsed(header)

    check_lines(header)
    assert subject == read(header.removeprefix("Subject: "))
    assert subject == newer["Subject"]
    assert subject == str(make_header(decode_header(older["Subject"].replace("\r\n", ""))))


@given(names)
@example("Lovelace, Ada")  # python/cpython issue 121284: the quotes were lost
@example('Ada "the first" Lovelace')
@example("Ada\\Lovelace")
@example("Müller, Ada (Tee & Söhne)")
@example("=?utf-8?q?Ada?=")
@example("ada@example.com")
@example("x" * 200)
@example("Dr. Ada Lovelace")
@example("Übermäßig lange Namen " * 6 + "GmbH")
@example("深圳市某某某科技发展有限公司北京分公司" * 3)
def test_e7_display_name_is_read_as_it_was_written(name):
    """What readers make of a mailbox's header is its name and address, and one address only."""
    header = mailbox("Reply-To", name, "ada@example.com")
    older, newer = parsed(header)
    phrase = header.removeprefix("Reply-To: ").removesuffix("<ada@example.com>").strip("\r\n ")
    shown, address = parseaddr(older["Reply-To"])
    (found,) = newer["Reply-To"].addresses

    check_lines(header)
    assert name == (phrase[1:-1] if phrase.startswith('"') else read(phrase))
    assert ("ada@example.com", "ada@example.com") == (address, found.addr_spec)
    assert name == str(make_header(decode_header(shown.replace("\r\n", ""))))
    # This reader makes one blank of several of any kind, and (in Python 3.11) puts one between two
    # encoded words, which RFC 2047 (section 6.2) has it leave out.
    assert "".join(name.split()) == "".join(found.display_name.split())
    if phrase.count("=?utf-8?") < 2:
        assert name.split() == found.display_name.split()


def test_e7_no_name_is_no_phrase():
    """Without a name there is the address only, and nothing empty before it."""
    assert "To: ada@example.com" == mailbox("To", "", "ada@example.com")


def test_e7_short_text_stays_as_it_is():
    """What needs no encoding is not encoded, and stays in one line."""
    assert "Subject: Your order 4711 has left" == unstructured(
        "Subject", "Your order 4711 has left"
    )
    assert "From: The Tea Shop <a@b.example>" == mailbox("From", "The Tea Shop", "a@b.example")
    assert 'From: "Tea, Inc." <a@b.example>' == mailbox("From", "Tea, Inc.", "a@b.example")


def test_trap1_structured_header_is_folded_and_never_encoded():
    """A long token stays whole in a line of its own, where the standard library encodes it."""
    url = "https://shop.example/u/" + "x" * 200
    value = f"<{url}>, <mailto:u@shop.example>"

    header = structured("List-Unsubscribe", value)

    assert f"List-Unsubscribe: <{url}>,\r\n <mailto:u@shop.example>" == header
    older, newer = parsed(header)
    assert value == older["List-Unsubscribe"].replace("\r\n", "")
    assert value == newer["List-Unsubscribe"]


ids = st.from_regex(r"<[a-z0-9.]{1,120}@[a-z.]{1,40}>", fullmatch=True)


@given(st.lists(ids, min_size=1, max_size=20))
def test_trap1_references_of_any_length_are_read_as_they_were_written(found):
    """Message ids are folded between them and never within."""
    value = " ".join(found)
    header = structured("References", value)
    older, newer = parsed(header)

    assert "=?" not in header
    assert max(map(len, header.split("\r\n"))) <= 998
    assert value == older["References"].replace("\r\n", "")
    assert value == newer["References"]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("<nächste@shop.example>", "cannot be encoded"),
        ("=?utf-8?q?=3Chttps?=", "cannot be encoded"),
        ("a  b", "single spaces"),
        ("", "ASCII words"),
        (" a", "ASCII words"),
        ("a\tb", "ASCII words"),
        ("x" * 990, "a word longer than a line"),
        (None, "text is expected"),
    ],
)
def test_trap1_structured_header_that_would_need_encoding_is_refused(value, said):
    """Rather no mail than one whose machines find nothing."""
    with pytest.raises(InputError, match=said):
        structured("References", value)


BREAKS = ["\r\n", "\r", "\n", "\0", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029", "\x7f"]


@pytest.mark.parametrize("broken", [*BREAKS, "\ud800"])
@pytest.mark.parametrize(
    "write",
    [
        lambda text: unstructured("Subject", text),
        lambda text: structured("References", text),
    ],
)
def test_e7_header_injection_is_refused(write, broken):
    """Nothing that anybody takes for the end of a line gets into a header, wherever it stands."""
    for text in (f"Hello{broken}Bcc: all@example.com", f"{broken}x", f"x{broken}"):
        with pytest.raises(InputError, match="which no header may"):
            write(text)
