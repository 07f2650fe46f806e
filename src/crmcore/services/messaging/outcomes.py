"""Outcomes: what a channel answered, made fit to be written down."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

from crmcore.domain.message import Accepted, Deferred, Failed, Outcome, Unknown
from crmcore.services.faults import said_by, storable

LONGEST_WAIT: Final = 30 * 86_400.0
"""Seconds for which a message is put off at most, whatever the provider says."""

_LONGEST_TEXT: Final = 2_000


def checked(found: object, count: int) -> list[Outcome]:
    """
    Return a channel's answer, if it is one; what is no outcome says nothing of its message.

    Raises:
        TypeError: If it is no list of as many outcomes as there were messages: nobody can tell
            then which is about which.
    """
    if not isinstance(found, Sequence) or isinstance(found, str):
        raise TypeError(f"deliver_messages returned {found!r}, a list of outcomes expected")
    answers = list(found)
    if len(answers) != count:
        raise TypeError(
            f"deliver_messages returned {len(answers)} outcomes for {count} messages; one for "
            "each, in their order, is expected"
        )
    return [_mended(each) for each in answers]


def _mended(answer: object) -> Outcome:
    """Return an outcome that can be written; what cannot be mended is unknown, it alone."""
    try:
        match answer:
            case Accepted(reference):
                return Accepted(None if reference is None else _text(reference))
            case Deferred(reason, retry_after, counts):
                return Deferred(_text(reason), _seconds(retry_after), bool(counts))
            case Failed(reason, undeliverable):
                return Failed(_text(reason), bool(undeliverable))
            case Unknown(reason):
                return Unknown(_text(reason))
            case _:
                return Unknown(_text(f"the channel answered {answer!r}"))
    except Exception as error:
        said = f"the channel's answer cannot be read: {type(error).__name__}: {said_by(error)}"
        return Unknown(_text(said))


def _text(told: object) -> str:
    return storable(str(told))[:_LONGEST_TEXT]


def _seconds(wait: Any) -> float | None:
    """Return how long to wait; None where that is no number of seconds."""
    try:
        found = float(wait)
    except (TypeError, ValueError, OverflowError):
        return None
    return None if math.isnan(found) else min(max(found, 0.0), LONGEST_WAIT)
