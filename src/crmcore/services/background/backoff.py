"""Backing off: what failed is tried again after a while that doubles each time."""

from __future__ import annotations

from typing import Final

from crmcore.domain.clock import SECOND

MOST_ATTEMPTS: Final = 8
FIRST_DELAY: Final = 60 * SECOND
LONGEST_PAUSE: Final = 30 * 60 * SECOND
"""Between two looks at whether what nobody was asked to take can be asked for."""

_SHARE: Final = 8


def next_try(now: int, attempt: int) -> int:
    """Return when to try again what has failed *attempt* times before, and now once more."""
    return now + (FIRST_DELAY << min(attempt, MOST_ATTEMPTS - 1))


def next_ask(now: int, since: int) -> int:
    """
    Return when to ask again for what has waited since *since*, and nobody could be asked yet.

    The pause is an eighth of that time, from a minute to half an hour: so nothing arrives much
    later than it might have, and what is down for days is not asked thousands of times.
    """
    return now + min(max((now - since) // _SHARE, FIRST_DELAY), LONGEST_PAUSE)


def parked_at(now: int, attempt: int) -> int | None:
    """Return *now* if what failed *attempt* times before, and once more, is given up; else None."""
    return now if attempt + 1 >= MOST_ATTEMPTS else None
