"""Tokens: short names for a row that nobody can guess, each good for one purpose only."""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Iterable, Mapping
from typing import Final, Literal, get_args

from attrs import Attribute, define, field, frozen

from crmcore.errors import ConfigurationError, InputError, nearest

Purpose = Literal[
    "unsubscribe", "confirm", "preferences", "archive", "verp", "tracking", "open", "click"
]
PURPOSES: Final[tuple[Purpose, ...]] = get_args(Purpose)

LENGTH: Final = 26
"""Characters of a token in a link: 7 octets of id and 12 of HMAC in base64url, unpadded."""

LENGTH_IN_MAILBOX: Final = 31
"""Characters of the same in base32, as mail servers may write a mailbox's name in lower case."""

LONGEST_URL: Final = 70
"""Octets of a link in a header; Python's `email` encodes what is longer than 77, and breaks it."""

DAY: Final = 86_400_000_000
KEPT: Final = 731 * DAY
"""Microseconds for which a key is kept once another took its place: two years."""

_ID_OCTETS: Final = 7
_HIGHEST: Final = 256**_ID_OCTETS - 1
_MAC_OCTETS: Final = 12
_SIZE: Final = _ID_OCTETS + _MAC_OCTETS
_SHORTEST_SECRET: Final = 32  # octets; a key as long as the hash (RFC 2104, section 3)

_IN_LINK: Final = re.compile(rf"[A-Za-z0-9_-]{{{LENGTH}}}")
_IN_MAILBOX: Final = re.compile(rf"[A-Za-z2-7]{{{LENGTH_IN_MAILBOX}}}")
_BOUNCES: Final = "b+"


def _checked(value: object) -> bytes:
    # The secret itself is never repeated: it must not end in a log.
    if not isinstance(value, bytes):
        raise ConfigurationError(
            f"a token's key is of type {type(value).__name__}; random bytes are expected"
        )
    if len(value) < _SHORTEST_SECRET:
        raise ConfigurationError(
            f"a token's key has {len(value)} octets; at least {_SHORTEST_SECRET} random ones "
            "are expected"
        )
    return value


@frozen
class Key:
    """
    One secret that tokens are made with.

    Attributes:
        secret: At least 32 random octets.
        since: The instant from which tokens are made with it, in microseconds.
    """

    secret: bytes = field(repr=False, converter=_checked)
    since: int
    _of_purpose: Mapping[str, bytes] = field(init=False, eq=False, repr=False)

    @_of_purpose.default
    def _derived(self) -> Mapping[str, bytes]:
        # A key of its own for each purpose, so that no token is taken for another's.
        return {
            purpose: hmac.digest(self.secret, f"crmcore email_link {purpose}".encode(), "sha256")
            for purpose in PURPOSES
        }

    def mac(self, purpose: Purpose, packed: bytes) -> bytes:
        """Return the code that proves a packed id, and what it is bound to, for a purpose."""
        return hmac.digest(self._of_purpose[purpose], packed, "sha256")[:_MAC_OCTETS]


def _in_order(keys: Iterable[Key]) -> tuple[Key, ...]:
    return tuple(sorted(keys, key=lambda key: key.since))


def _are_keys(_: object, __: Attribute[tuple[Key, ...]], keys: tuple[Key, ...]) -> None:
    if not keys:
        raise ConfigurationError("the key ring is empty; one Key at least is expected")
    if len({key.since for key in keys}) < len(keys):
        raise ConfigurationError(
            "two keys of the ring begin at the same instant; one is expected for each"
        )


@frozen
class KeyRing:
    """
    The keys of a shop: the newest makes tokens, and those before it are honoured for two years.

    So a link outlives its message by far more than the 60 days that CASL asks for (RFC 8058 has
    no number).

    Attributes:
        keys: In order of their instants.
    """

    keys: tuple[Key, ...] = field(converter=_in_order, validator=_are_keys)

    def current(self, at: int) -> Key:
        """Return the key that makes tokens at an instant: the newest that has begun."""
        begun = [key for key in self.keys if key.since <= at]
        return begun[-1] if begun else self.keys[0]

    def honoured(self, at: int) -> tuple[Key, ...]:
        """
        Return the keys whose tokens are good at an instant, in order.

        One that has not begun is among them: a machine whose clock is ahead may use it already.
        """
        ends = [following.since + KEPT for following in self.keys[1:]]
        return (
            *(key for key, end in zip(self.keys, ends, strict=False) if at < end),
            self.keys[-1],
        )

    def rotated(self, secret: bytes, at: int) -> KeyRing:
        """Return a ring with a new key from an instant on, without those too old to be honoured."""
        if at <= self.keys[-1].since:
            raise InputError(
                f"a new key cannot begin at {at}; an instant after the last one's, "
                f"{self.keys[-1].since}, is expected"
            )
        return KeyRing((*self.honoured(at), Key(secret, at)))


