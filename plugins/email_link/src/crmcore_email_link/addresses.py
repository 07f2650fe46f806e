"""Addresses: one as it was given, the key by which it is known again, and what it may equal."""

from __future__ import annotations

import unicodedata
from typing import Final

from attrs import frozen

from crmcore.errors import IdentifierError

_DOTS_MEAN_NOTHING: Final = frozenset({"gmail.com", "googlemail.com"})


@frozen(kw_only=True)
class Address:
    """
    An address that a message can be sent to.

    Attributes:
        given: As somebody wrote it.
        local: What stands before the at sign, in NFC and in the case it was given in: only the
            host that it belongs to may say that two of them are one (RFC 5321, section 2.4).
        domain: What stands after it, in lower case and as A-labels (IDNA 2008, RFC 5891).
    """

    given: str
    local: str
    domain: str

    @property
    def match_key(self) -> str:
        """What it is known by: equal for two ways to write one address, and never for two."""
        return f"{self.local}@{self.domain}"

    @property
    def is_international(self) -> bool:
        """Whether only a server that offers SMTPUTF8 can take it (RFC 6531)."""
        return not self.local.isascii()

    @property
    def hint(self) -> str:
        """
        What it shares with addresses that *may* be the same person's: advice, and never a key.

        Case and what follows a plus are left out; at Gmail the dots are, too.
        """
        local = unicodedata.normalize("NFC", self.local.casefold())
        local = local.partition("+")[0] or local
        domain = self.domain
        if domain in _DOTS_MEAN_NOTHING:
            local, domain = local.replace(".", ""), "gmail.com"
        return f"{local}@{domain}"


def parse(given: str) -> Address:
    """
    Return an address that was typed by somebody; nothing is looked up in the DNS.

    Quoted names and hosts given as numbers are refused though RFC 5322 knows them: no customer
    has one, and few servers take them.

    Raises:
        IdentifierError: If nothing could be sent there; says why.

    >>> parse("Ada.Lovelace@BÜCHER.example").match_key
    'Ada.Lovelace@xn--bcher-kva.example'
    """
    # It takes 20 ms to import, and a process that only sends does not need it.
    from email_validator import EmailNotValidError, validate_email

    if not isinstance(given, str):
        raise IdentifierError(f"{given!r} is not an email address; text is expected")
    text = given.strip()
    try:
        found = validate_email(
            text,
            allow_smtputf8=True,
            allow_empty_local=False,
            allow_quoted_local=False,
            allow_domain_literal=False,
            allow_display_name=False,
            strict=True,
            check_deliverability=False,
            test_environment=False,
            globally_deliverable=True,
        )
    except EmailNotValidError as error:
        raise IdentifierError(f"{given!r} is not an email address: {error}") from error
    # Its own form of the local part puts some names in lower case (RFC 2142); ours keeps all.
    local = unicodedata.normalize("NFC", found.original.rpartition("@")[0])
    return Address(given=given, local=local, domain=found.ascii_domain.lower())


def match_key(given: str) -> str:
    """Return what an address is known by; raises `IdentifierError` if it is none."""
    return parse(given).match_key
