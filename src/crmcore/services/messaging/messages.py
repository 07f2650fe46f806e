"""Messages: what the shop wants to say, planned, narrowed and read back."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

from sqlalchemy import Select, Update, bindparam, func, or_, select, update

from crmcore.domain.message import Content, Message, MessageDraft
from crmcore.persistence.connection import Connection, Row
from crmcore.persistence.customers import identifier
from crmcore.persistence.messages import broadcast, message
from crmcore.persistence.portable import json_list
from crmcore.services.messaging.broadcasts import UNTIL_RESUMED, Broadcasts
from crmcore.services.messaging.gate import GateService
from crmcore.services.messaging.judging import UNHANDED, WAITING, Judging
from crmcore.services.messaging.planning import Planning
from crmcore.services.runtime import Runtime
from crmcore.services.unit import Unit

BRAKES: Final = ("brake",)
CLOCKS: Final = ("quiet", "cap")
"""The gates whose *not yet* follows from the customer's zone."""

_m = message.c
_address = (
    select(func.min(identifier.c.identifier_value))
    .where(identifier.c.customer_id == _m.customer_id, identifier.c.point == _m.point)
    .scalar_subquery()
)
MESSAGES: Final = (
    select(
        _m.message_id,
        _m.message_key,
        _m.plugin,
        _m.customer_id,
        _m.purpose,
        _m.channel,
        _m.state,
        _m.priority,
        _m.asks,
        _m.planned_at,
        _m.not_before,
        _m.not_after,
        _m.gate,
        _m.reason,
        _m.attempt,
        _m.handed_at,
        _m.settled_at,
        _m.provider_reference,
        _m.caused_by,
        func.coalesce(_m.content, broadcast.c.content),
        _address,
    )
    .select_from(message)
    .join(
        broadcast,
        (broadcast.c.plugin == _m.plugin) & (broadcast.c.message_key == _m.message_key),
        isouter=True,
    )
)
"""All that `as_message` reads, to be restricted and ordered."""

_newest = (_m.planned_at.desc(), _m.message_id.desc())
_of_customer = (
    MESSAGES.where(_m.customer_id == bindparam("customer"))
    .order_by(*_newest)
    .limit(bindparam("most"))
)
_of_key = (
    MESSAGES.where(_m.message_key == bindparam("key")).order_by(*_newest).limit(bindparam("most"))
)
_of_both = (
    MESSAGES.where(_m.customer_id == bindparam("customer"), _m.message_key == bindparam("key"))
    .order_by(*_newest)
    .limit(bindparam("most"))
)
_of_one = (
    MESSAGES.where(
        _m.customer_id == bindparam("customer"),
        _m.plugin == bindparam("owner"),
        _m.message_key == bindparam("key"),
    )
    .order_by(_m.message_id.desc())
    .limit(1)
)
_latest = MESSAGES.order_by(*_newest).limit(bindparam("most"))
_put_off = or_(_m.state == "deferred", (_m.state == "planned") & _m.gate.in_(CLOCKS))
_put_off_to = select(_m.customer_id).where(_put_off).distinct()
_hasten_put_off = (
    update(message)
    .where(_put_off, _m.not_before > bindparam("now"))
    .values(not_before=func.coalesce(_m.earliest, _m.planned_at))
)
_next_waiting = select(func.min(_m.not_before)).where(
    _m.channel == bindparam("on_channel"),
    _m.state.in_(WAITING),
    _m.not_before < UNTIL_RESUMED,
)
_next_leased = select(func.min(_m.leased_until)).where(_m.state.in_(("claimed", "handed")))


def as_message(row: Row) -> Message:
    """Return a row of `MESSAGES` as a value."""
    asks, content = bool(row[8]), None if row[19] is None else Content.from_json(row[19])
    return Message(
        id=row[0],
        key=row[1],
        plugin=row[2],
        customer_id=row[3],
        purpose=row[4],
        channel=row[5],
        state=row[6],
        priority=row[7],
        asks=asks,
        planned_at=row[9],
        not_before=row[10],
        not_after=row[11],
        gate=row[12],
        reason=row[13],
        attempt=row[14],
        handed_at=row[15],
        settled_at=row[16],
        provider_reference=row[17],
        caused_by=row[18],
        content=content,
        address=row[20],
    )


