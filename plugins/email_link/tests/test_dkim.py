import hashlib
import re
from base64 import b64decode
from datetime import UTC, datetime
from typing import Any

import dkim as dkimpy
import pytest
from crmcore_email_link.canonical import OVERSIGNED, canonical_body, canonical_header, split
from crmcore_email_link.dkim import Signer
from crmcore_email_link.mime import Image, Mail, Mailbox, compose
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_public_key,
)
from dkim.canonicalization import Relaxed
from hypothesis import example, given
from hypothesis import strategies as st

from crmcore.errors import ConfigurationError, InputError

KEY = rsa.generate_private_key(65537, 2048)
ED = ed25519.Ed25519PrivateKey.generate()
SECOND = Signer("shop.example", "e2026", ED)
SIGNER = Signer("shop.example", "r2026", KEY, SECOND)
RECORDS = {f"{name}.".encode(): text.encode() for name, text in (SIGNER.record, SECOND.record)}


def mail(**changes):
    """A newsletter, or what *changes* make of it."""
    given_: dict[str, Any] = {
        "sender": Mailbox("news@shop.example", "Der Laden für Tee"),
        "recipient": Mailbox("ada@example.com", "Lovelace, Ada"),
        "subject": "Neu im Herbst – Tee",
        "text": "Grüße,  Ada\n \n\tund bis bald\n\n\n",
        "html": "<p>Grüße,  <b>Ada</b></p>\n\n",
        "message_id": "<4711@shop.example>",
        "date": datetime(2026, 11, 23, 8, 30, tzinfo=UTC),
        "bulk": True,
        "list_id": "news.shop.example",
        "unsubscribe_url": "https://shop.example/u/AAAAAAAAAAGEGL88n-dOaAHC1EOA",
        "unsubscribe_mailto": "mailto:u@shop.example",
    }
    return Mail(**given_ | changes)


def look_up(name, timeout=5):
    """What the DNS would say."""
    return RECORDS.get(name)


def verdict(raw, place):
    """What dkimpy says of one signature of a mail."""
    try:
        return dkimpy.DKIM(raw).verify(idx=place, dnsfunc=look_up)
    except dkimpy.ValidationError:  # the body is another; where headers are, it says False
        return False


def verdicts(raw):
    """What dkimpy says of each of them."""
    return [verdict(raw, place) for place in range(raw.count(b"DKIM-Signature:"))]


def tags(raw):
    """The tags of a mail's first signature."""
    value = raw.partition(b"DKIM-Signature:")[2]
    value = re.sub(rb"\s+", b"", re.split(rb"\r\n(?![ \t])", value)[0]).decode()
    return dict(each.split("=", 1) for each in value.split(";"))


SIGNED = SIGNER.sign(compose(mail()))


def test_e15_both_signatures_are_accepted_by_dkimpy():
    """A mail signed with RSA and Ed25519 verifies with either, and with the records we tell of."""
    assert [True, True] == verdicts(SIGNED)
    assert [True] == verdicts(SECOND.sign(compose(mail())))
    assert SIGNED.endswith(compose(mail()))


@given(
    st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1).filter(
        str.strip
    ),
    st.text(st.sampled_from(" \t\n.=aé中")).map("x{}".format),
)
@example("Hello", "x\n\n\n \t\n")
def test_e15_whatever_a_mail_says_its_signature_is_accepted(subject, text):
    """Any subject and body give a mail that dkimpy accepts."""
    raw = SECOND.sign(compose(mail(subject=subject, text=text, html=None)))

    assert [True] == verdicts(raw)


def test_e15_signature_says_what_the_rules_want():
    """rsa-sha256, relaxed for both, no length, and no instant that would differ in an attempt."""
    found = tags(SIGNED)

    assert {"v", "a", "c", "d", "s", "h", "bh", "b"} == set(found)
    assert ("1", "rsa-sha256", "relaxed/relaxed") == (found["v"], found["a"], found["c"])
    assert ("shop.example", "r2026") == (found["d"], found["s"])
    assert SIGNED == SIGNER.sign(compose(mail()))
    assert max(map(len, SIGNED.split(b"\r\n"))) <= 78


