"""Timers: instants at which a plugin wants to be called."""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal, get_args

from attrs import frozen

from crmcore.domain.clock import SECOND, to_datetime
from crmcore.errors import InputError, nearest

HOUR: Final = 3_600 * SECOND
"""Microseconds in an hour."""

CatchUp = Literal["late", "skip", "merge"]
"""
What becomes of a timer that nobody fired when it was due.

`late`: it is acted upon, for each missed instant, however late. `merge`: what one key missed is
one call. `skip`: who is later than the grace is not acted upon, only set again.
"""


@frozen(kw_only=True)
class Timer:
    """
    One timer, unique by plugin, key and customer; `customer_id` is None for the whole shop's.

    Attributes:
        key: What it is for, among the plugin's timers.
        due_instant: When it is due, in microseconds.
        customer_id: Whose it is; None: the whole shop's.
        attempt: How often acting on it has failed.
        catch_up: What becomes of it if nobody acts on it in time.
    """

    key: str
    due_instant: int
    customer_id: int | None = None
    attempt: int = 0
    catch_up: CatchUp = "late"

    @property
    def due_at(self) -> datetime:
        """When it is due, in UTC."""
        return to_datetime(self.due_instant)


def skip_after(due: int, catch_up: str, grace: int) -> int | None:
    """
    Return the instant after which a timer is skipped; None for one that never is.

    Raises:
        InputError: If there is no such policy, or the grace is negative.
    """
    policies = get_args(CatchUp)
    if catch_up not in policies:
        raise InputError(
            f"catch_up is {catch_up!r}{nearest(str(catch_up), policies)}; one of "
            f"{', '.join(map(repr, policies))} is expected"
        )
    if grace < 0:
        raise InputError(f"the grace is {grace} microseconds; none or more are expected")
    return due + grace if catch_up == "skip" else None
