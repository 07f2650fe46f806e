"""Timers: set and taken back in the transaction, claimed when they fall due."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import frozen
from sqlalchemy import ColumnElement, Select, bindparam, delete, exists, func, or_, select, update

from crmcore.domain.timer import CatchUp, Timer, skip_after
from crmcore.persistence.connection import Connection
from crmcore.persistence.customers import customer as known
from crmcore.persistence.portable import Portable, json_list
from crmcore.persistence.timers import NOBODY, timer
from crmcore.services.background.backoff import next_try, parked_at

AT_ONCE = 1000
"""The most timers that are fired together; the number changes no result."""

_key = (
    (timer.c.plugin == bindparam("owner"))
    & (timer.c.timer_key == bindparam("wanted"))
    & (timer.c.customer_id == bindparam("customer"))
)
_find = select(timer.c.due_at).where(_key)
_cancel = delete(timer).where(_key)
_waiting = (timer.c.plugin == bindparam("owner")) & timer.c.parked_at.is_(None)
_next = select(func.min(timer.c.run_at)).where(_waiting)
_unpark = (
    update(timer)
    .where(timer.c.parked_at.is_not(None))
    .values(parked_at=None, attempt=0, run_at=bindparam("now"))
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
_order = (timer.c.timer_key, timer.c.customer_id)
_in_batch = (
    _waiting
    & (timer.c.run_at == bindparam("at"))
    & (timer.c.due_at == bindparam("due"))
    & (timer.c.catch_up == bindparam("policy"))
)
_row = (timer.c.timer_key, timer.c.customer_id, timer.c.attempt, timer.c.skip_after)


@frozen(kw_only=True, order=True)
class TimerBatch:
    """
    Timers of one plugin that are to be tried at one instant, and are called together.

    Attributes:
        due: The instant they were set for.
        place: The plugin's in the order of plugins.
        of_customers: False for the timers of the whole shop.
        policy: How they catch up.
        at: The instant at which they are to be tried: later than *due* after a failure.
    """

    due: int
    place: int
    plugin: str
    of_customers: bool
    policy: CatchUp
    at: int


@frozen
class Claimed:
    """A timer that is this transaction's, and the instant after which it is to be skipped."""

    timer: Timer
    skip_after: int | None


def set_timer(
    connection: Connection,
    plugin: str,
    key: str,
    due: int,
    customer: int | None,
    *,
    catch_up: CatchUp,
    grace: int,
) -> None:
    """Set the timer, or set it anew."""
    statement = connection.database.once(
        "set timer", lambda: connection.database.portable.replace(timer)
    )
    late = skip_after(due, catch_up, grace)
    connection.insert_rows(
        statement, [(plugin, key, customer or NOBODY, due, due, 0, None, catch_up, late)]
    )