def test_e15_every_header_is_named_once_more_than_the_mail_has_it():
    """Those that it has twice, those that nobody is to add once; both unsubscribe headers are."""
    names = tags(SIGNED)["h"].lower().split(":")
    has = {field.name.decode() for field in split(compose(mail()))[0]}

    assert {
        *("from", "to", "cc", "reply-to", "subject", "date", "message-id", "mime-version"),
        *("content-type", "list-id", "list-unsubscribe", "list-unsubscribe-post"),
        *("list-help", "list-subscribe", "list-post", "list-owner", "list-archive"),
    } <= set(map(str.lower, OVERSIGNED))
    for name in map(str.lower, OVERSIGNED):
        assert names.count(name) == (2 if name in has else 1)
    assert {"list-unsubscribe", "list-unsubscribe-post", "from", "subject"} <= has
    assert 0 == names.count("sender")
    assert has <= set(names)


@pytest.mark.parametrize("name", OVERSIGNED)
def test_trap2_a_header_put_before_breaks_the_signature(name):
    """A second Subject or List-Unsubscribe, or a Reply-To that we had not, is seen."""
    value = b"<https://evil.example/>" if name.startswith("List") else b"free@evil.example"

    assert [False, False] == verdicts(name.encode() + b": " + value + b"\r\n" + SIGNED)


@pytest.mark.parametrize("name", ["Subject", "List-Unsubscribe", "From", "Content-Type"])
def test_trap2_a_header_put_behind_breaks_the_signature(name):
    """The same below ours."""
    head, _, body = SIGNED.partition(b"\r\n\r\n")

    assert [False, False] == verdicts(head + b"\r\n" + name.encode() + b": x\r\n\r\n" + body)


def test_trap2_dkimpy_alone_does_not_see_it():
    """The trap is real: signed once each, as libraries do, a second Subject verifies."""
    pem = KEY.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    raw = compose(mail())
    header = dkimpy.sign(raw, b"r2026", b"shop.example", pem, include_headers=[b"from", b"subject"])

    assert [True] == verdicts(b"Subject: Free money\r\n" + header + raw)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"ada@example.com", b"eve@example.com"),
        (b"One-Click", b"Two-Click"),
        (b"Precedence: bulk", b"Precedence: list"),
        (b"/u/AAAA", b"/u/AAAB"),
        (b"</p>", b"</q>"),
    ],
)
def test_e15_a_change_breaks_the_signature(old, new):
    """What was signed cannot be other than it was."""
    assert old in SIGNED
    assert [False, False] == verdicts(SIGNED.replace(old, new))


def test_e15_nothing_can_be_appended():
    """There is no l= that would leave the end of the body to others."""
    assert [False, False] == verdicts(SIGNED + b"<p>Send us your password</p>\r\n")


def test_e15_what_servers_do_does_not_break_the_signature():
    """Trace headers, other folding and blanks at the ends of lines are no change."""
    changed = SIGNED.replace(b"Precedence: bulk", b"precedence:   bulk\t")
    changed = changed.replace(b"<news@shop.example>", b"\r\n\t<news@shop.example>")
    changed = b"Received: from a by b\r\nReturn-Path: <b@shop.example>\r\n" + changed + b"\r\n\r\n"

    assert changed != SIGNED
    assert [True, True] == verdicts(changed)


def test_e15_of_several_headers_the_lowest_is_signed_first():
    """A mail that has a header twice is signed with both, as verifiers take them."""
    raw = compose(mail()).replace(b"Precedence:", b"Precedence: x\r\nPrecedence:")
    signed = SIGNER.sign(raw)

    assert [True, True] == verdicts(signed)
    assert 3 == tags(signed)["h"].split(":").count("Precedence")


