"""Claims: messages taken by one worker for a while, and handed over by nobody else."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from attrs import evolve, frozen
from sqlalchemy import Select, bindparam, exists, insert, select, update

from crmcore.domain.clock import SECOND
from crmcore.domain.message import Channel, Message, State
from crmcore.persistence.connection import Connection
from crmcore.persistence.customers import customer
from crmcore.persistence.messages import attempt, broadcast, message
from crmcore.persistence.portable import json_list
from crmcore.services.background.backoff import MOST_ATTEMPTS, next_try
from crmcore.services.messaging.broadcasts import CALLED_OFF, STOPPED, Pauses
from crmcore.services.messaging.judging import WAITING, refused_state
from crmcore.services.messaging.messages import MESSAGES, MessageService, as_message
from crmcore.services.messaging.twins import hold_twins, share_addresses
from crmcore.services.runtime import Runtime
from crmcore.services.unit import Unit

CLAIMED_FOR: Final = 60 * SECOND
"""How long a claim lives: nobody hands over what was claimed, and judged, longer ago."""

AT_ONCE: Final = 200
PREPARE: Final = "prepare"

_m = message.c
_called_off = exists().where(
    broadcast.c.plugin == _m.plugin,
    broadcast.c.message_key == _m.message_key,
    broadcast.c.stopped_at.is_not(None),
)
_insert_attempt = insert(attempt)
_set_aside = (
    update(message)
    .where(
        _m.message_id == bindparam("failed"),
        _m.state == "claimed",
        _m.lease == bindparam("token"),
        _m.customer_id == bindparam("owner"),
    )
    .values(
        state=bindparam("now_is"),
        gate=PREPARE,
        reason=bindparam("said"),
        attempt=_m.attempt + 1,
        not_before=bindparam("again"),
        settled_at=bindparam("ended"),
        lease=None,
        leased_until=None,
    )
)


@frozen
class Claim:
    """
    What one worker took.

    Attributes:
        messages: Those that may go, in the order in which they do.
        refused: Those that the gate withheld, or whose fate nobody will know; each with the state
            it was in.
        looked: How many were looked at; with none, there is nothing to do.
    """

    lease: str
    until: int
    messages: Sequence[Message]
    refused: Sequence[tuple[Message, State]]
    looked: int


@frozen
class Handed:
    """A message that is handed over: the attempt at it is committed before anybody is called."""

    message: Message
    key: str
    """By which the provider knows it again: the same in every attempt at it."""

    earlier: int | None = None
    """When it was handed over before, where nobody knows what became of that."""


def idempotency_key(plugin: str, key: str, reference: str) -> str:
    """
    Return a name for one message to one customer that says nothing of either.

    It follows from what the message is and to whom, not from an id: after a restore, ids are given
    to other messages, which a provider would take for those it had before.
    """
    return hashlib.sha256(f"{plugin}\n{key}\n{reference}".encode()).hexdigest()[:40]


class Claims:
    """Takes messages that are due, and notes which are handed over; all under their customers."""

    def __init__(self, runtime: Runtime, messages: MessageService) -> None:
        self._runtime = runtime
        self._messages = messages
        portable = runtime.database.portable
        listed = portable.is_in(_m.message_id, "messages")
        owners = sorted({"", *(plugin.name for plugin in runtime.assembly)})
        self._due = (
            select(_m.message_id, _m.customer_id, _m.state)
            .where(
                _m.channel == bindparam("on_channel"),
                _m.state.in_(WAITING),
                _m.not_before <= bindparam("now"),
                _m.plugin.in_(owners),
            )
            .order_by(_m.priority.desc(), _m.message_id)
            .limit(bindparam("most"))
        )
        self._lock = portable.locked(
            select(customer.c.customer_id)
            .where(portable.is_in(customer.c.customer_id, "customers"))
            .order_by(customer.c.customer_id),
            skip_locked=True,
        )
        self._call_off = (
            update(message)
            .where(
                listed,
                _m.state.in_(WAITING),
                _called_off,
                portable.is_in(_m.customer_id, "customers"),
            )
            .values(
                state=refused_state(),
                gate=STOPPED,
                reason=CALLED_OFF,
                settled_at=bindparam("now"),
                lease=None,
                leased_until=None,
            )
        )
        self._pauses = Pauses(portable)
        self._states = select(_m.message_id, _m.state, _m.lease).where(listed)
        mine = (
            listed & (_m.lease == bindparam("token")) & portable.is_in(_m.customer_id, "customers")
        )
        self._hand = (
            update(message)
            .where(mine, _m.state == "claimed", _m.leased_until > bindparam("now"))
            .values(
                state="handed",
                attempt=_m.attempt + 1,
                handed_at=bindparam("now"),
                leased_until=bindparam("until"),
            )
        )
        self._handed = (
            MESSAGES.add_columns(customer.c.reference)
            .join(customer, customer.c.customer_id == _m.recorded_for)
            .where(mine, _m.state == "handed")
        )
        self._share_addresses = share_addresses(mine)
        self._hold_twins = hold_twins(mine)
        self._release = (
            update(message)
            .where(mine, _m.state == "claimed")
            .values(state="planned", lease=None, leased_until=None)
        )
        self._expired = self._leased().limit(bindparam("most"))
        self._expired_of = self._leased().where(portable.is_in(_m.customer_id, "customers"), listed)
        self._give_back = (
            update(message)
            .where(listed, _m.state == "claimed")
            .values(state="planned", lease=None, leased_until=None)
        )

    def _leased(self) -> Select[Any]:
        return (
            MESSAGES.add_columns(customer.c.reference)
            .join(customer, customer.c.customer_id == _m.recorded_for)
            .where(_m.state.in_(("claimed", "handed")), _m.leased_until <= bindparam("now"))
        )

    # -- claiming ----------------------------------------------------------------------------

    def claim(self, unit: Unit, channel: Channel) -> Claim:
        """
        Take messages of a channel that are due and may go, one for each customer at most.

        Of several the one with the highest priority comes first. Customers whom another
        transaction has are left for another time.
        """
        connection = unit.connection
        lease, until = secrets.token_hex(16), unit.now + CLAIMED_FOR
        rows = connection.execute(self._due, on_channel=channel.name, now=unit.now, most=AT_ONCE)
        first: dict[int, int] = {}
        for message_id, customer_id, _ in rows:
            first.setdefault(customer_id, message_id)
        before = {row[0]: row[2] for row in rows}
        locked = self.lock(connection, first)
        wanted = [message_id for owner, message_id in first.items() if owner in locked]
        if not wanted:
            return Claim(lease, until, (), (), 0)
        # Read from here on, under the lock: so whatever was narrowed and committed is seen.
        listed = json_list(wanted)
        called_off = {"messages": listed, "customers": json_list(locked)}
        connection.change(self._call_off, **called_off, now=unit.now)
        paused = self._pauses.hold_back(connection, wanted, locked)
        judging = self._messages.judging
        chosen = judging.locked([each for each in wanted if each not in paused], locked)
        judging.judge(unit, channel, chosen, "claim", lease=lease, until=until)
        if judging.has_guards:
            judging.ask_guards(unit, channel, judging.claimed(wanted, lease), "claim")
        rows = connection.execute(self._states, messages=listed)
        goes = {row[0] for row in rows if row[1] == "claimed" and row[2] == lease}
        refused = {row[0] for row in rows if row[1] in ("withheld", "unknown")}
        found = self._messages.read(connection, [i for i in wanted if i in goes or i in refused])
        return Claim(
            lease,
            until,
            [each for each in found if each.id in goes],
            [(each, before[each.id]) for each in found if each.id in refused],
            len(wanted),
        )

    def lock(self, connection: Connection, customers: Iterable[int]) -> set[int]:
        """Lock those of *customers* whom no other transaction has, and return them."""
        wanted = set(customers)
        if connection.database.portable.is_sqlite or not wanted:
            return wanted
        rows = connection.execute(self._lock, customers=json_list(wanted))
        return {row[0] for row in rows}

    def release(self, unit: Unit, claim: Claim, messages: Sequence[Message]) -> None:
        """Give back what was claimed and not handed over."""
        connection = unit.connection
        locked = self.lock(connection, [each.customer_id for each in messages])
        connection.change(
            self._release,
            messages=json_list([each.id for each in messages]),
            token=claim.lease,
            customers=json_list(locked),
        )

    def set_aside(
        self, unit: Unit, claim: Claim, failed: Sequence[tuple[Message, str]]
    ) -> list[Message]:
        """
        Put off messages whose own plugin could not prepare them; after 8 times they failed.

        Returns those it did. What is not this claim's any more is left, and so is what belongs to a
        customer whom another transaction has: it goes back when the claim ends.
        """
        locked = self.lock(unit.connection, [each.customer_id for each, _ in failed])
        listed = json_list([each.id for each, _ in failed])
        states = unit.connection.execute(self._states, messages=listed)
        mine = {row[0] for row in states if row[1] == "claimed" and row[2] == claim.lease}
        failed = [f for f in failed if f[0].customer_id in locked and f[0].id in mine]
        rows = []
        for each, said in failed:
            given_up = each.attempt + 1 >= MOST_ATTEMPTS
            rows.append(
                {
                    "failed": each.id,
                    "token": claim.lease,
                    "owner": each.customer_id,
                    "now_is": _given_up(each) if given_up else "deferred",
                    "said": said,
                    "again": next_try(unit.now, each.attempt),
                    "ended": unit.now if given_up else None,
                }
            )
        unit.connection.change_many(_set_aside, rows)
        return [each for each, _ in failed]

    # -- handing over ------------------------------------------------------------------------

    def hand_over(
        self, unit: Unit, claim: Claim, channel: Channel, messages: Sequence[Message]
    ) -> list[Handed]:
        """
        Note that messages are handed over, each with an attempt; to be committed before they are.

        Left out is what is not this claim's any more: what was withheld since, or whose customer
        another transaction has just now.
        """
        connection = unit.connection
        locked = self.lock(connection, [each.customer_id for each in messages])
        terms = {
            "messages": json_list([each.id for each in messages]),
            "customers": json_list(locked),
            "token": claim.lease,
        }
        self._hold_twins_back(unit, terms)
        self._pauses.hold_back(connection, [each.id for each in messages], locked)
        patience = int(channel.answers_within * SECOND)
        connection.change(self._hand, **terms, now=unit.now, until=unit.now + patience)
        rows = {row[0]: row for row in connection.execute(self._handed, **terms)}
        handed = [
            evolve(as_handed(rows[each.id]), earlier=each.handed_at)
            for each in messages
            if each.id in rows
        ]
        connection.insert_rows(
            _insert_attempt,
            [
                (
                    each.message.id,
                    each.message.attempt,
                    each.message.customer_id,
                    each.key,
                    unit.now,
                    None,
                    None,
                    None,
                    None,
                )
                for each in handed
            ],
        )
        return handed

    def _hold_twins_back(self, unit: Unit, terms: Mapping[str, Any]) -> None:
        """Hold back what another customer at the same address has, or is about to have."""
        shared = [row[0] for row in unit.connection.execute(self._share_addresses, **terms)]
        if shared:
            few = {**terms, "messages": json_list(shared)}
            again = unit.now + CLAIMED_FOR
            unit.connection.change(self._hold_twins, **few, now=unit.now, again=again)

    # -- after a crash -----------------------------------------------------------------------

    def expired(self, unit: Unit) -> tuple[int, Mapping[str, Sequence[Handed]]]:
        """
        Give back claims that have ended, and return what was handed over and never answered.

        Returns how many claims were given back, and the others by channel, locked.
        """
        connection = unit.connection
        rows = connection.execute(self._expired, now=unit.now, most=AT_ONCE)
        locked = self.lock(connection, {row[3] for row in rows})
        if not rows or not locked:
            return 0, {}
        listed = json_list([row[0] for row in rows])
        # Again under the lock: another worker may have been quicker.
        rows = connection.execute(
            self._expired_of, now=unit.now, customers=json_list(locked), messages=listed
        )
        found = [as_handed(row) for row in sorted(rows)]
        claimed = [each.message.id for each in found if each.message.state == "claimed"]
        if claimed:
            connection.change(self._give_back, messages=json_list(claimed))
        by_channel: dict[str, list[Handed]] = {}
        for each in found:
            if each.message.state == "handed":
                by_channel.setdefault(each.message.channel, []).append(each)
        return len(claimed), by_channel


def _given_up(message: Message) -> State:
    """Return what becomes of a message that is not tried again: somebody may have got it."""
    return "failed" if message.handed_at is None else "unknown"


def as_handed(row: Sequence[Any]) -> Handed:
    """Return a row of `MESSAGES`, with its customer's reference behind, as what is handed over."""
    found = as_message(tuple(row))
    return Handed(found, idempotency_key(found.plugin, found.key, row[-1]))
