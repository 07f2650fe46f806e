"""Broadcasts: what is said to many at once; planned, paused, edited, and called off."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from attrs import evolve
from sqlalchemy import ColumnElement, and_, bindparam, func, select, update

from crmcore.domain.clock import LAST, to_datetime
from crmcore.domain.message import (
    Broadcast,
    Content,
    check_content,
    check_instant,
    check_key,
    check_purpose,
    check_terms,
)
from crmcore.errors import InputError, NotFoundError, nearest
from crmcore.hooks import Audience
from crmcore.persistence.connection import Connection
from crmcore.persistence.messages import broadcast, message
from crmcore.persistence.portable import Portable, json_list
from crmcore.services.messaging.judging import UNHANDED, WAITING, refused_state
from crmcore.services.messaging.planning import BroadcastDraft, Planning
from crmcore.services.runtime import Runtime
from crmcore.services.unit import Unit

STOPPED: Final = "stopped"
"""The gate that withholds what is left of a broadcast that was called off."""
CALLED_OFF: Final = "the broadcast was called off"
PAUSED: Final = "paused"
"""The gate that holds back what is left of a broadcast while it is paused."""
_IS_PAUSED: Final = "the broadcast is paused"
UNTIL_RESUMED: Final = LAST
"""Until when a message waits whose broadcast is paused: nothing is due then."""

_m, _b = message.c, broadcast.c
_broadcasts = select(
    _b.message_key,
    _b.plugin,
    _b.purpose,
    _b.channel,
    _b.audience,
    _b.planned_at,
    _b.paused_at,
    _b.stopped_at,
    _b.actor,
)
_is_it = and_(_b.plugin == bindparam("owner"), _b.message_key == bindparam("key"))
_of_it = and_(_m.plugin == bindparam("owner"), _m.message_key == bindparam("key"))
_one = _broadcasts.where(_is_it)
_keys = select(_b.message_key).where(_b.plugin == bindparam("owner"))
_states = select(_m.state, func.count()).where(_of_it).group_by(_m.state)

_recipients = select(_m.customer_id).where(_of_it, _m.state.in_(UNHANDED))
_call_off = (
    update(message)
    .where(_of_it, _m.state.in_(UNHANDED))
    .values(
        state=refused_state(),
        gate=STOPPED,
        reason=CALLED_OFF,
        settled_at=bindparam("now"),
        lease=None,
        leased_until=None,
    )
)
_note_stopped = (
    update(broadcast).where(_is_it, _b.stopped_at.is_(None)).values(stopped_at=bindparam("now"))
)

_note_paused = (
    update(broadcast).where(_is_it, _b.paused_at.is_(None)).values(paused_at=bindparam("now"))
)
_note_resumed = update(broadcast).where(_is_it).values(paused_at=None)
_note_content = update(broadcast).where(_is_it).values(content=bindparam("body"))
_held_back = and_(_of_it, _m.gate == PAUSED, _m.state.in_(WAITING))
_held_back_to = select(_m.customer_id).where(_held_back)
_let_go = (
    update(message)
    .where(_held_back)
    .values(gate=None, reason=None, not_before=func.coalesce(_m.earliest, _m.planned_at))
)


def is_paused() -> ColumnElement[bool]:
    """Return whether the broadcast that a message belongs to is paused."""
    return (
        select(_b.plugin)
        .where(
            _b.plugin == _m.plugin,
            _b.message_key == _m.message_key,
            _b.paused_at.is_not(None),
        )
        .exists()
    )


class Broadcasts:
    """Says something to many, each once; and lets the shop change its mind about the rest."""

    def __init__(self, runtime: Runtime, planning: Planning) -> None:
        self._runtime = runtime
        self._planning = planning

    def checked(self, key: str, values: dict[str, Any]) -> BroadcastDraft:
        """Return a broadcast's fields, checked; raises an `InputError` that names one."""
        draft = BroadcastDraft(key=check_key(key), **values)
        check_purpose(draft.purpose)
        check_content(draft.content)
        check_terms(draft.asks, draft.priority)
        self._planning.channel(draft.channel)
        return evolve(
            draft,
            not_before=check_instant("not_before", draft.not_before),
            not_after=check_instant("not_after", draft.not_after),
        )

    def plan(
        self, unit: Unit, draft: BroadcastDraft, audience: Audience, plugin: str = ""
    ) -> Broadcast:
        """Plan a message for everybody in an audience; the second time, return the first."""
        self._planning.broadcast(unit, draft, audience, plugin)
        return self.find(unit.connection, draft.key, plugin)

    def find(self, connection: Connection, key: str, plugin: str = "") -> Broadcast:
        """Return a broadcast with its figures; raises `NotFoundError` if there is none."""
        rows = connection.execute(_one, owner=plugin, key=key)
        if not rows:
            known = [row[0] for row in connection.execute(_keys, owner=plugin)]
            raise NotFoundError(f"no broadcast has the key {key!r}{nearest(key, known)}")
        _, _, purpose, channel, audience, planned_at, paused_at, stopped_at, actor = rows[0]
        return Broadcast(
            key=key,
            plugin=plugin,
            purpose=purpose,
            channel=channel,
            audience=audience,
            planned_at=planned_at,
            paused_at=paused_at,
            stopped_at=stopped_at,
            actor=actor,
            states=dict(connection.execute(_states, owner=plugin, key=key)),
        )

    def stop(self, unit: Unit, key: str, plugin: str = "") -> Broadcast:
        """
        Call a broadcast off: what of it is not handed over is withheld.

        Raises:
            NotFoundError: If there is no such broadcast.
        """
        connection, whose = unit.connection, self._named(unit, key, plugin)
        # Customers first, in the order in which everybody locks them.
        recipients = connection.execute(_recipients, **whose)
        self._runtime.identity.lock(connection, {row[0] for row in recipients})
        connection.change(_call_off, **whose, now=unit.now)
        connection.change(_note_stopped, **whose, now=unit.now)
        return self.find(connection, key, plugin)

    def pause(self, unit: Unit, key: str, plugin: str = "") -> Broadcast:
        """
        Let nothing more of a broadcast be handed over until it is resumed.

        One row is written, however many it is for: what waits is held back when it is claimed.

        Raises:
            InputError: If it was called off.
            NotFoundError: If there is no such broadcast.
        """
        whose = self._named(unit, key, plugin)
        self._refuse_stopped(unit, key, plugin, "paused")
        unit.connection.change(_note_paused, **whose, now=unit.now)
        return self.find(unit.connection, key, plugin)

    def resume(self, unit: Unit, key: str, plugin: str = "") -> Broadcast:
        """
        Let a paused broadcast go on with whom it has not reached; raises as `pause` does.

        What nobody wants any more, as its `not_after` has passed, is withheld as it is claimed.
        """
        connection, whose = unit.connection, self._named(unit, key, plugin)
        self._refuse_stopped(unit, key, plugin, "resumed")
        # Waits for workers who have just read that it is paused, so that theirs are let go, too.
        connection.change(_note_resumed, **whose)
        held = connection.execute(_held_back_to, **whose)
        self._runtime.identity.lock(connection, {row[0] for row in held})
        connection.change(_let_go, **whose)
        return self.find(connection, key, plugin)

    def edit(self, unit: Unit, key: str, content: Content, plugin: str = "") -> Broadcast:
        """
        Say something else to those whom a paused broadcast has not reached.

        Raises:
            InputError: If it is not paused, or was called off: half an audience would get another
                text than was looked at.
            NotFoundError: If there is no such broadcast.
        """
        check_content(content)
        whose = self._named(unit, key, plugin)
        self._refuse_stopped(unit, key, plugin, "edited")
        found = self.find(unit.connection, key, plugin)
        if found.paused_at is None:
            raise InputError(
                f"broadcast {key!r} is on its way; one that is paused is expected, so pause it "
                "before it is edited"
            )
        unit.connection.change(_note_content, **whose, body=content.to_json())
        return found

    def _named(self, unit: Unit, key: str, plugin: str) -> dict[str, Any]:
        check_key(key)
        self.find(unit.connection, key, plugin)
        return {"owner": plugin, "key": key}

    def _refuse_stopped(self, unit: Unit, key: str, plugin: str, what: str) -> None:
        stopped_at = self.find(unit.connection, key, plugin).stopped_at
        if stopped_at is not None:
            raise InputError(
                f"broadcast {key!r} was called off at {to_datetime(stopped_at):%Y-%m-%d %H:%M} "
                f"UTC, so it cannot be {what}; one that still goes is expected"
            )


