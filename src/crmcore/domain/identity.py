"""Identity: the names a customer is known by, each in its scheme."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from attrs import evolve, field, frozen

from crmcore.errors import ConfigurationError, IdentifierError, nearest


@frozen
class Identifier:
    """
    One name of a customer, such as the email `ada@example.com`; *value* is normalised.

    Attributes:
        scheme: Of what sort, such as `email`, `phone` or `account`.
        value: As it is stored and compared: normalised.
    """

    scheme: str
    value: str

    def __str__(self) -> str:
        return f"{self.scheme}:{self.value}"


Known = int | Identifier
"""A customer, by id or by an identifier."""

# What forms and shop systems write where nothing is known; Segment blocks the first three, too.
NOBODY: Final = (
    r"[0-]*",
    r"-1",
    r"null|none|nil|nan|n/?a|undefined",
    r"anonymous|guest|unknown|nobody",
)


def _never(value: str) -> bool:
    return False


@frozen(kw_only=True)
class Scheme:
    """
    A way of naming customers, such as email.

    Attributes:
        name: Such as `email`.
        normalise: Returns a value as it is stored and compared, or raises `IdentifierError`.
        is_normal: Returns whether a value certainly is in that form, at a quick look.
        rank: The lowest decides, where identifiers of one interaction belong to several customers.
        limit: How many of it one customer has at most; one more is a sign of somebody else.
        shared: Whether several people may have the same, as with a device: it never ties two.
        blocked: Patterns of values that name nobody, compared as a whole and without case.
        guest_of: The scheme whose value it is as long as nobody has proved that it is theirs.
    """

    name: str = field(kw_only=False)
    normalise: Callable[[str], str]
    is_normal: Callable[[str], bool] = _never
    rank: int = 60
    limit: int | None = None
    shared: bool = False
    blocked: tuple[str, ...] = NOBODY
    guest_of: str | None = None
    _blocks: re.Pattern[str] = field(init=False, eq=False, repr=False)

    @_blocks.default
    def _compiled(self) -> re.Pattern[str]:
        return re.compile("|".join(f"(?:{each})" for each in self.blocked) or r"\b\B", re.I)

    def blocks(self, value: str) -> bool:
        """Return whether the value names nobody."""
        return self._blocks.fullmatch(value) is not None


def _opaque(value: str) -> str:
    return unicodedata.normalize("NFC", value).strip()


def _handle(value: str) -> str:
    folded = _opaque(value).removeprefix("@").casefold()
    return unicodedata.normalize("NFC", folded)


def _card(value: str) -> str:
    text = _opaque(value)
    digits = re.sub(r"[ -]", "", text)
    if digits.isascii() and digits.isdigit() and 13 <= len(digits) <= 19 and _passes_luhn(digits):
        # The value is not repeated: it must not end in a log either.
        raise IdentifierError(
            "the card identifier looks like a card's own number; a token from the payment "
            "provider is expected, never the number"
        )
    return text


def _passes_luhn(digits: str) -> bool:
    """Return whether the last digit is the check digit of ISO/IEC 7812-1, annex B."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        number = int(digit) * (1 + place % 2)
        total += number - 9 if number > 9 else number
    return total % 10 == 0


def _email(value: str) -> str:
    # Mailbox names are compared without case by every large provider, though RFC 5321 (2.4)
    # would allow them to differ; two customers who differ only in case are one person.
    text = unicodedata.normalize("NFC", value).strip()
    local, at, host = text.rpartition("@")
    if not (at and local and host) or "@" in local or any(c.isspace() for c in text):
        raise IdentifierError(f"{value!r} is not an email address; name@host is expected")
    if not text.isprintable() or "" in host.removesuffix(".").split("."):
        raise IdentifierError(f"{value!r} is not an email address; name@host is expected")
    if len(text) > 254:  # RFC 5321, 4.5.3.1.3, less the angle brackets
        raise IdentifierError(f"an email address of {len(text)} characters is too long (254)")
    host = host.removesuffix(".")
    if not host.isascii():
        try:
            import idna  # an extra: only shops with international hosts need it
        except ImportError as error:
            raise IdentifierError(
                f"{value!r} has an international host; install crmcore[idn] to accept it"
            ) from error
        try:
            host = idna.encode(host, uts46=True).decode()
        except idna.IDNAError as error:
            raise IdentifierError(f"{value!r} has a host that is not valid: {error}") from error
    local = unicodedata.normalize("NFC", local.casefold())
    return f"{local}@{host.casefold()}"