def set_timers(connection: Connection, plugin: str, key: str, dues: Mapping[int, int]) -> None:
    """Set a timer of one key for many customers, or set it anew."""
    statement = connection.database.once(
        "set timer", lambda: connection.database.portable.replace(timer)
    )
    connection.insert_rows(
        statement,
        [(plugin, key, each, due, due, 0, None, "late", None) for each, due in dues.items()],
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


def batches(connection: Connection, plugins: Iterable[str], at: int) -> list[TimerBatch]:
    """
    Return what is to be tried at *at*, in the order in which it is.

    What was due first comes first, then plugins in their order, the whole shop before customers.
    """
    statement = connection.database.once(
        "timer batches", lambda: _batches(connection.database.portable)
    )
    return sorted(
        TimerBatch(due=due, place=place, plugin=plugin, of_customers=not shop, policy=policy, at=at)
        for place, plugin in enumerate(plugins)
        for due, policy, shop in connection.execute(statement, owner=plugin, at=at)
    )


def claim(connection: Connection, batch: TimerBatch) -> Sequence[Claimed]:
    """
    Take a portion of a batch for this transaction: at most `AT_ONCE` timers.

    On PostgreSQL their customers are locked first, those whom another transaction has being left
    for another time; so are timers of the whole shop. The timers stay in the table: `take` takes
    them out.
    """
    database = connection.database
    values = {
        "owner": batch.plugin,
        "at": batch.at,
        "due": batch.due,
        "policy": batch.policy,
        "most": AT_ONCE,
    }
    if not batch.of_customers:
        of_shop = database.once("claim shop's timers", lambda: _claim_shop(database.portable))
        rows = connection.execute(of_shop, **values)
    elif database.portable.is_sqlite:
        rows = connection.execute(_claim_any, **values)
    else:
        lock = database.once("lock timers' customers", lambda: _lock(database.portable))
        theirs = database.once("claim timers", lambda: _claim_of(database.portable))
        customers = {row[0] for row in connection.execute(lock, **values)}
        # Read again under the lock: another transaction may have fired some, and have ended.
        rows = connection.execute(theirs, **values, customers=json_list(customers))
    return [
        Claimed(
            Timer(
                key=key,
                due_instant=batch.due,
                customer_id=owner or None,
                attempt=attempt,
                catch_up=batch.policy,
            ),
            late,
        )
        for key, owner, attempt, late in rows
    ]


def take(connection: Connection, plugin: str, timers: Iterable[Timer]) -> None:
    """Take claimed timers out of the table."""
    connection.change_many(_cancel, [_key_of(plugin, each) for each in timers])


def fail(connection: Connection, plugin: str, timers: Iterable[Timer], now: int) -> None:
    """Note a failed attempt: try again after a while, or park what has failed too often."""
    connection.change_many(
        _retry,
        [
            {
                **_key_of(plugin, each),
                "next_attempt": each.attempt + 1,
                "again": next_try(now, each.attempt),
                "parked": parked_at(now, each.attempt),
            }
            for each in timers
        ],
    )


def unpark(connection: Connection, now: int) -> None:
    """Let parked timers be tried again: whoever starts anew may have been mended."""
    connection.change(_unpark, now=now)


def count_parked(connection: Connection) -> dict[str, int]:
    """Return how many timers of each plugin have failed too often."""
    return dict(connection.execute(_parked))


def _key_of(plugin: str, each: Timer) -> dict[str, Any]:
    return {"owner": plugin, "wanted": each.key, "customer": each.customer_id or NOBODY}


def _of_shop(portable: Portable) -> ColumnElement[bool]:
    whole = timer.c.customer_id == NOBODY
    if portable.is_sqlite:
        return whole
    # A customer who is not there cannot be locked; nobody else's timers are to wait for that.
    return or_(whole, ~exists().where(known.c.customer_id == timer.c.customer_id))


def _batches(portable: Portable) -> Select[Any]:
    waiting = _waiting & (timer.c.run_at == bindparam("at"))
    shop = _of_shop(portable).label("shop")
    return select(timer.c.due_at, timer.c.catch_up, shop).where(waiting).distinct()


_claim_any = (
    select(*_row)
    .where(_in_batch, timer.c.customer_id != NOBODY)
    .order_by(*_order)
    .limit(bindparam("most"))
)


def _claim_shop(portable: Portable) -> Select[Any]:
    chosen = select(*_row).where(_in_batch, _of_shop(portable))
    chosen = chosen.order_by(*_order).limit(bindparam("most"))
    return portable.locked(chosen, of=timer, skip_locked=True)


def _lock(portable: Portable) -> Select[Any]:
    chosen = select(timer.c.customer_id).join(known, known.c.customer_id == timer.c.customer_id)
    chosen = chosen.where(_in_batch).order_by(*_order).limit(bindparam("most"))
    return portable.locked(chosen, of=known, skip_locked=True)


def _claim_of(portable: Portable) -> Select[Any]:
    chosen = select(*_row).where(_in_batch, portable.is_in(timer.c.customer_id, "customers"))
    return portable.locked(chosen.order_by(*_order).limit(bindparam("most")), of=timer)
