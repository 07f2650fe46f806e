"""Cursors: how far each plugin has come with what was committed, and who has to wait."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, NamedTuple

from attrs import frozen
from sqlalchemy import Executable, bindparam, delete, func, or_, select, update

from crmcore.domain.clock import SECOND
from crmcore.persistence.connection import Connection
from crmcore.persistence.cursors import Commits, backlog, cursor
from crmcore.persistence.portable import Portable, json_list
from crmcore.services.background.backoff import next_try, parked_at
from crmcore.services.recording.ledger import COLUMNS

AT_ONCE: Final = 500
LEASED_FOR: Final = 60 * SECOND

_ID = COLUMNS.index("interaction_id")
_XID = len(COLUMNS)  # a row of the ledger in the order of commits has it behind its columns

_mine = (cursor.c.plugin == bindparam("owner")) & (cursor.c.hook == bindparam("which"))
_held = _mine & (cursor.c.lease == bindparam("token"))
_position = select(cursor.c.position_xid, cursor.c.position_id).where(_mine)
_lease = (
    update(cursor)
    .where(_mine, or_(cursor.c.lease.is_(None), cursor.c.leased_until < bindparam("now")))
    .values(lease=bindparam("token"), leased_until=bindparam("until"))
)
_renew = update(cursor).where(_held).values(leased_until=bindparam("until"))
_move = (
    update(cursor)
    .where(_held)
    .values(
        position_xid=bindparam("xid"),
        position_id=bindparam("id"),
        leased_until=bindparam("until"),
    )
)
_release = update(cursor).where(_held).values(lease=None, leased_until=None)

_of_plugin = (backlog.c.plugin == bindparam("owner")) & (backlog.c.hook == bindparam("which"))
_of_customer = _of_plugin & (backlog.c.customer_id == bindparam("customer"))
_is_due = _of_plugin & backlog.c.parked_at.is_(None) & (backlog.c.run_at <= bindparam("now"))
_next_due = (
    select(backlog.c.customer_id, backlog.c.position_xid, backlog.c.position_id, backlog.c.attempt)
    .where(_is_due)
    .order_by(backlog.c.run_at, backlog.c.customer_id)
    .limit(1)
)
# Only what is still as it was read: a merge may have moved an earlier position there meanwhile.
_unmoved = (
    _of_customer
    & (backlog.c.position_xid == bindparam("first_xid"))
    & (backlog.c.position_id == bindparam("first_id"))
)
_settled = delete(backlog).where(_unmoved)
_again = (
    update(backlog)
    .where(_unmoved)
    .values(attempt=bindparam("tried"), run_at=bindparam("at"), parked_at=bindparam("parked"))
)
_onward = (
    update(backlog)
    .where(_unmoved)
    .values(
        position_xid=bindparam("xid"),
        position_id=bindparam("id"),
        attempt=0,
        run_at=bindparam("at"),
        parked_at=None,
    )
)
_unpark = (
    update(backlog)
    .where(backlog.c.parked_at.is_not(None))
    .values(parked_at=None, attempt=0, run_at=bindparam("now"))
)
_count = select(backlog.c.plugin, func.count()).group_by(backlog.c.plugin)


class LeaseLost(Exception):  # noqa: N818 - no mistake: another worker goes on
    """Another worker has the cursor by now."""


class Position(NamedTuple):
    """A place in the order of commits."""

    xid: int
    id: int

    @classmethod
    def of(cls, row: Sequence[Any]) -> Position:
        """Return the place of a row that was read in the order of commits."""
        return cls(row[_XID], row[_ID])


@frozen
class Waiting:
    """A customer whose rows wait from *first* on."""

    customer_id: int
    first: Position
    attempt: int = 0

    @property
    def key(self) -> Mapping[str, int]:
        return {
            "customer": self.customer_id,
            "first_xid": self.first.xid,
            "first_id": self.first.id,
        }


@frozen
class Lease:
    """The right to move one plugin's cursor, for a while."""

    plugin: str
    hook: str
    token: str

    @property
    def key(self) -> Mapping[str, str]:
        return {"owner": self.plugin, "which": self.hook}