class Pauses:
    """What claims see of broadcasts that are paused."""

    def __init__(self, portable: Portable) -> None:
        paused = select(_b.plugin, _b.message_key).where(
            _b.paused_at.is_not(None), _b.stopped_at.is_(None)
        )
        if not portable.is_sqlite:
            # Who resumes one waits for us; we wait for nobody, as what is about to be paused or
            # resumed in another transaction may go either way.
            paused = paused.with_for_update(read=True, skip_locked=True)
        self._paused = paused
        which = (
            portable.is_in(_m.message_id, "messages"),
            portable.is_in(_m.customer_id, "customers"),
            _m.state.in_(UNHANDED),
            is_paused(),
        )
        self._held = select(_m.message_id).where(*which)
        self._hold_back = (
            update(message)
            .where(*which)
            .values(
                state="planned",
                gate=PAUSED,
                reason=_IS_PAUSED,
                not_before=UNTIL_RESUMED,
                lease=None,
                leased_until=None,
            )
        )

    def hold_back(
        self, connection: Connection, messages: Collection[int], customers: Collection[int]
    ) -> set[int]:
        """
        Put off those of *messages* whose broadcast is paused, and return them.

        Their *customers* are locked.
        """
        if not messages or not connection.execute(self._paused):
            return set()
        listed = {"messages": json_list(messages), "customers": json_list(customers)}
        held = {row[0] for row in connection.execute(self._held, **listed)}
        if held:
            connection.change(self._hold_back, **listed)
        return held
