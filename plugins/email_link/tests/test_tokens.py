import base64
import hashlib
import hmac
import string

import pytest
from crmcore_email_link.tokens import (
    KEPT,
    LENGTH,
    LENGTH_IN_MAILBOX,
    LONGEST_URL,
    PURPOSES,
    Key,
    KeyRing,
    Tokens,
    link,
)
from hypothesis import given
from hypothesis import strategies as st

from crmcore.errors import ConfigurationError, InputError

DAY = 86_400_000_000
NOW = 20_000 * DAY

SECRET = bytes(range(32))
ids = st.integers(0, 2**56 - 1)
purposes = st.sampled_from(PURPOSES)


def ring(*days):
    """A ring whose keys began on these days, each with a secret of its own."""
    return KeyRing([Key(hashlib.sha256(str(day).encode()).digest(), day * DAY) for day in days])


@pytest.fixture
def tokens():
    return Tokens(KeyRing([Key(SECRET, 0)]))


def test_e10_token_is_26_characters_and_no_id_or_url_needs_more(tokens):
    """The highest id has a token as long as the lowest, and any host of 29 letters fits a link."""
    base = "https://shop-" + "x" * 16 + ".example.com/u/"

    for id in (0, 1, 2**56 - 1):
        token = tokens.make("unsubscribe", id, at=NOW)
        assert LENGTH == len(token) == 26
        assert set(token) <= set(string.ascii_letters + string.digits + "-_")
    assert LONGEST_URL == 70 >= len(link(base[:44], token))


@given(ids, purposes, st.sampled_from(["make", "make_for_mailbox"]))
def test_e10_token_names_the_id_it_was_made_for(id, purpose, way):
    """Both forms are read back, and only for their own purpose."""
    tokens = Tokens(KeyRing([Key(SECRET, 0)]))
    token = getattr(tokens, way)(purpose, id, at=NOW)

    found = {each: tokens.read(each, token, at=NOW) for each in PURPOSES}

    assert {each: id if each == purpose else None for each in PURPOSES} == found


def test_e10_token_is_the_id_and_twelve_octets_of_hmac(tokens):
    """It is what RFC 2104 gives with a key of its own for the purpose, and holds nothing else."""
    key = hmac.new(SECRET, b"crmcore email_link confirm", hashlib.sha256).digest()
    named = (4711).to_bytes(7, "big")
    expected = named + hmac.new(key, named, hashlib.sha256).digest()[:12]

    token = tokens.make("confirm", 4711, at=NOW)

    assert expected == base64.urlsafe_b64decode(token + "==")
    assert token == tokens.make("confirm", 4711, at=NOW + DAY)


@given(ids, st.integers(0, 18), st.integers(1, 255))
def test_e10_token_with_a_bit_changed_is_refused(id, place, change):
    """No octet of it can be other than it was made."""
    tokens = Tokens(KeyRing([Key(SECRET, 0)]))
    packed = bytearray(base64.urlsafe_b64decode(tokens.make("unsubscribe", id, at=NOW) + "=="))
    packed[place] ^= change

    forged = base64.urlsafe_b64encode(packed).decode().rstrip("=")

    assert tokens.read("unsubscribe", forged, at=NOW) is None


def test_e10_token_is_good_in_one_spelling_only(tokens):
    """The bits of the last character that mean nothing have to be nought."""
    token = tokens.make("unsubscribe", 1, at=NOW)
    same = [
        token[:-1] + last
        for last in string.ascii_letters + string.digits
        if base64.urlsafe_b64decode(token[:-1] + last + "==")
        == base64.urlsafe_b64decode(token + "==")
    ]

    good = [each for each in same if tokens.read("unsubscribe", each, at=NOW) == 1]

    assert 16 == len(same)
    assert [token] == good


@given(st.text(max_size=40) | st.binary(max_size=40) | st.none() | st.integers())
def test_e10_anything_else_is_no_token(value):
    """What nobody made is refused without an error, whatever it is."""
    assert Tokens(KeyRing([Key(SECRET, 0)])).read("unsubscribe", value, at=NOW) is None


def test_e10_another_shops_token_is_refused(tokens):
    """A token made with another secret is not ours."""
    other = Tokens(KeyRing([Key(bytes(32), 0)]))

    assert tokens.read("unsubscribe", other.make("unsubscribe", 1, at=NOW), at=NOW) is None


