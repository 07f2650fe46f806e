"""Bounce reports: what came back for a mail, for whom, and which words decided it."""

from __future__ import annotations

from typing import Final, Literal, get_args

from attrs import frozen

Kind = Literal["hard", "soft", "block", "auto_reply", "delayed", "delivered", "unknown"]
"""
What came back: the address is gone for good (`hard`) or does not work for now (`soft`); the mail
was refused for what we are or what it says, not for whom it is (`block`); somebody's machine
answered (`auto_reply`); the mail is still on its way (`delayed`) or has arrived (`delivered`); or
it cannot be said (`unknown`).
"""

KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

Origin = Literal["report", "header", "text"]
"""Where an address was read: a field of a report, a header of the bounce, or mere words."""


@frozen(kw_only=True)
class Evidence:
    """
    What decided.

    Attributes:
        rule: The rule, such as `no such user`.
        source: Where the rule comes from, such as `RFC 3463, 3.2`.
        part: In which part of the mail, such as `Diagnostic-Code of recipient 1`.
        words: The words found there, as they were compared: in lower case, without addresses.
    """

    rule: str
    source: str
    part: str
    words: str


@frozen(kw_only=True)
class BouncedRecipient:
    """
    What became of the mail to one recipient.

    Attributes:
        kind: What it is.
        address: Whom the mail was for, as far as the bounce says; None: it does not.
        origin: Where the address was read. Anybody can write a bounce, so that no address in it
            decides whom to suppress: the token or the Message-ID of a mail that we sent does.
        status: The enhanced status code as it was written, such as `5.1.1`; None: there is none.
        diagnostic: What the refusing server said, unfolded; empty: nothing.
        action: As reported (RFC 3464, 2.3.3), in lower case, such as `failed`; None: not reported.
        evidence: What decided about this recipient.
    """

    kind: Kind
    address: str | None = None
    origin: Origin | None = None
    status: str | None = None
    diagnostic: str = ""
    action: str | None = None
    evidence: tuple[Evidence, ...] = ()


@frozen(kw_only=True)
class BounceReport:
    """
    What a mail that came back says.

    Attributes:
        kind: Of all recipients: that of the one whom it is worst for.
        recipients: One for each that the mail tells of, in its order; none for an auto-reply.
        message_id: The Message-ID of the mail that came back, without its angle brackets.
        token: The token in the return path (`b+TOKEN@`) that the bounce was sent to or that the
            returned part names; not verified here, and nothing before it is.
        envelope_id: The ENVID that we gave with the mail (RFC 3461, 4.4), if it came back.
        evidence: What decided, first what decided most.
    """

    kind: Kind
    recipients: tuple[BouncedRecipient, ...] = ()
    message_id: str | None = None
    token: str | None = None
    envelope_id: str | None = None
    evidence: tuple[Evidence, ...] = ()
