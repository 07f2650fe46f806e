"""Portions: work that is done in transactions of its own, a part at a time."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Final, Protocol, TypeVar

from attrs import frozen

from crmcore.errors import RetryTransaction
from crmcore.persistence.database import Database
from crmcore.services.unit import Unit

T = TypeVar("T")

CONSISTENT: Final = "REPEATABLE READ"
"""The isolation of what looks at all customers: it sees one state of them."""

_RETRIES: Final = 3


class Begin(Protocol):
    """What opens a transaction of its own."""

    def __call__(self, *, isolation: str | None = None) -> AbstractContextManager[Unit]: ...


@frozen(kw_only=True)
class Portion:
    """
    A part of the work that has been done, and committed.

    Attributes:
        work: What it was: `stages`, `timers`, `debts` or the name of an `after_` hook.
        plugin: Whose it was; None for the core's own.
        done: For how many it was done: customers, timers or interactions.
        failed: For how many of them, besides those, the plugin raised.
        due: The instant it fell due at, in microseconds; None for what is always due.
    """

    work: str
    plugin: str | None = None
    done: int = 0
    failed: int = 0
    due: int | None = None


def retried(database: Database, work: Callable[[], T]) -> T | None:
    """
    Do *work*, a whole transaction, again where another one stood in its way.

    Returns None where that goes on: others are at it, so it is left for the next time. On SQLite
    it is raised, as a transaction there has waited long enough.
    """
    for number in range(_RETRIES + 1):
        try:
            return work()
        except RetryTransaction:
            if database.portable.is_sqlite:
                raise
            # Those who stood in each other's way should not meet again at once.
            time.sleep(random.uniform(0, 0.02 * 2**number))
    return None
