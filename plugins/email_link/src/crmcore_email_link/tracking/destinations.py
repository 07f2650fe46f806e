"""
Destinations: links that lead by way of the shop, and nowhere but where it signed them to.

Where a link leads stands in it, as part of what is signed. It is not looked up by a place in the
message: what was rendered for somebody is kept nowhere, an erasure empties what is, and a link has
to work for years, though the message is gone or the database was restored from a backup.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from typing import Final

from attrs import field, frozen

from crmcore_email_link.links import PATHS, Links, bound
from crmcore_email_link.tokens import LENGTH

LONGEST: Final = 1500
"""Octets of where a link may lead that is wrapped; programs cut off what is much longer."""

MOST_LINKS: Final = 255
"""Of how many links of a mail each has a place of its own."""

# Octets that a header carries as they are. What else a browser takes for a link, such as one with
# letters beyond ASCII, would be written otherwise on its way, so it is left alone. A name with `@`
# or `\\` in it is taken for different hosts by different programs.
_WEB: Final = re.compile(
    r"https?://(?P<host>[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?)(?::[0-9]{1,5})?"
    r"(?:[/?#][\x21-\x7e]*)?",
    re.IGNORECASE,
)
_LABEL_ENDS: Final = re.compile(r"[?#]")
_LONGEST_LABEL: Final = 200
_HEAD: Final = 2 + len(bound(0))  # octets before where it leads


def _lowered(domains: Iterable[str]) -> frozenset[str]:
    return frozenset(each.lower() for each in domains)


@frozen
class Destination:
    """
    Where a link that was followed leads.

    Attributes:
        message_id: In which message it stood.
        place: Which of its links it is, from 1 on.
        links: How many it has.
        stamp: What the message's tokens are bound to: after a restore its id may be another's.
        url: Where it leads.
    """

    message_id: int
    place: int
    links: int
    stamp: bytes
    url: str

    @property
    def label(self) -> str:
        """What it is called in counts: without query and fragment, which may tell of a person."""
        return label_of(self.url)


def label_of(url: str) -> str:
    """
    Return what a link is called in counts.

    >>> label_of("https://shop.example/tea?customer=4711#top")
    'https://shop.example/tea'
    """
    return _LABEL_ENDS.split(url, 1)[0][:_LONGEST_LABEL]


@frozen
class Destinations:
    """
    Makes links that lead by way of the shop, and reads them.

    Attributes:
        links: Makes the tokens, and knows where the pages are.
        domains: To which links may lead, with all below them; others are left as they are. Else
            who writes an address where his name is asked for would get a link of the shop's to it.
    """

    links: Links
    domains: frozenset[str] = field(converter=_lowered)

    def may_wrap(self, url: str) -> bool:
        """Return whether a link is one to wrap: to the web, to a domain known, and none of ours."""
        found = _WEB.fullmatch(url) if len(url) <= LONGEST else None
        if found is None or url.startswith(self.links.base):
            return False
        host = found["host"].lower()
        return any(host == each or host.endswith(f".{each}") for each in self.domains)

    def wrap(self, message_id: int, place: int, links: int, url: str, at: int) -> str:
        """Return the link that leads there by way of the shop."""
        packed = bytes((place, links)) + bound(at) + url.encode("ascii")
        token = self.links.tokens.make("click", message_id, at=at, bound=packed)
        return f"{self.links.base}{PATHS['click']}{token}/{_written(packed)}"

    def unwrap(self, path: str, at: int) -> Destination | None:
        """Return where the rest of a link leads, behind its letter; None: it is none of ours."""
        token, _, written = path.partition("/")
        packed = _read(written)
        if packed is None or len(token) != LENGTH:
            return None
        number = self.links.tokens.read("click", token, at=at, bound=packed)
        if number is None:
            return None
        url = packed[_HEAD:].decode("ascii")
        return Destination(number, packed[0], packed[1], packed[2:_HEAD], url)


def _written(packed: bytes) -> str:
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def _read(written: str) -> bytes | None:
    """Return the octets that stand behind a token; None unless they are written as we write."""
    try:
        packed = base64.urlsafe_b64decode(written + "=" * (-len(written) % 4))
    except (binascii.Error, ValueError):
        return None
    return packed if len(packed) > _HEAD and _written(packed) == written else None
