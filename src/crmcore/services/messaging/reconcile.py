"""Reconciling: whether messages, broadcasts and the attempts at them fit together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from attrs import frozen
from sqlalchemy import and_, bindparam, case, func, or_, select

from crmcore.domain.clock import SECOND
from crmcore.persistence.connection import Connection
from crmcore.persistence.customers import customer
from crmcore.persistence.messages import attempt, broadcast, message
from crmcore.services.messaging.broadcasts import PAUSED
from crmcore.services.starting.assembly import Assembly

LATE: Final = 3600 * SECOND
"""After which time a lease that has ended should have been noticed by some worker."""

_MOST: Final = 100  # of one sort; the others would say the same

_m = message.c
_a = attempt.c
_sums = (
    select(
        broadcast.c.plugin,
        broadcast.c.message_key,
        broadcast.c.audience,
        func.count(_m.message_id),
    )
    .select_from(broadcast)
    .join(
        message,
        and_(_m.plugin == broadcast.c.plugin, _m.message_key == broadcast.c.message_key),
        isouter=True,
    )
    .group_by(broadcast.c.plugin, broadcast.c.message_key, broadcast.c.audience)
    .having(func.count(_m.message_id) != broadcast.c.audience)
    .order_by(broadcast.c.plugin, broadcast.c.message_key)
)
_last = (
    select(_a.message_id, func.max(_a.attempt).label("attempt")).group_by(_a.message_id).subquery()
)
_OUTCOMES: Final = ("accepted", "failed", "unknown")
_by_outcome = (
    select(_m.message_id, _m.customer_id, _m.message_key, _m.state, _a.attempt, _a.outcome)
    .select_from(message)
    .join(_last, _last.c.message_id == _m.message_id, isouter=True)
    .join(
        attempt,
        and_(_a.message_id == _m.message_id, _a.attempt == _last.c.attempt),
        isouter=True,
    )
    .where(
        or_(
            # Handed over, or taken: there is an attempt that says so.
            and_(_m.state == "accepted", _a.outcome.is_distinct_from("accepted")),
            and_(_m.state == "handed", or_(_a.attempt.is_(None), _a.outcome.is_not(None))),
            and_(_m.state == "unknown", _a.attempt.is_(None)),
            # And the other way round.
            and_(_a.outcome == "accepted", _m.state != "accepted"),
            and_(_a.attempt.is_not(None), _a.outcome.is_(None), _m.state != "handed"),
        )
    )
    .order_by(_m.message_id)
    .limit(_MOST)
)
_strangers = (
    select(_a.message_id, _a.attempt, _a.customer_id, _m.customer_id)
    .select_from(attempt)
    .join(message, _m.message_id == _a.message_id, isouter=True)
    .where(or_(_m.message_id.is_(None), _m.customer_id != _a.customer_id))
    .order_by(_a.message_id, _a.attempt)
    .limit(_MOST)
)
_ownerless = (
    select(_m.message_id, _m.message_key, _m.customer_id, customer.c.merged_into)
    .select_from(message)
    .join(customer, customer.c.customer_id == _m.customer_id, isouter=True)
    .where(or_(customer.c.customer_id.is_(None), customer.c.merged_into.is_not(None)))
    .order_by(_m.message_id)
    .limit(_MOST)
)
_leases = (
    select(_m.message_id, _m.message_key, _m.state, _m.leased_until)
    .where(
        or_(
            and_(
                _m.state.in_(("claimed", "handed")),
                or_(
                    _m.leased_until.is_(None),
                    _m.lease.is_(None),
                    _m.leased_until < bindparam("late"),
                ),
            ),
            and_(_m.state.not_in(("claimed", "handed")), _m.lease.is_not(None)),
        )
    )
    .order_by(_m.message_id)
    .limit(_MOST)
)
_forgotten = (
    select(_m.message_id, _m.message_key)
    .select_from(message)
    .join(
        broadcast,
        and_(_m.plugin == broadcast.c.plugin, _m.message_key == broadcast.c.message_key),
    )
    .where(_m.state == "planned", _m.gate == PAUSED, broadcast.c.paused_at.is_(None))
    .order_by(_m.message_id)
    .limit(_MOST)
)
_pending = case((_m.state.in_(("planned", "deferred", "claimed", "handed")), 1), else_=0)
_waiting = (
    select(_m.plugin, _m.channel, func.sum(_pending))
    .group_by(_m.plugin, _m.channel)
    .having(func.sum(_pending) > 0)
    .order_by(_m.plugin, _m.channel)
)


@frozen
class Difference:
    """
    Something that does not fit.

    Attributes:
        sort: `audience`, `attempt`, `customer`, `lease`, `pause`, `plugin` or `channel`.
    """

    sort: str
    sentence: str

    def __str__(self) -> str:
        return self.sentence


def differences(connection: Connection, assembly: Assembly, now: int) -> list[Difference]:
    """Return all that does not fit, in a constant number of statements."""
    found = [
        *_of_audiences(connection),
        *_of_attempts(connection),
        *_of_customers(connection),
        *_of_leases(connection, now),
        *_of_pauses(connection),
        *_of_absent(connection, assembly),
    ]
    return [Difference(sort, sentence) for sort, sentence in found]


Found = Iterator[tuple[str, str]]


def _named(plugin: str, key: str) -> str:
    return f"{key!r} of plugin {plugin!r}" if plugin else repr(key)


def _of_audiences(connection: Connection) -> Found:
    for plugin, key, audience, count in connection.execute(_sums):
        yield (
            "audience",
            f"broadcast {_named(plugin, key)} was planned for {audience:,}, and there "
            f"{'is 1 message' if count == 1 else f'are {count:,} messages'} of it",
        )


def _of_attempts(connection: Connection) -> Found:
    for message_id, owner, key, state, number, outcome in connection.execute(_by_outcome):
        last = "there is no attempt at it"
        if number is not None:
            last = f"attempt {number} at it ended {outcome or 'nowhere yet'}"
        yield (
            "attempt",
            f"message {message_id} ({key!r}, to customer {owner}) is {state}, and {last}",
        )
    for message_id, number, owner, present in connection.execute(_strangers):
        whose = "which is not there" if present is None else f"which is customer {present}'s"
        yield (
            "attempt",
            f"attempt {number} at message {message_id}, {whose}, is customer {owner}'s",
        )


def _of_customers(connection: Connection) -> Found:
    for message_id, key, owner, merged in connection.execute(_ownerless):
        who = "nobody" if merged is None else f"somebody who was merged into customer {merged}"
        yield "customer", f"message {message_id} ({key!r}) is to customer {owner}, who is {who}"


def _of_leases(connection: Connection, now: int) -> Found:
    for message_id, key, state, until in connection.execute(_leases, late=now - LATE):
        if state not in ("claimed", "handed"):
            said = "has a lease, and is nobody's"
        elif until is None:
            said = "has no lease"
        else:
            said = "has a lease that ended over an hour ago; is a worker running?"
        yield "lease", f"message {message_id} ({key!r}) is {state}, and {said}"


def _of_pauses(connection: Connection) -> Found:
    for message_id, key in connection.execute(_forgotten):
        yield (
            "pause",
            f"message {message_id} ({key!r}) waits for its broadcast to be resumed, which is not "
            "paused",
        )


def _of_absent(connection: Connection, assembly: Assembly) -> Found:
    plugins = {plugin.name for plugin in assembly}
    rows: list[tuple[Any, ...]] = connection.execute(_waiting)
    for plugin, channel, count in rows:
        if plugin and plugin not in plugins:
            yield (
                "plugin",
                f"{_waiting_for(count)} plugin {plugin!r}, which is not there",
            )
        elif channel not in assembly.channels:
            yield (
                "channel",
                f"{_waiting_for(count)} channel {channel!r}, which no plugin brings",
            )


def _waiting_for(count: int) -> str:
    return "1 message waits for" if count == 1 else f"{int(count):,} messages wait for"
