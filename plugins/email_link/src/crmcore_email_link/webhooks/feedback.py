"""Feedback: what a provider tells of a mail afterwards, whoever the provider is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal, Protocol

from attrs import field, frozen

from crmcore.errors import InputError
from crmcore_email_link.transports.replies import NOBODY_THERE

Kind = Literal[
    "delivered",
    "hard",
    "soft",
    "block",
    "complaint",
    "unsubscribed",
    "opened",
    "clicked",
    "deferred",
    "unknown",
]
"""
`hard`: nobody is there; `soft`: not delivered, for another reason of theirs; `block`: refused for a
reason of ours or of the provider's, which never ends an address; `unknown`: of no kind known here.
"""

# The later in this row stands, whatever comes after it: what was refused is not delivered any more.
_RANKS: Final = {
    kind: rank
    for rank, kind in enumerate(
        "unknown deferred delivered opened clicked soft block hard unsubscribed complaint".split()
    )
}
_UNSPECIFIC: Final = frozenset({"5.0.0", "5.1.0", "5.5.0"})
_STATUS: Final = re.compile(r"(?<![\d.])([245]\.\d{1,3}\.\d{1,3})(?![\d.]\d)")
_OURS: Final = re.compile(
    r"\b(spam\w*|block(ed|list\w*)|black ?list\w*|deny ?list\w*|rbl|dnsbl|policy|reputation|"
    r"spf|dkim|dmarc|unauthenticated|rate limit\w*|listed)\b",
    re.I,
)
_SECOND: Final = 1_000_000
_SHOWN: Final = 80

Headers = Mapping[str, str]


class FeedbackRefusedError(InputError):
    """What came is not from the provider, is too old, or cannot be read."""


@frozen(kw_only=True)
class Feedback:
    """
    One thing that a provider tells of one mail to one recipient.

    Attributes:
        provider: Who tells it, such as `ses`.
        event_id: By which it is known again when it is told twice.
        kind: What happened.
        reference: The provider's name for the mail, as `Accepted` had it.
        message_id: The mail's `Message-ID`, without brackets, where the provider repeats it.
        token: The envelope's `envid`, where the provider repeats it.
        recipient: To whom it went, as the provider writes it.
        reason: In words, where there are any.
        status: The enhanced status, such as `5.1.1`.
        at: When it happened, in microseconds.
        raw: All that was told of it, as JSON.
    """

    provider: str
    event_id: str
    kind: Kind
    reference: str | None
    message_id: str | None = None
    token: str | None = None
    recipient: str | None = None
    reason: str | None = None
    status: str | None = None
    at: int
    raw: str = field(repr=False)

    @property
    def subject(self) -> tuple[str, str, str]:
        """Of which mail to whom it tells: feedback with an equal one belongs together."""
        return self.provider, self.reference or self.token or "", (self.recipient or "").lower()

    @property
    def rank(self) -> tuple[int, int, str]:
        """
        Its place among feedback of one subject: the highest stands, in any order of arrival.

        So a `delivered` that comes, or happened, after a bounce does not revive the address.
        """
        return _RANKS[self.kind], self.at, self.event_id


class Webhook(Protocol):
    """Who verifies and reads what one provider sends."""

    def receive(self, body: bytes, headers: Headers, *, now: int) -> Sequence[Feedback]:
        """
        Return what a request tells, having made sure that it is the provider's.

        Args:
            body: The request's, as it came.
            headers: The request's, with names in any case.
            now: The present instant, in microseconds.

        Raises:
            FeedbackRefusedError: If it is not signed, too old or from the future, or unreadable.
        """


def standing(feedback: Iterable[Feedback]) -> Mapping[tuple[str, str, str], Feedback]:
    """Return by subject what stands, whatever the order, and however often each is told."""
    found: dict[tuple[str, str, str], Feedback] = {}
    for each in feedback:
        known = found.get(each.subject)
        if known is None or each.rank > known.rank:
            found[each.subject] = each
    return found


def bounce_kind(status: str | None, said: str | None, *, is_permanent: bool) -> Kind:
    """
    Return what kind of bounce it is; a code, where there is one, is believed before words.

    Only a code that says so, or the provider's own word that it is permanent where nothing speaks
    of spam or policy, makes it `hard`.
    """
    if status in NOBODY_THERE:
        return "hard"
    if status is not None and status[1:].startswith(".7."):
        return "block"
    if status is None or status in _UNSPECIFIC:
        if _OURS.search(said or ""):
            return "block"
        return "hard" if is_permanent else "soft"
    return "soft"


def status_in(*texts: object) -> str | None:
    """Return the first enhanced status that stands in one of *texts*."""
    for each in texts:
        found = _STATUS.search(each) if isinstance(each, str) else None
        if found is not None:
            return found[1]
    return None


def header(headers: Headers, name: str) -> str:
    """Return a header; empty, if there is none."""
    wanted = name.lower()
    return next((value for key, value in headers.items() if key.lower() == wanted), "")


def check_window(at: int, now: int, seconds: float, what: str) -> None:
    """Raise `FeedbackRefusedError` if *at* is too long ago, or ahead."""
    away = (now - at) / _SECOND
    if abs(away) > seconds:
        raise FeedbackRefusedError(
            f"{what} is of {abs(away):.0f} s {'ago' if away > 0 else 'ahead'}; "
            f"at most {seconds:.0f} s are expected"
        )


def read_json(body: bytes | str) -> Any:
    """Return what JSON says; raises `FeedbackRefusedError` if it is none."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        shown = body[:_SHOWN]
        raise FeedbackRefusedError(f"what came is no JSON: {shown!r}") from error


def as_mapping(found: object) -> Mapping[str, Any]:
    """Return *found* if it is a mapping, and an empty one if not."""
    return found if isinstance(found, dict) else {}


def as_list(found: object) -> Sequence[Any]:
    """Return *found* if it is a list, and an empty one if not."""
    return found if isinstance(found, list) else []


def as_text(found: object) -> str | None:
    """Return *found* if it is text that says something."""
    return found if isinstance(found, str) and found else None


def as_instant(found: object) -> int | None:
    """Return an instant in microseconds: from seconds since 1970, or ISO 8601 with its zone."""
    try:
        if isinstance(found, int | float) and not isinstance(found, bool):
            return round(found * _SECOND)
        if isinstance(found, str):
            # Some write more digits of a second than a microsecond has.
            moment = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", found.strip()))
            return round(moment.timestamp() * _SECOND) if moment.tzinfo is not None else None
    except (ValueError, OverflowError):
        pass
    return None


def bare(message_id: object) -> str | None:
    """Return a `Message-ID` without its brackets."""
    return message_id.strip().strip("<>") or None if isinstance(message_id, str) else None


def to_raw(found: object) -> str:
    """Return what was told of one event, to be stored."""
    return json.dumps(found, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