@pytest.mark.parametrize("at", [b"\n", b"\r"])
def test_e15_bare_line_ends_are_refused(at):
    """Servers mend them, and the signature would not fit what they make of it."""
    with pytest.raises(InputError, match="bare CR or LF"):
        SIGNER.sign(compose(mail()) + b"x" + at)
    with pytest.raises(InputError, match="bare CR or LF"):
        SIGNER.sign(compose(mail()) + b"\n\r")


def test_e15_a_mail_without_from_is_refused():
    """It must be among what is signed."""
    with pytest.raises(InputError, match="no From"):
        SIGNER.sign(b"To: ada@example.com\r\n\r\nHello\r\n")


def test_e15_weak_and_unknown_keys_are_refused():
    """RSA below 2048 bits, other kinds of keys and what is no key say so, and show nothing."""
    small = rsa.generate_private_key(65537, 1024)

    with pytest.raises(ConfigurationError, match="has 1024 bits; at least 2048"):
        Signer("shop.example", "s", small)
    with pytest.raises(ConfigurationError, match="an RSA or Ed25519 key is expected"):
        Signer("shop.example", "s", ec.generate_private_key(ec.SECP256R1()))
    with pytest.raises(ConfigurationError, match="in PEM is expected") as caught:
        Signer("shop.example", "s", "no key but a secret")
    assert "a secret" not in str(caught.value)
    with pytest.raises(ConfigurationError, match="an RSA or Ed25519 key is expected"):
        Signer("shop.example", "s", None)


@pytest.mark.parametrize("name", ["", "Shop.example", "bücher.example", "a b", "x;d=evil", ".x"])
def test_e15_names_that_would_change_the_signature_are_refused(name):
    """A domain or selector holds nothing that ends a tag."""
    with pytest.raises(ConfigurationError, match="domain is"):
        Signer(name, "s", KEY)
    with pytest.raises(ConfigurationError, match="selector is"):
        Signer("shop.example", name, KEY)


@pytest.mark.parametrize("key", [KEY, ED], ids=["rsa", "ed25519"])
def test_e15_keys_are_read_from_pem(key):
    """What openssl writes is the same key; and no key is in what is printed."""
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    signer = Signer("shop.example", "s", pem)

    assert Signer("shop.example", "s", key).sign(SIGNED) == signer.sign(SIGNED)
    assert Signer("shop.example", "s", pem.decode()).sign(SIGNED) == signer.sign(SIGNED)
    assert "key" not in repr(signer)


def test_e15_rotated_by_selector():
    """Old and new keys stand beside each other in the DNS, each under its own name."""
    new = Signer("shop.example", "r2027", rsa.generate_private_key(65537, 2048))
    name, text = new.record

    assert "r2027._domainkey.shop.example" == name
    assert text.startswith("v=DKIM1; k=rsa; p=")
    both = RECORDS | {f"{name}.".encode(): text.encode()}
    raw = new.sign(compose(mail()))
    assert dkimpy.DKIM(raw).verify(dnsfunc=lambda name, timeout=5: both.get(name))
    assert dkimpy.DKIM(SIGNED).verify(dnsfunc=lambda name, timeout=5: both.get(name))


def test_e15_images_are_signed():
    """A mail with images verifies, and with another image it does not."""
    raw = SIGNER.sign(compose(mail(images=[Image("logo", b"x" * 300, "image/png")])))

    assert [True, True] == verdicts(raw)
    assert [False, False] == verdicts(raw.replace(b"eHh4eHh4", b"eXl5eXl5", 1))


# RFC 6376, section 3.4.5, example 1.
EXAMPLE = b"A: X\r\nB : Y\t\r\n\tZ  \r\n\r\n C \r\nD \t E\r\n\r\n\r\n"


def test_rfc6376_example_of_the_relaxed_form():
    """The example of section 3.4.5, and the empty body of section 3.4.4."""
    fields, body = split(EXAMPLE)

    assert [b"a:X", b"b:Y Z"] == [canonical_header(field.raw) for field in fields]
    assert b" C\r\nD E\r\n" == canonical_body(body)
    assert b"" == canonical_body(b"") == canonical_body(b"\r\n \r\n\r\n")
    assert b"a\r\n" == canonical_body(b"a \t") == canonical_body(b"a")
    empty = hashlib.sha256(canonical_body(b"\r\n")).digest()
    assert b64decode("47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=") == empty


