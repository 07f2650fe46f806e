"""Judging: what the gate says of messages, brought into their rows."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final, Literal

from attrs import frozen
from sqlalchemy import (
    CTE,
    ColumnElement,
    Executable,
    Select,
    Update,
    and_,
    bindparam,
    case,
    func,
    null,
    or_,
    select,
    update,
)

from crmcore.domain.clock import SECOND
from crmcore.domain.message import Channel
from crmcore.domain.shadow import plugin_of
from crmcore.hooks import Plugin
from crmcore.persistence.messages import message
from crmcore.persistence.portable import json_list
from crmcore.persistence.schema import Whole, Words
from crmcore.services.messaging.gate import GateService
from crmcore.services.messaging.guards import GUARD
from crmcore.services.runtime import Runtime
from crmcore.services.unit import Unit

Way = Literal["plan", "claim", "narrow"]
"""
When messages are judged: when they are planned; when they are claimed, and then those that go
are; and when something was narrowed, which only those notice that may not go any more, or not to
where they would have gone.
"""

WAITING: Final = ("planned", "deferred")
UNHANDED: Final = ("planned", "deferred", "claimed")
CAP: Final = "cap"
SHADOW_GATE: Final = "shadow"
"""The gate that withholds what a plugin in shadow would have said."""
_WOULD: Final = "{plugin} is in shadow; "

_m = message.c
_row = (
    _m.message_id,
    _m.customer_id,
    _m.plugin,
    _m.message_key,
    _m.purpose,
    _m.asks,
    _m.not_before,
    _m.not_after,
)
_later: ColumnElement[int] = bindparam("j_later", type_=Whole)
_now: ColumnElement[int] = bindparam("j_now", type_=Whole)


def refused_state() -> ColumnElement[str]:
    """Return what becomes of a message that may not go: withheld, if nobody can have got it."""
    return case((_m.handed_at.is_(None), "withheld"), else_="unknown")


@frozen
class Chosen:
    """Messages to be judged, and the values of the statement that chooses them."""

    candidates: CTE
    values: dict[str, Any]


class Judging:
    """Lets the gate judge messages of one channel, all at once, and notes what it says."""

    def __init__(self, runtime: Runtime, gate: GateService) -> None:
        self._gate = gate
        self._guarded = bool(runtime.assembly.of(Plugin.guard_message))
        portable = runtime.database.portable
        self._statements: dict[tuple[int, Way], tuple[Executable, Update]] = {}
        self._waiting = select(*_row).where(
            portable.is_in(_m.message_id, "c_messages"), _m.state.in_(WAITING)
        )
        self._listed = self._waiting.cte("candidates")
        self._locked = self._waiting.where(portable.is_in(_m.customer_id, "c_customers")).cte(
            "candidates"
        )
        self._of_key = (
            select(*_row)
            .where(
                _m.message_key == bindparam("c_key"),
                _m.plugin == bindparam("c_plugin"),
                _m.state == "planned",
            )
            .cte("candidates")
        )
        self._of_customers = (
            select(*_row)
            .where(
                portable.is_in(_m.customer_id, "c_customers"),
                _m.state.in_(UNHANDED),
                _m.channel == bindparam("c_channel"),
            )
            .cte("candidates")
        )
        going = (_m.state == "planned") & _m.gate.is_(None)
        self._going = self._waiting.where(going).cte("candidates")
        self._going_of_key = (
            select(*_row)
            .where(_m.message_key == bindparam("c_key"), _m.plugin == bindparam("c_plugin"), going)
            .cte("candidates")
        )
        self._put_in_shadow = _kept_in_shadow().where(portable.is_in(_m.message_id, "c_messages"))
        self._claimed = (
            select(*_row)
            .where(
                portable.is_in(_m.message_id, "c_messages"),
                _m.state == "claimed",
                _m.lease == bindparam("c_lease"),
            )
            .cte("candidates")
        )

    @property
    def has_guards(self) -> bool:
        """Whether any plugin may hold messages back."""
        return self._guarded

    # -- who is judged -----------------------------------------------------------------------

    def listed(self, messages: Collection[int]) -> Chosen:
        return Chosen(self._listed, {"c_messages": json_list(messages)})

    def locked(self, messages: Collection[int], customers: Collection[int]) -> Chosen:
        """Choose those of *messages* that are *customers*' by now, who are locked."""
        listed = {"c_messages": json_list(messages), "c_customers": json_list(customers)}
        return Chosen(self._locked, listed)

    def of_key(self, plugin: str, key: str) -> Chosen:
        return Chosen(self._of_key, {"c_plugin": plugin, "c_key": key})

    def of_customers(self, customers: Collection[int], channel: str) -> Chosen:
        values = {"c_customers": json_list(customers), "c_channel": channel}
        return Chosen(self._of_customers, values)

    def going(self, messages: Collection[int]) -> Chosen:
        """Choose those of *messages* that the core let go when they were planned."""
        return Chosen(self._going, {"c_messages": json_list(messages)})

    def going_of_key(self, plugin: str, key: str) -> Chosen:
        return Chosen(self._going_of_key, {"c_plugin": plugin, "c_key": key})

    def claimed(self, messages: Collection[int], lease: str) -> Chosen:
        return Chosen(self._claimed, {"c_messages": json_list(messages), "c_lease": lease})

    # -- judging -----------------------------------------------------------------------------

    def judge(
        self,
        unit: Unit,
        channel: Channel,
        chosen: Chosen,
        way: Way,
        *,
        lease: str | None = None,
        until: int | None = None,
    ) -> int:
        """Judge messages by the gates of the core; returns how many rows were changed."""
        found, values = self._gate.judged(unit, chosen.candidates, channel, unit.now, chosen.values)
        terms: dict[str, Any] = {"j_now": unit.now, "j_later": unit.now + SECOND}
        if way == "claim":
            terms |= {"j_lease": lease, "j_until": until}
        return unit.connection.change(self._update(found, way), **values, **terms)

    def put_in_shadow(self, unit: Unit, plugin: str, messages: Collection[int]) -> None:
        """Withhold what a plugin in shadow planned, with what the gate said of it."""
        unit.connection.change(
            self._put_in_shadow,
            of_plugin=plugin,
            c_messages=json_list(messages),
            at=unit.now,
            why=_WOULD.format(plugin=plugin_of(plugin)),
        )

    def put_key_in_shadow(self, unit: Unit, plugin: str, key: str) -> None:
        """Withhold a broadcast that a plugin in shadow planned, with what the gate said of it."""
        why = _WOULD.format(plugin=plugin_of(plugin))
        unit.connection.change(
            _put_key_in_shadow, of_plugin=plugin, of_key=key, at=unit.now, why=why
        )

    def ask_guards(self, unit: Unit, channel: Channel, chosen: Chosen, way: Way) -> None:
        """Let plugins hold back messages that the core lets go."""
        if not self._guarded:
            return
        held = self._gate.holds(
            unit, chosen.candidates, channel, unit.now, chosen.values, is_claim=way == "claim"
        )
        if not held:
            return
        given = chosen.candidates.c
        names = (given.message_id, given.customer_id, given.plugin, given.message_key)
        rows = unit.connection.execute(select(*names), **chosen.values)
        messages = {tuple(row[1:]): row[0] for row in rows}
        never, waits = [], []
        for each in held:
            message_id = messages.get((each.customer_id, each.plugin, each.message_key))
            row = {"held": message_id, "said": each.reason}
            if message_id is None:
                continue  # a guard named somebody who was not proposed
            if each.may_go_at is None:
                never.append({**row, "at": unit.now})
            else:
                waits.append({**row, "later": max(each.may_go_at, unit.now + SECOND)})
        unit.connection.change_many(_withhold, never)
        unit.connection.change_many(_put_off, waits)

    def _update(self, found: Select[Any], way: Way) -> Update:
        kept = self._statements.get((id(found), way))
        if kept is None:
            if len(self._statements) > 256:
                self._statements.clear()
            # The select is kept too, so that no other object can take over its id.
            kept = self._statements[id(found), way] = (found, _update(found, way))
        return kept[1]