@define
class Tokens:
    """
    Makes tokens and reads them.

    A token is an id and the proof that this shop made it for one purpose; nothing in it tells of
    a person, and it holds no end: whoever reads it looks at the row that it names.

    >>> tokens = Tokens(KeyRing([Key(bytes(32), since=0)]))
    >>> token = tokens.make("unsubscribe", 4711, at=0)
    >>> len(token), tokens.read("unsubscribe", token, at=0), tokens.read("confirm", token, at=0)
    (26, 4711, None)
    """

    ring: KeyRing

    def make(self, purpose: Purpose, id: int, *, at: int, bound: bytes = b"") -> str:
        """Return a token of 26 characters for a link; it is good with what it is bound to alone."""
        packed = self._packed(purpose, id, at, bound)
        return base64.urlsafe_b64encode(packed).decode().rstrip("=")

    def make_for_mailbox(self, purpose: Purpose, id: int, *, at: int, bound: bytes = b"") -> str:
        """Return the same in 31 characters that keep their meaning in lower case."""
        packed = self._packed(purpose, id, at, bound)
        return base64.b32encode(packed).decode().rstrip("=").lower()

    def read(self, purpose: Purpose, token: object, *, at: int, bound: bytes = b"") -> int | None:
        """
        Return the id in a token of either form; None if this shop did not make it for the purpose.

        What was tampered with, made for something else, or by a key too old gets the same answer.
        """
        check_purpose(purpose)
        packed = _unpacked(token)
        if packed is None:
            return None
        named, mac = packed[:_ID_OCTETS], packed[_ID_OCTETS:]
        is_good = False
        # All keys are tried, so that the time taken does not tell which of them it was.
        for key in self.ring.honoured(at):
            is_good |= hmac.compare_digest(key.mac(purpose, named + bound), mac)
        return int.from_bytes(named) if is_good else None

    def named(self, token: object) -> int | None:
        """
        Return the id that a token names, whoever made it; None: it is written as no token is.

        What is read of a row that it names says what the token is bound to; `read` judges it then.
        """
        packed = _unpacked(token)
        return None if packed is None else int.from_bytes(packed[:_ID_OCTETS])

    def return_path(self, id: int, domain: str, *, at: int, bound: bytes = b"") -> str:
        """Return the address that a message's bounces come back to (VERP)."""
        return f"{_BOUNCES}{self.make_for_mailbox('verp', id, at=at, bound=bound)}@{domain}"

    def read_return_path(self, address: str, *, at: int, bound: bytes = b"") -> int | None:
        """Return the id in an address that bounces came to, whatever its domain; None: not ours."""
        local = address.strip().strip("<>").rpartition("@")[0].strip('"')
        if not local.lower().startswith(_BOUNCES):
            return None
        return self.read("verp", local[len(_BOUNCES) :], at=at, bound=bound)

    def _packed(self, purpose: Purpose, id: int, at: int, bound: bytes = b"") -> bytes:
        check_purpose(purpose)
        if type(id) is not int or not 0 <= id <= _HIGHEST:
            raise InputError(
                f"a token cannot name {id!r}; a whole number from 0 to {_HIGHEST} is expected"
            )
        named = id.to_bytes(_ID_OCTETS)
        return named + self.ring.current(at).mac(purpose, named + bound)


def check_purpose(purpose: object) -> None:
    """Raise `InputError` if there is no such purpose: a misspelt one would never be honoured."""
    if purpose not in PURPOSES:
        raise InputError(
            f"a token's purpose is {purpose!r}{nearest(purpose, PURPOSES)}; one of "
            f"{', '.join(PURPOSES)} is expected"
        )


def link(base: str, token: str) -> str:
    """
    Return a base and a token as one link.

    Raises:
        ConfigurationError: If it is not https, or longer than a header carries unharmed.
    """
    url = base + token
    if not base.startswith("https://"):
        raise ConfigurationError(
            f"the links' base is {base!r}; one that begins with https:// is expected"
        )
    if not url.isascii() or len(url) > LONGEST_URL:
        raise ConfigurationError(
            f"the links' base {base!r} has {len(base.encode())} octets; at most "
            f"{LONGEST_URL - len(token)} ASCII ones are expected, such as 'https://shop.example/u/'"
        )
    return url


def _unpacked(token: object) -> bytes | None:
    """Return the octets of a token; None unless it is written in the one way we write it."""
    if not isinstance(token, str):
        return None
    try:
        if _IN_LINK.fullmatch(token):
            packed = base64.urlsafe_b64decode(f"{token}==")
            written = base64.urlsafe_b64encode(packed).decode().rstrip("=")
            return packed if written == token else None
        if _IN_MAILBOX.fullmatch(token):
            packed = base64.b32decode(f"{token}=", casefold=True)
            written = base64.b32encode(packed).decode().rstrip("=")
            return packed if written == token.upper() else None
    except binascii.Error:
        return None
    return None
