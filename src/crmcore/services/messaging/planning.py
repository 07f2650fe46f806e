"""Planning: what the shop wants to say becomes rows, each judged by the gate at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from attrs import evolve, frozen
from sqlalchemy import Executable, Select, bindparam, func, insert, literal, null, select

from crmcore.domain.arguments import listed
from crmcore.domain.identity import Identifier
from crmcore.domain.message import (
    Channel,
    Content,
    MessageDraft,
    check_draft,
    check_instant,
    check_window,
)
from crmcore.domain.shadow import is_shadow
from crmcore.errors import CustomerNotFoundError, InputError, nearest
from crmcore.hooks import Audience
from crmcore.persistence.connection import Connection
from crmcore.persistence.customers import customer
from crmcore.persistence.ids import next_ids
from crmcore.persistence.messages import broadcast, message, message_ids
from crmcore.persistence.portable import Portable, json_list
from crmcore.persistence.schema import Whole, Words
from crmcore.services.identities.identity import Known
from crmcore.services.identities.registration import Name, Owner
from crmcore.services.messaging.judging import Judging
from crmcore.services.privacy.erased import erased_among, refuse_erased
from crmcore.services.runtime import Runtime
from crmcore.services.unit import Unit

_m = message.c
_insert = insert(message)
_everyone = select(customer.c.customer_id).where(
    customer.c.merged_into.is_(None), customer.c.erased_at.is_(None)
)
_one_broadcast = select(broadcast.c.message_key).where(
    broadcast.c.plugin == bindparam("owner"),
    broadcast.c.message_key >= bindparam("low"),
    broadcast.c.message_key <= bindparam("high"),
)
_any_message = (
    select(_m.message_id)
    .where(_m.plugin == bindparam("owner"), _m.message_key == bindparam("key"))
    .limit(1)
)
_COLUMNS: Final = tuple(message.columns.keys())


@frozen(kw_only=True)
class BroadcastDraft:
    """Something to be said to many; see `MessageDraft`."""

    key: str
    purpose: str
    channel: str
    content: Content
    asks: bool = False
    priority: int = 0
    not_before: int | None = None
    not_after: int | None = None


class Planning:
    """Plans messages: each once for each customer, and judged in the same transaction."""

    def __init__(self, runtime: Runtime, judging: Judging) -> None:
        self._runtime = runtime
        self._judging = judging
        portable = runtime.database.portable
        self._existing = (
            select(_m.message_id, _m.message_key, _m.customer_id, _m.gate)
            .where(
                portable.is_in(_m.customer_id, "customers"),
                _m.plugin == bindparam("owner"),
                _m.message_key >= bindparam("low"),
                _m.message_key <= bindparam("high"),
            )
            .order_by(_m.message_id.desc())
        )
        self._insert_broadcast = portable.insert(broadcast).on_conflict_do_nothing()
        self._spread = _spread(portable)

    def channel(self, name: object) -> Channel:
        """Return a channel; raises `InputError` if no plugin brings it."""
        channels = self._runtime.assembly.channels
        found = channels.get(name) if isinstance(name, str) else None
        if found is None:
            raise InputError(
                f"no channel is named {name!r}{nearest(name, channels)}; there are: "
                f"{', '.join(sorted(channels)) or 'none, as no plugin registers one'}"
            )
        return found

    # -- to one customer each ----------------------------------------------------------------

    def check(self, draft: MessageDraft) -> None:
        """Raise an `InputError` unless a draft can be planned, but for its customer."""
        check_draft(draft)
        self.channel(draft.channel)

    def send(
        self,
        unit: Unit,
        drafts: Sequence[MessageDraft],
        plugin: str,
        *,
        not_after: int | None = None,
    ) -> list[int]:
        """
        Plan messages, and return their ids: that of the first, where somebody had one of the key.

        Args:
            not_after: For those that say nothing of it themselves.
        """
        for draft in drafts:
            self.check(draft)
            if not plugin:
                check_window(draft.not_before, draft.not_after)
        if not drafts:
            return []
        connection = unit.connection
        owners = self._owners(connection, drafts)
        drafts = _to_somebody(connection, drafts, owners, plugin)
        self._refuse_broadcasts(connection, plugin, {draft.key for draft in drafts})
        found = self._existing_of(connection, plugin, drafts, owners)
        wanted: dict[tuple[str, int], tuple[MessageDraft, Owner]] = {}
        for draft, owner in zip(drafts, owners, strict=True):
            place = draft.key, owner.customer_id
            if place not in found:
                wanted.setdefault(place, (draft, owner))
        if wanted:
            ids = next_ids(connection, message_ids, _m.message_id, len(wanted))
            rows = [
                _row_of(unit, message_id, draft, owner, plugin, not_after)
                for message_id, (draft, owner) in zip(ids, wanted.values(), strict=True)
            ]
            connection.insert_rows(_insert, rows)
            found |= dict(zip(wanted, ids, strict=True))
            by_channel: dict[str, list[int]] = {}
            for message_id, (draft, _) in zip(ids, wanted.values(), strict=True):
                by_channel.setdefault(draft.channel, []).append(message_id)
            for name, messages in by_channel.items():
                channel = self.channel(name)
                self._judging.judge(unit, channel, self._judging.listed(messages), "plan")
                if is_shadow(plugin):
                    self._judging.put_in_shadow(unit, plugin, messages)
                else:
                    self._judging.ask_guards(unit, channel, self._judging.going(messages), "plan")
                    unit.sent += len(messages)
        return [found[d.key, owner.customer_id] for d, owner in zip(drafts, owners, strict=True)]

    def _owners(self, connection: Connection, drafts: Sequence[MessageDraft]) -> list[Owner]:
        """Return whose each draft is, with these customers locked."""
        schemes = self._runtime.identity.schemes
        asked: list[int | Name] = []
        for draft in drafts:
            if isinstance(draft.customer, Identifier):
                named = schemes.normalised(draft.customer)
                asked.append((named.scheme, named.value))
            elif type(draft.customer) is int and abs(draft.customer) < 2**63:
                asked.append(draft.customer)
            elif type(draft.customer) is int:
                raise CustomerNotFoundError(f"customer {draft.customer}")
            else:
                raise InputError(
                    f"the message's customer is {draft.customer!r}; an id, or an identifier such "
                    "as Identifier('email', 'ada@example.com'), is expected"
                )
        known: Known = self._runtime.identity.look_up(
            connection,
            {each for each in asked if not isinstance(each, int)},
            {each for each in asked if isinstance(each, int)},
        )
        found = []
        for each in asked:
            owner = known.given[each] if isinstance(each, int) else known.named.get(each)
            if owner is None:
                raise CustomerNotFoundError(Identifier(*each))  # type: ignore[misc]
            found.append(owner)
        return found

    def _refuse_broadcasts(self, connection: Connection, plugin: str, keys: set[str]) -> None:
        rows = connection.execute(_one_broadcast, owner=plugin, low=min(keys), high=max(keys))
        for key in sorted({row[0] for row in rows} & keys):
            raise InputError(
                f"{key!r} is the key of a broadcast, whose audience was frozen when it was "
                "planned; another key is expected"
            )

    def _existing_of(
        self,
        connection: Connection,
        plugin: str,
        drafts: Sequence[MessageDraft],
        owners: Sequence[Owner],
    ) -> dict[tuple[str, int], int]:
        """Return the messages that these customers have had of these keys, or will have."""
        keys = {draft.key for draft in drafts}
        rows = connection.execute(
            self._existing,
            customers=json_list({owner.customer_id for owner in owners}),
            owner=plugin,
            low=min(keys),
            high=max(keys),
        )
        # Of two that a merge brought together, the one that it did not hold back; then the first.
        rows.sort(key=lambda row: row[3] != MERGED)
        return {(key, owner): message_id for message_id, key, owner, _ in rows if key in keys}

    # -- to many -----------------------------------------------------------------------------

    def broadcast(
        self, unit: Unit, draft: BroadcastDraft, audience: Audience, plugin: str
    ) -> int | None:
        """
        Plan a message for everybody in an audience, which is frozen here.

        Returns how many they are; None if something of this key was planned before. The number
        of statements does not depend on how many they are.
        """
        channel = self.channel(draft.channel)
        connection = unit.connection
        body = draft.content.to_json()
        row = (
            plugin,
            draft.key,
            draft.purpose,
            draft.channel,
            0,
            unit.now,
            None,
            unit.actor,
            body,
            None,
        )
        if not connection.insert_rows(self._insert_broadcast, [row]):
            return None
        # Locked, so that nobody is merged, or says no, between here and the commit.
        asked = self._asked(connection, audience)
        given = self._runtime.identity.look_up(connection, (), asked).given
        # Asked under the lock: whoever plans one for somebody of them has it, too.
        if connection.execute(_any_message, owner=plugin, key=draft.key):
            raise InputError(
                f"{draft.key!r} is the key of messages that were planned one by one; another key "
                "is expected"
            )
        customers = {owner.customer_id for owner in given.values()}
        size = connection.change(
            self._spread,
            customers=json_list(sorted(customers)),
            plugin=plugin,
            key=draft.key,
            purpose=draft.purpose,
            channel=draft.channel,
            asks=int(draft.asks),
            priority=draft.priority,
            planned=unit.now,
            earliest=unit.now if draft.not_before is None else draft.not_before,
            wished=draft.not_before,
            latest=draft.not_after,
        )
        connection.change(_count, plugin_of=plugin, key_of=draft.key, size=size)
        self._judging.judge(unit, channel, self._judging.of_key(plugin, draft.key), "plan")
        if is_shadow(plugin):
            self._judging.put_key_in_shadow(unit, plugin, draft.key)
            return size
        chosen = self._judging.going_of_key(plugin, draft.key)
        self._judging.ask_guards(unit, channel, chosen, "plan")
        unit.sent += size
        return size

    def _asked(self, connection: Connection, audience: Audience) -> set[int]:
        if isinstance(audience, str):
            if audience != "everyone":
                raise InputError(
                    f"audience is {audience!r}; a select of customers' ids, a list of them, or "
                    "'everyone' is expected"
                )
            audience = _everyone
        found: Iterable[object]
        if isinstance(audience, Select):
            found = [row[0] for row in connection.execute(audience)]
        else:
            found = listed(
                "audience", audience, "a select of customers' ids, a list of them, or 'everyone'"
            )
        ids = set()
        for each in found:
            if type(each) is not int or abs(each) >= 2**63:
                raise InputError(f"the audience holds {each!r}; ids of customers are expected")
            ids.add(each)
        return ids


MERGED: Final = "merged"
"""The gate that holds back what one customer would get twice, as two of them were merged."""

_count = (
    broadcast.update()
    .where(
        broadcast.c.plugin == bindparam("plugin_of"),
        broadcast.c.message_key == bindparam("key_of"),
    )
    .values(audience=bindparam("size"))
)


def _to_somebody(
    connection: Connection, drafts: Sequence[MessageDraft], owners: Sequence[Owner], plugin: str
) -> list[MessageDraft]:
    """
    Return *drafts*, without what they say to somebody the shop has forgotten.

    The shop is told that nothing can be said to them; a plugin, which may answer to what came in
    late, is not: what it wants to say is withheld, and nobody keeps it.

    Raises:
        ErasedError: If it is the shop's own.
    """
    customers = {owner.customer_id for owner in owners}
    if not plugin:
        refuse_erased(connection, customers, "no message can be sent")
        return [*drafts]
    gone = erased_among(connection, customers)
    return [
        evolve(draft, content=Content()) if owner.customer_id in gone else draft
        for draft, owner in zip(drafts, owners, strict=True)
    ]


def _row_of(
    unit: Unit,
    message_id: int,
    draft: MessageDraft,
    owner: Owner,
    plugin: str,
    not_after: int | None,
) -> tuple[Any, ...]:
    """Return the row of a message that was just planned."""
    not_before = check_instant("not_before", draft.not_before)
    ends = check_instant("not_after", draft.not_after)
    values = {
        "message_id": message_id,
        "customer_id": owner.customer_id,
        "recorded_for": owner.recorded_for,
        "plugin": plugin,
        "message_key": draft.key,
        "purpose": draft.purpose,
        "channel": draft.channel,
        "asks": int(draft.asks),
        "priority": draft.priority,
        "state": "planned",
        "planned_at": unit.now,
        "not_before": unit.now if not_before is None else not_before,
        "earliest": not_before,
        "not_after": not_after if ends is None else ends,
        "attempt": 0,
        "caused_by": draft.caused_by,
        "content": draft.content.to_json(),
    }
    return tuple(values.get(name) for name in _COLUMNS)


def _spread(portable: Portable) -> Executable:
    """Return the statement that plans one message for each of some customers."""
    owner = customer.c.customer_id
    number: Any = message_ids.next_value()
    if portable.is_sqlite:
        highest = select(func.coalesce(func.max(_m.message_id), 0)).scalar_subquery()
        number = highest + func.row_number().over(order_by=owner)
    values: dict[str, Any] = {
        "message_id": number,
        "customer_id": owner,
        "recorded_for": owner,
        "plugin": bindparam("plugin", type_=Words),
        "message_key": bindparam("key", type_=Words),
        "purpose": bindparam("purpose", type_=Words),
        "channel": bindparam("channel", type_=Words),
        "asks": bindparam("asks", type_=Whole),
        "priority": bindparam("priority", type_=Whole),
        "state": literal("planned"),
        "planned_at": bindparam("planned", type_=Whole),
        "not_before": bindparam("earliest", type_=Whole),
        "earliest": bindparam("wished", type_=Whole),
        "not_after": bindparam("latest", type_=Whole),
        "attempt": literal(0),
    }
    chosen = select(*(values.get(name, null()) for name in _COLUMNS)).where(
        portable.is_in(owner, "customers")
    )
    return insert(message).from_select(list(_COLUMNS), chosen)
