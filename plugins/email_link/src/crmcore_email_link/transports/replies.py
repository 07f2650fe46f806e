"""Replies: what an SMTP server says, and what that means for a mail."""

from __future__ import annotations

import re
from typing import Final

from attrs import frozen

from crmcore import Deferred, Failed, Outcome

NOBODY_THERE: Final = frozenset({"5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10"})
"""
The enhanced codes by which the address itself is at fault (RFC 3463, 3.2; RFC 7505, 4.2).

A code of policy or reputation, 5.7.x, is about us: it never says that somebody is not there.
"""

# About whoever sends and not about the mail: it is worth trying again once that is mended.
_OF_THE_ACCOUNT: Final = frozenset({530, 534, 535, 538})
_UNAVAILABLE: Final = 421
_LOCAL_ERROR: Final = 451
_LONGEST: Final = 500  # characters of a reply that are kept
_LONGEST_WAIT: Final = 86_400.0
_ENHANCED: Final = re.compile(r"([245]\.\d{1,3}\.\d{1,3})(?!\d|\.\d)")
_WAIT: Final = re.compile(r"\b(?:in|after|for)\s+(\d{1,6})\s*(s|m|h)(?:ec|in|ours?\b|r)?", re.I)
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600}


@frozen
class Reply:
    """
    What a server answered to one command.

    Attributes:
        code: Of three digits.
        text: The rest of its lines, as they came.
    """

    code: int
    text: str

    @property
    def enhanced(self) -> str | None:
        """The enhanced code, such as `5.1.1` (RFC 3463), where it begins with one."""
        found = _ENHANCED.match(self.text)
        return found[1] if found else None

    @property
    def is_slowing(self) -> bool:
        """Whether whoever sends is asked to slow down (RFC 5321, 3.8; RFC 3463, 3.8)."""
        if self.code == _LOCAL_ERROR:
            return (self.enhanced or "").startswith("4.7.")
        return self.code == _UNAVAILABLE

    @property
    def retry_after(self) -> float | None:
        """Seconds after which to come again, where it says so in words."""
        found = _WAIT.search(self.text)
        if found is None:
            return None
        return min(float(found[1]) * _SECONDS[found[2].lower()], _LONGEST_WAIT) or None

    def __str__(self) -> str:
        return f"{self.code} {self.text}"[:_LONGEST].rstrip()


def refusal(host: str, step: str, reply: Reply, *, of_recipient: bool) -> Outcome:
    """
    Return what it means for a mail that a server did not say yes.

    Args:
        host: Whose answer it is.
        step: What it was the answer to, such as `RCPT`.
        reply: The answer; it is kept word for word.
        of_recipient: Whether the step is about the recipient, so that the address can be at fault.
    """
    reason = f"{host} answered {reply} (to {step})"
    if 500 <= reply.code < 600 and reply.code not in _OF_THE_ACCOUNT:
        return Failed(reason, undeliverable=of_recipient and reply.enhanced in NOBODY_THERE)
    return Deferred(reason, reply.retry_after, counts=reply.code not in _OF_THE_ACCOUNT)
