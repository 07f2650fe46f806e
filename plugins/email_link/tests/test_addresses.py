import unicodedata

import pytest
from crmcore_email_link.addresses import match_key, parse
from hypothesis import given
from hypothesis import strategies as st

from crmcore.errors import IdentifierError


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        ("Ada.Lovelace@Example.COM", "Ada.Lovelace@example.com"),
        ("  ada@example.com\n", "ada@example.com"),
        ("ada@BÜCHER.example", "ada@xn--bcher-kva.example"),
        ("ada@xn--BCHER-kva.example", "ada@xn--bcher-kva.example"),
        ("ada@bu\u0308cher.example", "ada@xn--bcher-kva.example"),
        ("ada@straße.example", "ada@xn--strae-oqa.example"),  # IDNA 2003 had strasse
        ("ada@例子.广告", "ada@xn--fsqu00a.xn--4rr70v"),
        ("e\u0301va@example.com", "éva@example.com"),
        ("Éva@example.com", "Éva@example.com"),
        ("Postmaster@example.com", "Postmaster@example.com"),
        ("a.d.a+shop@gmail.com", "a.d.a+shop@gmail.com"),
    ],
)
def test_e1_match_key(given_, expected):
    """NFC, the host as A-labels in lower case, and all else before the at sign as it was given."""
    assert expected == match_key(given_)


def test_e1_address_is_kept_as_it_was_given():
    """What somebody typed is there beside what is made of it."""
    found = parse(" Ada@BÜCHER.example ")

    assert (" Ada@BÜCHER.example ", "Ada", "xn--bcher-kva.example") == (
        found.given,
        found.local,
        found.domain,
    )


def test_e1_hint_is_advice_only():
    """Gmail's dots and what follows a plus are in the key, and left out of the hint."""
    one, other = parse("Ada.Love+shop@googlemail.com"), parse("adalove@gmail.com")

    assert one.match_key != other.match_key
    assert "adalove@gmail.com" == one.hint == other.hint
    assert "a.da@example.com" == parse("A.Da+x@example.com").hint
    assert "+x@example.com" == parse("+x@example.com").hint


@pytest.mark.parametrize("given_", ["ada@example.com", "用户@例子.广告", "éva@example.com"])
def test_e1_international_is_what_ascii_cannot_say(given_):
    """Only the part before the at sign makes an address need SMTPUTF8."""
    found = parse(given_)

    assert (not found.local.isascii()) == found.is_international
    assert found.domain.isascii()


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "ada",
        "ada@",
        "@example.com",
        "ada@example",
        "ada@@example.com",
        "ada b@example.com",
        "ada@exa mple.com",
        "ada@example..com",
        "ada.@example.com",
        "ada@-example.com",
        "ada@[127.0.0.1]",
        '"ada b"@example.com',
        "Ada <ada@example.com>",
        "ada@example.com\r\nBcc: all@example.com",
        "ada\r\n@example.com",
        "ada@localhost",
        "ada@shop.invalid",
        "a" * 65 + "@example.com",
        "ada@" + "x" * 64 + ".com",
        None,
        b"ada@example.com",
    ],
)
def test_e1_what_nothing_can_be_sent_to_is_refused(wrong):
    """The error names what was given."""
    with pytest.raises(IdentifierError, match="is not an email address") as caught:
        parse(wrong)
    assert repr(wrong) in str(caught.value)


def test_e1_nothing_is_looked_up(monkeypatch):
    """An address is parsed without a socket."""
    monkeypatch.setattr("socket.socket", None)
    monkeypatch.setattr("socket.getaddrinfo", None)

    assert "ada@no-such-host-anywhere.example" == match_key("ada@no-such-host-anywhere.example")


letters = st.characters(categories=["Ll", "Lo"], max_codepoint=0x3FF)
locals_ = st.text(letters | st.sampled_from("abcXYZ09-_"), min_size=1, max_size=20)
labels = st.text(st.sampled_from("abcdefghijklmnopqrstuvwxyzäöüéñø"), min_size=1, max_size=12)


@given(locals_, labels)
def test_e1_key_is_one_for_all_ways_to_write_an_address(local, label):
    """Decomposed or composed, host in capitals or as A-label, and the key itself: one key."""
    address = f"{local}@{label}.example"
    key = match_key(address)

    assert key == match_key(key)
    assert key == match_key(unicodedata.normalize("NFD", address))
    assert key == match_key(f"{local}@{label.upper()}.EXAMPLE")
    assert unicodedata.normalize("NFC", local) == key.rpartition("@")[0]