def _update(found: Select[Any], way: Way) -> Update:
    """Return the statement that notes what the gate says, for one way of judging."""
    said = found.subquery("judged")
    goes, never = said.c.gate.is_(None), said.c.may_go_at.is_(None)
    waits = case((said.c.may_go_at > _later, said.c.may_go_at), else_=_later)
    kept = case((_m.state == "deferred", "deferred"), else_="planned")
    states = UNHANDED if way == "narrow" else WAITING
    values: dict[str, Any] = {
        "state": case(
            (goes, {"claim": "claimed", "narrow": "planned", "plan": _m.state}[way]),
            (never, refused_state()),
            else_=kept,
        ),
        "gate": said.c.gate,
        "reason": said.c.reason,
        "point": case((said.c.point.is_(None), _m.point), else_=said.c.point),
        "not_before": case(
            (or_(goes, never), _m.not_before),
            (_m.not_before > waits, _m.not_before),
            else_=waits,
        ),
        "settled_at": case((and_(~goes, never), _now), else_=null()),
        "lease": null(),
        "leased_until": null(),
    }
    where = [
        message.c.message_id == said.c.message_id,
        message.c.customer_id == said.c.customer_id,
        message.c.state.in_(states),
    ]
    if way == "claim":
        values["lease"] = case((goes, bindparam("j_lease", type_=Words)), else_=null())
        values["leased_until"] = case((goes, bindparam("j_until", type_=Whole)), else_=null())
    elif way == "narrow":
        # What is claimed counts for caps itself, so only they must not hold it back. What would
        # go to another address by now is claimed anew, as the one it was read with may be closed.
        moved = _m.point.is_distinct_from(said.c.point)
        held = and_(~goes, said.c.gate != CAP)
        where.append(or_(and_(~goes, never), and_(_m.state == "claimed", or_(held, moved))))
    return update(message).where(*where).values(values)


def _kept_in_shadow() -> Update:
    """Return the statement that withholds what a plugin in shadow has just planned."""
    says = func.coalesce(_m.gate, "").concat(": ").concat(func.coalesce(_m.reason, ""))
    said = case((_m.gate.is_(None), "it would go"), else_=says)
    return (
        update(message)
        .where(_m.plugin == bindparam("of_plugin"), _m.handed_at.is_(None))
        .values(
            state="withheld",
            gate=SHADOW_GATE,
            reason=bindparam("why", type_=Words).concat(said),
            settled_at=bindparam("at"),
            lease=None,
            leased_until=None,
        )
    )


_put_key_in_shadow = _kept_in_shadow().where(_m.message_key == bindparam("of_key"))
_withhold = (
    update(message)
    .where(_m.message_id == bindparam("held"), _m.state.in_(UNHANDED))
    .values(
        state=refused_state(),
        gate=GUARD,
        reason=bindparam("said"),
        settled_at=bindparam("at"),
        lease=None,
        leased_until=None,
    )
)
_put_off = (
    update(message)
    .where(_m.message_id == bindparam("held"), _m.state.in_(UNHANDED))
    .values(
        state="planned",
        gate=GUARD,
        reason=bindparam("said"),
        not_before=bindparam("later"),
        lease=None,
        leased_until=None,
    )
)
