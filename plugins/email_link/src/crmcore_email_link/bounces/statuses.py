"""Statuses: what an enhanced status code or an SMTP reply code says by itself."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from crmcore_email_link.bounces.report import Kind


class Status(NamedTuple):
    """What a code means: `*` stands for any number."""

    code: str
    kind: Kind
    source: str


# The first that fits decides. Those that say too little to decide are not in it.
_PERMANENT: Final = (
    Status("5.1.1", "hard", "RFC 3463, 3.2: bad destination mailbox address"),
    Status("5.1.2", "hard", "RFC 3463, 3.2: bad destination system address"),
    Status("5.1.3", "hard", "RFC 3463, 3.2: bad destination mailbox address syntax"),
    Status("5.1.6", "hard", "RFC 3463, 3.2: mailbox has moved, no forwarding address"),
    Status("5.1.7", "block", "RFC 3463, 3.2: bad sender's mailbox address syntax"),
    Status("5.1.8", "block", "RFC 3463, 3.2: bad sender's system address"),
    Status("5.1.10", "hard", "RFC 7505, 4.2: recipient address has null MX"),
    Status("5.4.310", "hard", "Exchange Online: the recipient's domain does not exist"),
    Status("5.6.*", "block", "RFC 3463, 3.7: message content"),
    Status("5.7.17", "hard", "RFC 7293, 11.3: mailbox owner has changed"),
    Status("5.7.18", "hard", "RFC 7293, 11.3: domain owner has changed"),
    Status("5.7.27", "block", "RFC 7505, 4.2: sender address has null MX"),
    Status("5.7.*", "block", "RFC 3463, 3.8: security or policy"),
)
_TRANSIENT: Final = (
    Status("4.7.*", "block", "RFC 3463, 3.8: security or policy"),
    Status("4.6.*", "block", "RFC 3463, 3.7: message content"),
    Status("4.*.*", "soft", "RFC 3463, 2: persistent transient failure"),
)
_OTHERWISE: Final = (
    Status("5.2.*", "soft", "RFC 3463, 3.3: mailbox status"),
    Status("5.3.*", "soft", "RFC 3463, 3.4: mail system status"),
    Status("5.4.*", "soft", "RFC 3463, 3.5: network and routing status"),
    Status("5.5.*", "soft", "RFC 3463, 3.6: mail delivery protocol status"),
    Status("5.*.*", "soft", "RFC 3463, 2: permanent failure of an unsaid kind"),
)
_REPLIES: Final = (
    # 521, 551 and 556 by themselves say nothing: block lists and authentication give them as well.
    Status("4**", "soft", "RFC 5321, 4.2.1: transient negative completion"),
    Status("5**", "soft", "RFC 5321, 4.2.1: permanent negative completion of an unsaid kind"),
)

_ENHANCED: Final = re.compile(r"(?<![\d.])[245]\.\d{1,3}\.\d{1,3}(?![\d.]*\d)")
# 550 must not be read out of an address, a size, a time or `554.30`.
_REPLY: Final = re.compile(r"(?<![\d.:\[(/#=-])[245][0-5]\d(?=[- ]|$|\.\s)")


def enhanced_in(text: str) -> str | None:
    """Return the first enhanced status code in what a server said, or None."""
    found = _ENHANCED.search(text)
    return found[0] if found else None


def reply_in(text: str) -> str | None:
    """Return the first SMTP reply code in what a server said, or None."""
    found = _REPLY.search(text)
    return found[0] if found else None


def is_transient(*codes: str | None) -> bool:
    """Tell whether the first code that is known says that trying again may help."""
    return next((code.startswith("4") for code in codes if code), False)


def may_be_hard(code: str | None) -> bool:
    """Tell whether a code leaves room for a missing address: it says so, or says nothing much."""
    vague_codes = ("5.0.0", "5.1.0", "5.2.0", "5.3.0", "5.5.0")
    found = clear(code)
    return code is None or code in vague_codes or (found is not None and found.kind == "hard")


def clear(code: str | None) -> Status | None:
    """Return what an enhanced status code says, if that is clear; else None."""
    return _find((*_PERMANENT, *_TRANSIENT), code)


def vague(code: str | None) -> Status | None:
    """Return what a code says at least; None: it is no code of a failure."""
    return _find(_OTHERWISE, code)


def of_reply(code: str | None) -> Status | None:
    """Return what an SMTP reply code says by itself; None: it is no failure."""
    return _find(_REPLIES, code)


def _find(table: tuple[Status, ...], code: str | None) -> Status | None:
    """Return the first row that fits *code*."""
    if code is None:
        return None
    return next((row for row in table if _fits(row.code, code)), None)


def _fits(pattern: str, code: str) -> bool:
    """Tell whether a code is what a pattern stands for."""
    if "." not in pattern:
        return pattern[0] == code[0] and (pattern.endswith("**") or pattern == code)
    pairs = zip(pattern.split("."), code.split("."), strict=False)
    return "." in code and all(wanted in ("*", found) for wanted, found in pairs)
