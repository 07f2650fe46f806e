"""The envelope: a mail's bytes, from whom and to whom it goes, and who can carry it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, Protocol

from attrs import field, frozen

from crmcore import Outcome
from crmcore.errors import InputError

_LONGEST_ADDRESS: Final = 254  # RFC 5321, 4.5.3.1.3, less the brackets
_LONGEST_ENVID: Final = 100  # RFC 3461, 4.4
_UNFIT: Final = re.compile(r"[\x00-\x20\x7f<>]")


@frozen(kw_only=True)
class Envelope:
    """
    One mail to one recipient, as it is handed over.

    One recipient only: who is refused, and why, is then about nobody else, and no recipient sees
    another (RFC 5321, 3.3).

    Attributes:
        raw: The mail, signed and with CRLF throughout.
        mail_from: The return path, such as `b+token@bounce.example.com`; empty: none at all.
        rcpt_to: Whom it is for, such as `ada@example.com`.
        idempotency_key: By which a provider knows it again: the same in every attempt.
        envid: What a delivery report is to call it (RFC 3461); None: nothing.
        campaign: Of those with mail for one destination, campaigns take turns.
    """

    raw: bytes = field(repr=False)
    mail_from: str
    rcpt_to: str
    idempotency_key: str
    envid: str | None = None
    campaign: str = ""

    def __attrs_post_init__(self) -> None:
        """Refuse what would not be one mail from one address to another."""
        _check_address("mail_from", self.mail_from, may_be_empty=True)
        _check_address("rcpt_to", self.rcpt_to)
        breaks = self.raw.count(b"\r\n")
        if self.raw.count(b"\n") != breaks or self.raw.count(b"\r") != breaks:
            # Two servers that read it differently can be made to see two mails (RFC 5321, 2.3.8).
            raise InputError("the mail has a bare CR or LF; every line is expected to end in CRLF")
        if not self.raw:
            raise InputError("the mail is empty; a header and a body are expected")
        envid = self.envid
        if envid is not None and not (envid.isascii() and 0 < len(envid) <= _LONGEST_ENVID):
            raise InputError(
                f"envid is {envid!r}; 1 to {_LONGEST_ENVID} characters of ASCII are expected"
            )

    @property
    def domain(self) -> str:
        """The recipient's domain, in lower case."""
        return self.rcpt_to.rpartition("@")[2].lower()


class Transport(Protocol):
    """
    Whoever carries mails.

    Attributes:
        idempotent: Whether it knows a mail again by its key, so that one whose fate is unknown can
            be handed over again.
    """

    @property
    def idempotent(self) -> bool: ...

    def send(self, envelopes: Sequence[Envelope]) -> Sequence[Outcome]:
        """Hand them over, and return one outcome for each, in their order."""

    def close(self) -> None:
        """Give back what it holds, such as connections; it can be used again."""


def _check_address(name: str, address: str, *, may_be_empty: bool = False) -> None:
    if not address and may_be_empty:
        return
    local, _, domain = address.rpartition("@")
    if _UNFIT.search(address) or not local or not domain:
        raise InputError(f"{name} is {address!r}; an address such as ada@example.com is expected")
    if len(address.encode()) > _LONGEST_ADDRESS:
        raise InputError(
            f"{name} has {len(address.encode())} octets; {_LONGEST_ADDRESS} at most are expected"
        )