class MessageService:
    """Plans messages, holds back what may not go any more, and reads them back."""

    def __init__(self, runtime: Runtime, gate: GateService) -> None:
        self._runtime = runtime
        self.judging = Judging(runtime, gate)
        self._planning = Planning(runtime, self.judging)
        self.broadcasts = Broadcasts(runtime, self._planning)
        portable = runtime.database.portable
        self._owners = sorted({"", *(plugin.name for plugin in runtime.assembly)})
        self._by_ids = MESSAGES.where(portable.is_in(_m.message_id, "messages"))
        self._pending = (
            select(_m.channel)
            .where(portable.is_in(_m.customer_id, "customers"), _m.state.in_(UNHANDED))
            .distinct()
        )
        self._give_up_claims = (
            update(message)
            .where(
                portable.is_in(_m.customer_id, "customers"),
                _m.channel == bindparam("on_channel"),
                _m.state == "claimed",
            )
            .values(state="planned", lease=None, leased_until=None)
        )
        self._hasten: dict[tuple[str, ...], Update] = {
            gates: update(message)
            .where(
                portable.is_in(_m.customer_id, "customers"),
                _m.state.in_(WAITING),
                _m.gate.in_(gates),
            )
            .values(not_before=func.coalesce(_m.earliest, _m.planned_at))
            for gates in (BRAKES, CLOCKS)
        }
        self._next_waiting = _next_waiting.where(_m.plugin.in_(self._owners))

    # -- planning ----------------------------------------------------------------------------

    def check(self, draft: MessageDraft) -> None:
        """Raise an `InputError` unless a draft can be planned, but for its customer."""
        self._planning.check(draft)

    def send(
        self,
        unit: Unit,
        drafts: Sequence[MessageDraft],
        plugin: str = "",
        *,
        not_after: int | None = None,
    ) -> list[int]:
        """Plan messages, each once for each customer; returns their ids. See `Planning.send`."""
        return self._planning.send(unit, drafts, plugin, not_after=not_after)

    # -- narrowing ---------------------------------------------------------------------------

    def rejudge(self, unit: Unit, customers: Collection[int]) -> int:
        """
        Hold back what may not go any more of all that is not handed over to some customers.

        They are locked. To be called in the transaction that narrows what may be sent to them:
        what is claimed is held back, too, so that nothing is handed over once it has committed.
        Returns how many messages it concerned.
        """
        if not customers:
            return 0
        connection, listed = unit.connection, json_list(customers)
        count = 0
        for (name,) in sorted(connection.execute(self._pending, customers=listed)):
            channel = self._runtime.assembly.channels.get(name)
            if channel is None:
                # What another process claimed is claimed anew there, and so judged again.
                found = connection.change(self._give_up_claims, customers=listed, on_channel=name)
            else:
                chosen = self.judging.of_customers(customers, name)
                found = self.judging.judge(unit, channel, chosen, "narrow")
            count += found
        return count

    def hasten(self, unit: Unit, customers: Collection[int], gates: Sequence[str]) -> None:
        """
        Let what waits for gates that may let it go by now be judged anew when it is claimed next.

        *gates* are `BRAKES` or `CLOCKS`; the customers are locked.
        """
        unit.connection.change(self._hasten[tuple(gates)], customers=json_list(customers))

    def hasten_put_off(self, unit: Unit) -> int:
        """Let what was deferred, or waits for `CLOCKS`, be judged and tried when it is claimed."""
        connection = unit.connection
        owners = connection.execute(_put_off_to)
        self._runtime.identity.lock(connection, {row[0] for row in owners})
        return connection.change(_hasten_put_off, now=unit.now)

    # -- reading -----------------------------------------------------------------------------

    def read(self, connection: Connection, ids: Sequence[int]) -> list[Message]:
        """Return messages by id, in the order of the ids."""
        rows = connection.execute(self._by_ids, messages=json_list(ids))
        found = {row[0]: as_message(row) for row in rows}
        return [found[message_id] for message_id in ids]

    def find(
        self, connection: Connection, customer: int | None, key: str | None, most: int
    ) -> list[Message]:
        """Return messages to a customer, or of a key, or both; newest first."""
        values: dict[str, Any] = {"most": most}
        statement: Select[Any] = _latest
        if customer is not None and key is not None:
            statement = _of_both
        elif customer is not None:
            statement = _of_customer
        elif key is not None:
            statement = _of_key
        if customer is not None:
            values["customer"] = customer
        if key is not None:
            values["key"] = key
        return [as_message(row) for row in connection.execute(statement, **values)]

    def find_one(
        self, connection: Connection, customer: int, key: str, plugin: str
    ) -> Message | None:
        """Return a customer's message of a key, of two that a merge brought together the later."""
        rows = connection.execute(_of_one, customer=customer, owner=plugin, key=key)
        return as_message(rows[0]) if rows else None

    def next_due(self, connection: Connection) -> int | None:
        """
        Return when a message is to be looked at next, or None.

        Those of paused broadcasts, and of plugins, or on channels, that are not there wait without
        an instant.
        """
        dues = [
            connection.execute(self._next_waiting, on_channel=name)[0][0]
            for name in self._runtime.assembly.channels
        ]
        if dues:
            dues.append(connection.execute(_next_leased)[0][0])
        return min((due for due in dues if due is not None), default=None)
