"""Backing off: what failed is tried again after a while that doubles each time."""

from __future__ import annotations

from typing import Final

from crmcore.domain.clock import SECOND

MOST_ATTEMPTS: Final = 8
FIRST_DELAY: Final = 60 * SECOND


def next_try(now: int, attempt: int) -> int:
    """Return when to try again what has failed *attempt* times before, and now once more."""
    return now + (FIRST_DELAY << min(attempt, MOST_ATTEMPTS - 1))


def parked_at(now: int, attempt: int) -> int | None:
    """Return *now* if what failed *attempt* times before, and once more, is given up; else None."""
    return now if attempt + 1 >= MOST_ATTEMPTS else None