pieces = st.sampled_from([b" ", b"\t", b"\r\n", b"a", b"b  c", b"\x0b", b"\x00", b"\xff", b"    "])


@given(st.lists(pieces).map(b"".join))
def test_rfc6376_relaxed_body_is_dkimpys(body):
    """For any body that ends in a line, as those sent do, both canonicalise to the same octets."""
    assert Relaxed.canonicalize_body(body + b"\r\n") == canonical_body(body + b"\r\n")


@given(st.lists(pieces.filter(lambda piece: piece != b"\x0b")).map(b"".join))
def test_rfc6376_relaxed_header_is_dkimpys(value):
    """The same for any value of a header, folded or not."""
    value = value.replace(b"\r\n", b"\r\n ")
    ((name, expected),) = Relaxed.canonicalize_headers([(b"Subject \t", value)])

    assert name + b":" + expected == canonical_header(b"Subject \t:" + value) + b"\r\n"


# RFC 8463, appendix A: one message with two signatures, and the keys that made them.
RFC8463 = (
    b"DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;\r\n"
    b" d=football.example.com; i=@football.example.com;\r\n"
    b" q=dns/txt; s=brisbane; t=1528637909; h=from : to :\r\n"
    b" subject : date : message-id : from : subject : date;\r\n"
    b" bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n"
    b" b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus\r\n"
    b" Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==\r\n"
    b"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;\r\n"
    b" d=football.example.com; i=@football.example.com;\r\n"
    b" q=dns/txt; s=test; t=1528637909; h=from : to : subject :\r\n"
    b" date : message-id : from : subject : date;\r\n"
    b" bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n"
    b" b=F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3\r\n"
    b" DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2Jz\r\n"
    b" dA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8=\r\n"
    b"From: Joe SixPack <joe@football.example.com>\r\n"
    b"To: Suzie Q <suzie@shopping.example.net>\r\n"
    b"Subject: Is dinner ready?\r\n"
    b"Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r\n"
    b"Message-ID: <20030712040037.46341.5F8J@football.example.com>\r\n"
    b"\r\n"
    b"Hi.\r\n\r\nWe lost the game.  Are you hungry yet?\r\n\r\nJoe.\r\n"
)
RFC8463_ED = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
RFC8463_RSA = (
    "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQi"
    "Y/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZy"
    "VYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB"
)


def test_rfc8463_signatures_fit_what_we_would_sign():
    """Our relaxed form of the message of appendix A is what its two keys have signed."""
    fields, body = split(RFC8463)
    signatures = [field.raw for field in fields if field.name == b"dkim-signature"]
    named = {field.name: field.raw for field in fields}
    signed = [named[each] for each in (b"from", b"to", b"subject", b"date", b"message-id")]
    inputs, values = [], []
    for raw in signatures:
        start, _, value = raw.rpartition(b" b=")
        parts = [*map(canonical_header, signed), canonical_header(start + b" b=")]
        inputs.append(b"\r\n".join(parts))
        values.append(b64decode(value.replace(b"\r\n ", b"")))

    hashed = hashlib.sha256(canonical_body(body)).digest()
    assert b64decode("2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=") == hashed
    ed = ed25519.Ed25519PublicKey.from_public_bytes(b64decode(RFC8463_ED))
    ed.verify(values[0], hashlib.sha256(inputs[0]).digest())
    public = load_der_public_key(b64decode(RFC8463_RSA))
    assert isinstance(public, rsa.RSAPublicKey)
    public.verify(values[1], inputs[1], PKCS1v15(), SHA256())
    with pytest.raises(InvalidSignature):
        public.verify(values[1], inputs[0], PKCS1v15(), SHA256())
