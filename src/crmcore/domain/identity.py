"""Identity: the names a customer is known by, each in its scheme."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from typing import Final

from attrs import frozen

from crmcore.errors import IdentifierError, nearest


@frozen
class Identifier:
    """One name of a customer, such as the email `ada@example.com`; *value* is normalised."""

    scheme: str
    value: str

    def __str__(self) -> str:
        return f"{self.scheme}:{self.value}"


def _opaque(value: str) -> str:
    return unicodedata.normalize("NFC", value).strip()


def _email(value: str) -> str:
    # Mailbox names are compared without case by every large provider, though RFC 5321 (2.4)
    # would allow them to differ; two customers who differ only in case are one person.
    text = unicodedata.normalize("NFC", value).strip()
    local, at, host = text.rpartition("@")
    if not (at and local and host) or any(c.isspace() for c in text):
        raise IdentifierError(f"{value!r} is not an email address; name@host is expected")
    if len(text) > 254:  # RFC 5321, 4.5.3.1.3, less the angle brackets
        raise IdentifierError(f"an email address of {len(text)} characters is too long (254)")
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
    return f"{local.casefold()}@{host.casefold()}"


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


SCHEMES: Final[dict[str, Callable[[str], str]]] = {
    "account": _opaque,
    "card": _opaque,
    "cookie": _opaque,
    "email": _email,
    "handle": _opaque,
    "phone": _phone,
}
"""Normaliser of each scheme. `card` is a token from the payment provider, never a card number."""


def normalise(scheme: str, value: str) -> Identifier:
    """
    Return the identifier as it is stored and compared.

    Raises:
        IdentifierError: If the scheme is unknown, or the value is not one of it.
    """
    normaliser = SCHEMES.get(scheme)
    if normaliser is None:
        hint = nearest(scheme, SCHEMES)
        raise IdentifierError(
            f"unknown identifier scheme {scheme!r}{hint}; known: {', '.join(SCHEMES)}"
        )
    if not isinstance(value, str):
        raise IdentifierError(f"{scheme} {value!r} is not text")
    normal = normaliser(value)
    if not normal:
        raise IdentifierError(f"the {scheme} identifier is empty")
    return Identifier(scheme, normal)


def parse_identifier(text: str) -> Identifier:
    """Return the identifier written as `scheme:value`, such as `account:00042`."""
    scheme, colon, value = text.partition(":")
    if not colon:
        guess = "email" if "@" in text else "account"
        raise IdentifierError(
            f"{text!r} does not say its scheme; write scheme:value, such as {guess}:{text}"
        )
    return normalise(scheme, value)
