"""Timers: set and taken back in the transaction, claimed when they fall due."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from sqlalchemy import bindparam, delete, func, select, update

from crmcore.domain.timer import Timer
from crmcore.persistence.connection import Connection
from crmcore.persistence.timers import NOBODY, timer

MOST_ATTEMPTS: Final = 8
_FIRST_DELAY: Final = 60_000_000  # a minute; it doubles with every attempt

_key = (
    (timer.c.plugin == bindparam("owner"))
    & (timer.c.timer_key == bindparam("wanted"))
    & (timer.c.customer_id == bindparam("customer"))
)
_find = select(timer.c.due_at).where(_key)
_cancel = delete(timer).where(_key)
_waiting = (timer.c.plugin == bindparam("owner")) & timer.c.parked_at.is_(None)
_next = select(func.min(timer.c.run_at)).where(_waiting)
_due = select(timer.c.due_at).where(_waiting, timer.c.run_at <= bindparam("now")).distinct()
_unpark = (
    update(timer)
    .where(timer.c.parked_at.is_not(None))
    .values(parked_at=None, attempt=0, run_at=bindparam("now"))
)
_claim = (
    select(timer.c.timer_key, timer.c.customer_id, timer.c.attempt)
    .where(
        timer.c.plugin == bindparam("owner"),
        timer.c.due_at == bindparam("due"),
        timer.c.run_at <= bindparam("now"),
        timer.c.parked_at.is_(None),
    )
    .order_by(timer.c.timer_key, timer.c.customer_id)
)
_retry = (
    update(timer)
    .where(_key)
    .values(
        attempt=bindparam("next_attempt"), run_at=bindparam("again"), parked_at=bindparam("parked")
    )
)
_parked = (
    select(timer.c.plugin, func.count())
    .where(timer.c.parked_at.is_not(None))
    .group_by(timer.c.plugin)
)


def set_timer(
    connection: Connection, plugin: str, key: str, due: int, customer: int | None
) -> None:
    """Set the timer, or set it anew."""
    statement = connection.database.once(
        "set timer", lambda: connection.database.portable.replace(timer)
    )
    connection.insert_rows(
        statement, [(plugin, key, customer or NOBODY, due, due, 0, None, "late", None)]
    )


def cancel_timer(connection: Connection, plugin: str, key: str, customer: int | None) -> None:
    connection.change(_cancel, owner=plugin, wanted=key, customer=customer or NOBODY)


def find_timer(connection: Connection, plugin: str, key: str, customer: int | None) -> int | None:
    """Return when the timer is due, or None."""
    rows = connection.execute(_find, owner=plugin, wanted=key, customer=customer or NOBODY)
    return rows[0][0] if rows else None


def next_run(connection: Connection, plugins: Iterable[str]) -> int | None:
    """Return when the next timer of one of *plugins* is to be tried; None if none is waiting."""
    # One look into the index for each plugin. Timers of plugins that are not there wait.
    runs = [connection.execute(_next, owner=plugin)[0][0] for plugin in plugins]
    return min((run_at for run_at in runs if run_at is not None), default=None)


def due_batches(connection: Connection, plugins: Iterable[str], now: int) -> list[tuple[int, str]]:
    """Return for what instants which of *plugins* have timers to be tried by *now*."""
    return [
        (due, plugin)
        for plugin in plugins
        for (due,) in connection.execute(_due, owner=plugin, now=now)
    ]


def claim(connection: Connection, plugin: str, due: int, now: int) -> Sequence[Timer]:
    """Take one plugin's timers of one instant out of the table."""
    rows = connection.execute(_claim, owner=plugin, due=due, now=now)
    for key, customer, _ in rows:
        connection.change(_cancel, owner=plugin, wanted=key, customer=customer)
    return [
        Timer(key=key, due_instant=due, customer_id=customer or None, attempt=attempt)
        for key, customer, attempt in rows
    ]


def fail(connection: Connection, plugin: str, due: int, now: int) -> None:
    """Note a failed attempt: try again after a while, or park what has failed too often."""
    for key, customer, attempt in connection.execute(_claim, owner=plugin, due=due, now=now):
        connection.change(
            _retry,
            owner=plugin,
            wanted=key,
            customer=customer,
            next_attempt=attempt + 1,
            again=now + _FIRST_DELAY * 2**attempt,
            parked=now if attempt + 1 >= MOST_ATTEMPTS else None,
        )


def unpark(connection: Connection, now: int) -> None:
    """Let parked timers be tried again: whoever starts anew may have been mended."""
    connection.change(_unpark, now=now)


def count_parked(connection: Connection) -> dict[str, int]:
    """Return how many timers of each plugin have failed too often."""
    return dict(connection.execute(_parked))