def test_e10_keys_are_honoured_for_two_years_after_the_next_took_over():
    """A key makes no token once the next has begun, and its tokens are good for two years more."""
    tokens = Tokens(ring(0, 100))
    old = tokens.make("unsubscribe", 7, at=99 * DAY)
    new = tokens.make("unsubscribe", 7, at=100 * DAY)

    assert old != new
    assert 731 * DAY == KEPT
    assert tokens.read("unsubscribe", old, at=100 * DAY + KEPT - 1) == 7
    assert tokens.read("unsubscribe", old, at=100 * DAY + KEPT) is None
    assert tokens.read("unsubscribe", new, at=10_000 * DAY) == 7


def test_e10_rotation_keeps_what_is_honoured_and_drops_the_rest():
    """A ring that is rotated each quarter holds the keys of two years, and the new one."""
    found = ring(0)
    for quarter in range(1, 40):
        found = found.rotated(bytes([quarter]) * 32, quarter * 91 * DAY)

    begins = [key.since // DAY for key in found.keys]

    last = 39 * 91
    first = min(day for day in range(0, last, 91) if day + 91 + 731 > last)
    assert list(range(first, last + 1, 91)) == begins
    with pytest.raises(InputError, match="an instant after the last one's"):
        found.rotated(SECRET, last * DAY)


def test_e10_a_clock_that_is_behind_reads_what_one_ahead_has_made():
    """A key that has not begun here is honoured, as it may have begun elsewhere."""
    tokens = Tokens(ring(0, 100))
    ahead = tokens.make("confirm", 5, at=100 * DAY)

    assert tokens.read("confirm", ahead, at=99 * DAY) == 5
    assert Tokens(ring(100)).make("confirm", 5, at=0) == ahead


def test_e10_a_key_is_in_no_text_of_it():
    """What is printed, logged or raised does not hold the secret."""
    key = Key(SECRET, 0)

    assert repr(SECRET)[2:-1] not in repr(KeyRing([key]))
    with pytest.raises(ConfigurationError, match="has 5 octets; at least 32") as caught:
        Key(b"short", 0)
    assert "short" not in str(caught.value)
    with pytest.raises(ConfigurationError, match="is of type str") as caught:
        Key("secret-in-text" * 4, 0)
    assert "secret-in-text" not in str(caught.value)


def test_e10_what_cannot_be_named_is_refused(tokens):
    """An id out of range, a purpose nobody has, an empty ring and equal instants say why."""
    for id in (-1, 2**56, "1", True):
        with pytest.raises(InputError, match="a whole number from 0"):
            tokens.make("confirm", id, at=NOW)
    with pytest.raises(InputError, match="did you mean 'unsubscribe'"):
        tokens.make("unsubscrib", 1, at=NOW)
    with pytest.raises(InputError, match="did you mean 'archive'"):
        tokens.read("archives", "x", at=NOW)
    with pytest.raises(ConfigurationError, match="one Key at least"):
        KeyRing([])
    with pytest.raises(ConfigurationError, match="begin at the same instant"):
        ring(1, 1)


def test_e10_a_link_that_headers_would_break_is_refused(tokens):
    """The base must leave room for the token in 70 octets, be https, and ASCII."""
    token = tokens.make("unsubscribe", 1, at=NOW)
    base = "https://" + "x" * 30 + ".test/"

    assert 70 == len(link(base, token))
    with pytest.raises(ConfigurationError, match="at most 44 ASCII ones"):
        link("https://" + "x" * 31 + ".test/", token)
    with pytest.raises(ConfigurationError, match="begins with https://"):
        link("http://shop.example/u/", token)
    with pytest.raises(ConfigurationError, match="ASCII"):
        link("https://bücher.example/u/", token)


def test_e17_return_path_survives_servers_that_change_its_case(tokens):
    """Bounces are found by their address, whatever case it comes back in and whatever its host."""
    path = tokens.return_path(4711, "bounces.shop.example", at=NOW)
    local, host = path.split("@")

    assert ("bounces.shop.example", 2 + LENGTH_IN_MAILBOX) == (host, len(local))
    assert local == local.lower()
    for written in (path, path.upper(), f"<{path}>", f" {local}@mx.other.example ", f'"{local}"@x'):
        assert tokens.read_return_path(written, at=NOW) == 4711


def test_e17_return_path_is_not_guessed(tokens):
    """An address that is not ours, or was made for something else, names nothing."""
    other = tokens.make_for_mailbox("unsubscribe", 4711, at=NOW)

    for written in (f"b+{other}@x", "b+@x", "", "@", "b+", "ada@example.com", f"c+{other}@x"):
        assert tokens.read_return_path(written, at=NOW) is None