class Cursors:
    """Reads the ledger in the order of commits, and keeps how far each plugin has come."""

    def __init__(self, portable: Portable) -> None:
        self._commits = Commits(portable)
        self._start = portable.insert(cursor).on_conflict_do_nothing()
        self._put = _put(portable)
        self._backlogged = select(backlog.c.customer_id).where(
            _of_plugin, portable.is_in(backlog.c.customer_id, "customers")
        )

    def start(self, connection: Connection, plugin: str, hook: str) -> None:
        """Give a plugin that has no cursor one, behind all that is committed."""
        if not connection.execute(_position, owner=plugin, which=hook):
            (end,) = connection.execute(self._commits.end)
            connection.insert_rows(self._start, [(plugin, hook, *end, None, None)])

    def unpark(self, connection: Connection, now: int) -> None:
        """Let parked customers be tried again: whoever starts anew may have been mended."""
        connection.change(_unpark, now=now)

    # -- leases ------------------------------------------------------------------------------

    def lease(self, connection: Connection, plugin: str, hook: str, now: int) -> Lease | None:
        """Take a cursor for a while; None if another worker has it."""
        lease = Lease(plugin, hook, secrets.token_hex(16))
        until = now + LEASED_FOR
        taken = connection.change(_lease, **lease.key, token=lease.token, now=now, until=until)
        return lease if taken else None

    def renew(self, connection: Connection, lease: Lease, now: int) -> None:
        """
        Keep the cursor for another while.

        Raises:
            LeaseLost: If another worker has taken it.
        """
        until = now + LEASED_FOR
        if not connection.change(_renew, **lease.key, token=lease.token, until=until):
            raise LeaseLost

    def release(self, connection: Connection, lease: Lease) -> None:
        connection.change(_release, **lease.key, token=lease.token)

    # -- the ledger in its order -------------------------------------------------------------

    def has_work(self, connection: Connection, plugin: str, hook: str, now: int) -> bool:
        """Return whether there is anything to be told the plugin."""
        beyond = self.position(connection, plugin, hook)
        return bool(
            connection.execute(
                self._commits.any_following, beyond_xid=beyond.xid, beyond_id=beyond.id
            )
            or connection.execute(_next_due, owner=plugin, which=hook, now=now)
        )

    def position(self, connection: Connection, plugin: str, hook: str) -> Position:
        return Position(*connection.execute(_position, owner=plugin, which=hook)[0])

    def following(self, connection: Connection, lease: Lease) -> list[tuple[Any, ...]]:
        """Return a portion of the rows after the cursor."""
        beyond = self.position(connection, lease.plugin, lease.hook)
        return connection.execute(
            self._commits.following, beyond_xid=beyond.xid, beyond_id=beyond.id, most=AT_ONCE
        )

    def move(self, connection: Connection, lease: Lease, to: Position, now: int) -> None:
        """
        Move the cursor on to a position.

        Raises:
            LeaseLost: If another worker has taken it.
        """
        until = now + LEASED_FOR
        if not connection.change(
            _move, **lease.key, token=lease.token, xid=to.xid, id=to.id, until=until
        ):
            raise LeaseLost

    # -- those who wait ----------------------------------------------------------------------

    def backlogged(
        self, connection: Connection, lease: Lease, customers: Collection[int]
    ) -> set[int]:
        """Return those of *customers* whose rows wait."""
        rows = connection.execute(
            self._backlogged, **lease.key, customers=json_list(set(customers))
        )
        return {row[0] for row in rows}

    def next_waiting(self, connection: Connection, lease: Lease, now: int) -> Waiting | None:
        """Return who is to be tried next; None if nobody is, or not yet."""
        for customer, xid, first, attempt in connection.execute(_next_due, **lease.key, now=now):
            return Waiting(customer, Position(xid, first), attempt)
        return None

    def rows_of(
        self, connection: Connection, lease: Lease, waiting: Waiting
    ) -> list[tuple[Any, ...]]:
        """Return a portion of the rows that wait; those after the cursor come with it."""
        last = self.position(connection, lease.plugin, lease.hook)
        return connection.execute(
            self._commits.waiting,
            customer=waiting.customer_id,
            first_xid=waiting.first.xid,
            first_id=waiting.first.id,
            last_xid=last.xid,
            last_id=last.id,
            most=AT_ONCE,
        )

    def put_off(
        self, connection: Connection, lease: Lease, failed: Sequence[Waiting], now: int
    ) -> None:
        """
        Let the rows of customers wait who have failed, and are locked.

        Whom a merge has given an earlier position meanwhile keeps that, and its time.
        """
        connection.insert_rows(
            self._put,
            [
                (
                    lease.plugin,
                    lease.hook,
                    each.customer_id,
                    *each.first,
                    each.attempt + 1,
                    next_try(now, each.attempt),
                    parked_at(now, each.attempt),
                )
                for each in failed
            ],
        )

    def put_off_again(
        self, connection: Connection, lease: Lease, waiting: Waiting, now: int
    ) -> None:
        """Let the rows of a customer wait who has failed once more."""
        connection.change(
            _again,
            **lease.key,
            **waiting.key,
            tried=waiting.attempt + 1,
            at=next_try(now, waiting.attempt),
            parked=parked_at(now, waiting.attempt),
        )

    def go_on(
        self, connection: Connection, lease: Lease, waiting: Waiting, last: Position, now: int
    ) -> None:
        """Let a customer's rows wait from after *last* on, to be tried at once."""
        connection.change(_onward, **lease.key, **waiting.key, xid=last.xid, id=last.id + 1, at=now)

    def settle(self, connection: Connection, lease: Lease, waiting: Waiting) -> None:
        """Let a customer wait no longer: the cursor brings what comes."""
        connection.change(_settled, **lease.key, **waiting.key)


def _put(portable: Portable) -> Executable:
    statement = portable.insert(backlog)
    new, old = statement.excluded, backlog.c
    is_earlier = or_(
        new.position_xid < old.position_xid,
        (new.position_xid == old.position_xid) & (new.position_id < old.position_id),
    )
    rest = [c.name for c in backlog.columns if c not in backlog.primary_key.columns.values()]
    return statement.on_conflict_do_update(  # type: ignore[no-any-return]
        index_elements=[c.name for c in backlog.primary_key.columns],
        set_={name: new[name] for name in rest},
        where=is_earlier,
    )


def count_waiting(connection: Connection) -> dict[str, int]:
    """Return for how many customers rows wait that each plugin failed with."""
    return dict(connection.execute(_count))