def _phone(value: str) -> str:
    try:
        import phonenumbers  # an extra: 30 MB of numbering plans
    except ImportError as error:
        raise IdentifierError(
            "phone numbers need crmcore[phone]; nothing is stored unnormalised"
        ) from error
    try:
        number = phonenumbers.parse(value, None)
    except phonenumbers.NumberParseException as error:
        raise IdentifierError(
            f"{value!r} is not a phone number in international form, such as +4930123456"
        ) from error
    if not phonenumbers.is_possible_number(number):
        raise IdentifierError(f"{value!r} is not a possible phone number")
    return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))


# Quick looks at what comes in its normal form, as nearly everything does when it is recorded.
_ATOM: Final = r"[!-\-/-?\[-`a-~]+"  # what is printed in ASCII, but capitals, @ and the dot
_EMAIL: Final = re.compile(rf"[!-?\[-`a-~]+@{_ATOM}(?:\.{_ATOM})*")
_E164: Final = re.compile(r"\+[1-9][0-9]{6,14}")


def _is_opaque(value: str) -> bool:
    return value.isascii() and value == value.strip() != ""


def _is_email(value: str) -> bool:
    return len(value) <= 254 and _EMAIL.fullmatch(value) is not None


def _is_e164(value: str) -> bool:
    return _E164.fullmatch(value) is not None


_NO_MAILBOX: Final = (
    r"(?:test|null|none|nil|nan|undefined|anonymous|guest|unknown|nobody|no-?reply)@.*",
)
_NO_PHONE: Final = (r"\+?[0-]*", r"\+\d{1,3}(\d)\1{6,}")

SCHEMES: Final[Mapping[str, Scheme]] = {
    scheme.name: scheme
    for scheme in (
        Scheme("account", normalise=_opaque, is_normal=_is_opaque, rank=10, limit=1),
        Scheme("card", normalise=_card, rank=40),
        Scheme("cookie", normalise=_opaque, is_normal=_is_opaque, rank=90, shared=True),
        Scheme("email", normalise=_email, is_normal=_is_email, rank=20, blocked=_NO_MAILBOX),
        Scheme(
            "guest_email",
            normalise=_email,
            is_normal=_is_email,
            rank=70,
            blocked=_NO_MAILBOX,
            guest_of="email",
        ),
        Scheme(
            "guest_phone",
            normalise=_phone,
            is_normal=_is_e164,
            rank=80,
            blocked=_NO_PHONE,
            guest_of="phone",
        ),
        Scheme("handle", normalise=_handle, rank=50),
        Scheme("phone", normalise=_phone, is_normal=_is_e164, rank=30, blocked=_NO_PHONE),
    )
}
"""The core's schemes. `card` is a token from the payment provider, never a card number."""


@frozen(kw_only=True)
class IdentitySettings:
    """
    `[identity]` in crm.toml: how customers are told from each other.

    Attributes:
        blocked: Identifiers that name nobody, such as `email:info@shop.example`.
        merge_on: Schemes that are proof enough: two customers who were named together by
            identifiers of these schemes alone are merged without anybody being asked.
        limits: By scheme: how many identifiers of it one customer has at most, 1 or more.
    """

    blocked: list[str] = field(factory=list)
    merge_on: list[str] = field(factory=list)
    limits: dict[str, int] = field(factory=dict)


