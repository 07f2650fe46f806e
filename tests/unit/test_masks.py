"""Masks: what is shown of personal values does not tell them."""

from __future__ import annotations

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmcore.domain import mask
from crmcore.domain.identity import SCHEMES
from crmcore.domain.mask import HIDDEN, MASKS, masked

LETTERS = st.characters(categories=("Ll", "Lu", "Lo"))
DIGITS = st.text("0123456789", min_size=1, max_size=15)


@pytest.mark.parametrize(
    ("scheme", "value", "expected"),
    [
        ("email", "ada.lovelace@example.com", "a•••@example.com"),
        ("guest_email", "bobby@example.com", "b•••@example.com"),
        ("email", "bo@example.com", "•••@example.com"),
        ("email", "a@example.com", "•••@example.com"),
        ("email", "ada@x@example.com", "a•••@example.com"),
        ("email", "nothing", "•••"),
        ("phone", "+4930123456", "+49•••56"),
        ("guest_phone", "+12025550123", "+12•••23"),
        ("phone", "+493012345", "•••"),
        ("phone", "4930123456", "•••"),
        ("handle", "lovelace", "l•••"),
        ("handle", "ada", "•••"),
        ("name", "Lovelace", "L•••"),
        ("name", "Bo", "•••"),
        ("card", "tok_12345678", "•••"),
        ("account", "1042", "•••"),
        ("cookie", "f00ba2", "•••"),
        ("loyalty", "998877", "•••"),
    ],
)
def test_examples(scheme, value, expected):
    """Little is shown of what is long enough, nothing of what is short, or of no known form."""
    assert expected == masked(scheme, value)


@given(first=LETTERS, one=st.text(LETTERS, min_size=3), other=st.text(LETTERS, min_size=3))
def test_what_begins_alike_looks_alike(first, one, other):
    """A mask says how nothing goes on, and not for how long: all that begin alike look alike."""
    for scheme in ("handle", "name"):
        assert masked(scheme, first + one) == masked(scheme, first + other)
    for scheme in ("email", "guest_email"):
        address, another = (f"{first}{rest}@example.com" for rest in (one, other))
        assert masked(scheme, address) == masked(scheme, another)


@given(
    value=st.text(st.characters(exclude_characters="@"), max_size=3),
    scheme=st.sampled_from(sorted({*SCHEMES, *MASKS, "loyalty"})),
)
def test_short_values_are_hidden(value, scheme):
    """Of three characters or fewer none is shown, whatever they are."""
    assert HIDDEN == masked(scheme, value)


@given(host=st.sampled_from(("x.de", "example.com")), mailbox=st.text(LETTERS, max_size=3))
def test_short_mailboxes_are_hidden(host, mailbox):
    """Of a short mailbox only the host is shown."""
    assert f"{HIDDEN}@{host}" == masked("email", f"{mailbox}@{host}")


@given(digits=DIGITS)
def test_numbers_keep_a_million_alike(digits):
    """Six digits or more of a number are hidden: as many as a million have the same mask."""
    shown = [c for c in masked("phone", f"+{digits}") if c.isdigit()]

    assert len(shown) <= 4
    assert not shown or len(digits) - len(shown) >= 6


@given(value=st.text(min_size=1), scheme=st.sampled_from(sorted({*SCHEMES} - {*MASKS})))
def test_what_has_no_mask_is_hidden(value, scheme):
    """Accounts, tokens, devices, and what plugins bring are hidden altogether."""
    assert HIDDEN == masked(scheme, value)


def test_documentation():
    """The examples in the module are true."""
    assert 0 == doctest.testmod(mask).failed
