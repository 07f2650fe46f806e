"""Masks: what is shown of a personal value to who may not see it whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

HIDDEN: Final = "•••"
"""Stands for what is left out, always as long, so that it does not tell a length either."""

_FEWEST_LETTERS: Final = 4  # a shorter name would be half told by its first letter
_FEWEST_DIGITS: Final = 10  # of which four are shown: a million numbers look the same


def mask_email(value: str) -> str:
    """
    Return an address with the first letter of its mailbox, if that is long enough, and its host.

    >>> mask_email("ada.lovelace@example.com"), mask_email("al@example.com")
    ('a•••@example.com', '•••@example.com')
    """
    mailbox, at, host = value.rpartition("@")
    return f"{_first(mailbox)}@{host}" if at else HIDDEN


def mask_phone(value: str) -> str:
    """
    Return a number in international form with its first two and last two digits.

    >>> mask_phone("+4930123456"), mask_phone("+12345")
    ('+49•••56', '•••')
    """
    digits = value.removeprefix("+")
    if not (value.startswith("+") and digits.isdigit() and len(digits) >= _FEWEST_DIGITS):
        return HIDDEN
    return f"+{digits[:2]}{HIDDEN}{digits[-2:]}"


def mask_name(value: str) -> str:
    """
    Return a name's first letter, if it is long enough.

    >>> mask_name("Lovelace"), mask_name("Bo")
    ('L•••', '•••')
    """
    return _first(value)


def mask_all(value: str) -> str:
    """Return nothing of a value: free texts, tokens, and what nobody wrote a mask for."""
    return HIDDEN


def _first(word: str) -> str:
    enough = len(word) >= _FEWEST_LETTERS and word[0].isalpha()
    return f"{word[0]}{HIDDEN}" if enough else HIDDEN


MASKS: Final[Mapping[str, Callable[[str], str]]] = {
    "email": mask_email,
    "guest_email": mask_email,
    "phone": mask_phone,
    "guest_phone": mask_phone,
    "handle": mask_name,
    "name": mask_name,
}
"""By scheme; a scheme without one is hidden altogether."""


def masked(scheme: str, value: str) -> str:
    """Return what is shown of an identifier of that scheme."""
    mask = MASKS.get(scheme, mask_all)
    return mask(value)