class SchemeRegistry:
    """The schemes of one application, with what its settings say of them."""

    def __init__(
        self, contributed: Iterable[Scheme] = (), settings: IdentitySettings | None = None
    ) -> None:
        """
        Take the core's schemes, and those that plugins contributed.

        Raises:
            ConfigurationError: If a setting names no scheme, or is not right otherwise.
        """
        self._schemes = {**SCHEMES, **{scheme.name: scheme for scheme in contributed}}
        settings = settings or IdentitySettings()
        for name, limit in settings.limits.items():
            if limit < 1:
                raise ConfigurationError(f"limits.{name} is {limit}; 1 or more is expected")
            self._schemes[name] = evolve(self._configured("limits", name), limit=limit)
        self.merge_on = frozenset(
            self._configured("merge_on", name).name for name in settings.merge_on
        )
        self._blocked = frozenset(self._blocked_name(text) for text in settings.blocked)

    def __iter__(self) -> Iterator[Scheme]:
        return iter(sorted(self._schemes.values(), key=lambda each: (each.rank, each.name)))

    def __contains__(self, name: object) -> bool:
        return name in self._schemes

    def __getitem__(self, name: str) -> Scheme:
        found = self._schemes.get(name)
        if found is None:
            raise unknown_scheme(name, self._schemes)
        return found

    def normalise(self, scheme: str, value: str) -> Identifier:
        """Return the identifier as it is stored and compared; see `normalise`."""
        return _normalised(self[scheme], value)

    def normalised(self, identifier: Identifier) -> Identifier:
        """Return an identifier in its scheme's form, whoever made it."""
        return self.normalise(identifier.scheme, identifier.value)

    def names(self, identifiers: Iterable[Identifier]) -> tuple[tuple[str, str], ...]:
        """
        Return what can be looked up, the one that decides first; blocked ones are left out.

        Raises:
            IdentifierError: If there is no such scheme, or a value is not right.
        """
        kept = []
        for each in identifiers:
            scheme = self._schemes.get(each.scheme)
            if scheme is None:
                raise unknown_scheme(each.scheme, self._schemes)
            value = each.value
            if not scheme.is_normal(value):
                value = _normalised(scheme, value).value
            name = each.scheme, value
            if not scheme.blocks(value) and name not in self._blocked:
                kept.append(name)
        if len(kept) < 2:
            return tuple(kept)
        # Those of one rank keep the order in which they were given.
        return tuple(sorted(dict.fromkeys(kept), key=lambda name: self._schemes[name[0]].rank))

    def _configured(self, setting: str, name: str) -> Scheme:
        try:
            return self[name]
        except IdentifierError as error:
            raise ConfigurationError(f"{setting}: {error}") from error

    def _blocked_name(self, text: str) -> tuple[str, str]:
        scheme, _, value = text.partition(":")
        if not value:
            raise ConfigurationError(
                f"blocked: {text!r} is no identifier; scheme:value, such as "
                "email:info@shop.example, is expected"
            )
        try:
            return scheme, self.normalise(scheme, value).value
        except IdentifierError as error:
            raise ConfigurationError(f"blocked: {error}") from error


def unknown_scheme(scheme: str, known: Iterable[str]) -> IdentifierError:
    known = list(known)
    return IdentifierError(
        f"unknown identifier scheme {scheme!r}{nearest(scheme, known)}; known: {', '.join(known)}"
    )


def _normalised(scheme: Scheme, value: str) -> Identifier:
    if not isinstance(value, str):
        raise IdentifierError(f"{scheme.name} {value!r} is not text")
    normal = scheme.normalise(value)
    if not normal:
        raise IdentifierError(f"the {scheme.name} identifier is empty")
    return Identifier(scheme.name, normal)


def normalise(scheme: str, value: str) -> Identifier:
    """
    Return the identifier of one of the core's schemes as it is stored and compared.

    Raises:
        IdentifierError: If the scheme is unknown, or the value is not one of it.
    """
    found = SCHEMES.get(scheme)
    if found is None:
        raise unknown_scheme(scheme, SCHEMES)
    return _normalised(found, value)


def parse_identifier(text: str) -> Identifier:
    """Return the identifier written as `scheme:value`, such as `account:00042`."""
    scheme, colon, value = text.partition(":")
    if not colon:
        guess = "email" if "@" in text else "account"
        raise IdentifierError(
            f"{text!r} does not say its scheme; write scheme:value, such as {guess}:{text}"
        )
    return normalise(scheme, value)
