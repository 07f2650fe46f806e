"""Access: who looked at whom, what of, and why; written before anything is shown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final, Literal

from attrs import frozen
from sqlalchemy import bindparam, case, func, insert, select

from crmcore.domain.clock import SECOND, to_datetime
from crmcore.domain.role import ALARM
from crmcore.persistence.connection import Connection
from crmcore.persistence.ids import next_ids
from crmcore.persistence.merges import merge
from crmcore.persistence.privacy import access, access_ids

NOBODY: Final = 0
"""Stands for the customer of an access that is about nobody in particular."""
HOUR: Final = 3600 * SECOND
_NO_LOOKS: Final = (ALARM, "approve")
"""Actions that are noted and look at nobody."""
_EVER: Final = 2**63 - 1

Outcome = Literal["allowed", "refused"]

_insert = insert(access)
_newest = (access.c.recorded_at.desc(), access.c.access_id.desc())
_about = (
    select(*access.columns)
    .where(
        access.c.customer_id == bindparam("customer"),
        access.c.recorded_at.between(bindparam("low"), bindparam("high")),
    )
    .order_by(*_newest)
    .limit(bindparam("most"))
)
_by = (
    select(*access.columns)
    .where(access.c.actor == bindparam("who"))
    .order_by(*_newest)
    .limit(bindparam("most"))
)
_alarms = (
    select(*access.columns)
    .where(access.c.action == ALARM)
    .order_by(*_newest)
    .limit(bindparam("most"))
)
_since = (access.c.actor == bindparam("who")) & (access.c.recorded_at > bindparam("after"))
_is_nobody = access.c.customer_id == NOBODY
_looked_at = select(
    func.count(case((~_is_nobody, access.c.customer_id)).distinct()),
    func.count(case((_is_nobody, access.c.access_id))),
).where(_since, access.c.action.not_in(_NO_LOOKS))
_alarmed = select(func.count()).where(_since, access.c.action == ALARM)
_exported = (
    select(access.c.customer_id)
    .where(_since, access.c.action == "export", access.c.outcome == "allowed")
    .distinct()
)
_undone = select(merge.c.survivor_id, merge.c.recorded_at, merge.c.undone_at).where(
    merge.c.merged_id == bindparam("customer"), merge.c.undone_at.is_not(None)
)


@frozen(kw_only=True)
class Access:
    """
    Somebody looked at a customer, or tried to; the instant is in microseconds.

    Attributes:
        actor: Who, such as `staff:grace`.
        role: The roles they had then.
        action: See `crmcore.domain.role.Action`; `find`, and `alarm`.
        customer_id: Whom; 0: nobody in particular.
        fields: Names of what was asked for, never values.
    """

    id: int
    recorded_instant: int
    actor: str
    role: str
    action: str
    outcome: Outcome
    customer_id: int
    fields: tuple[str, ...]
    reason: str | None

    @property
    def recorded_at(self) -> datetime:
        return to_datetime(self.recorded_instant)


@frozen(kw_only=True)
class Looker:
    """Who looks, in which roles, and after how many customers an hour it is noted."""

    actor: str
    role: str
    alarm_above: int


@frozen(kw_only=True)
class Look:
    """What is to be noted: an action on some fields of a customer."""

    action: str
    customer_id: int
    fields: tuple[str, ...] = ()
    outcome: Outcome = "allowed"
    reason: str | None = None


def note(connection: Connection, who: Looker, looks: Sequence[Look], now: int) -> None:
    """Write down what somebody is about to be shown, or was refused."""
    ids = next_ids(connection, access_ids, access.c.access_id, len(looks)) if looks else ()
    rows = [
        (
            number,
            now,
            who.actor,
            who.role,
            look.action,
            look.outcome,
            look.customer_id,
            look.customer_id,
            ",".join(sorted(look.fields)),
            look.reason,
        )
        for number, look in zip(ids, looks, strict=True)
    ]
    connection.insert_rows(_insert, rows)
    if any(look.action not in _NO_LOOKS for look in looks):
        _watch(connection, who, now)


def _watch(connection: Connection, who: Looker, now: int) -> None:
    """
    Note, once in an hour, that somebody looks at more customers than their roles expect.

    Whoever asks for somebody who is not there guesses; each time counts as one more customer.
    """
    ((count, guesses),) = connection.execute(_looked_at, who=who.actor, after=now - HOUR)
    if count + guesses <= who.alarm_above:
        return
    if connection.execute(_alarmed, who=who.actor, after=now - HOUR)[0][0]:
        return
    guessed = f", and {guesses:,} that there are not," if guesses else ""
    reason = (
        f"{count} different customers{guessed} in an hour; up to {who.alarm_above} are expected"
    )
    note(connection, who, [Look(action=ALARM, customer_id=NOBODY, reason=reason)], now)


def exported_since(connection: Connection, actor: str, after: int) -> set[int]:
    """Return whom somebody has exported after an instant."""
    return {row[0] for row in connection.execute(_exported, who=actor, after=after)}


def who_saw(connection: Connection, customer_id: int, *, most: int) -> list[Access]:
    """
    Return who looked at a customer, newest first.

    While they were merged into somebody, whoever looked at that one looked at them.
    """
    rows: dict[int, Sequence[Any]] = {}
    spans = [(customer_id, -_EVER, _EVER)]
    while spans:
        one, low, high = spans.pop()
        found = connection.execute(_about, customer=one, low=low, high=high, most=most)
        rows |= {row[0]: row for row in found}
        for survivor, since, until in connection.execute(_undone, customer=one):
            if max(low, since) <= min(high, until):
                spans.append((survivor, max(low, since), min(high, until)))
    newest = sorted(rows.values(), key=lambda row: (row[1], row[0]), reverse=True)
    return _as_values(newest[:most])


def accesses_of(connection: Connection, actor: str, *, most: int) -> list[Access]:
    """Return what somebody looked at, newest first."""
    return _as_values(connection.execute(_by, who=actor, most=most))


def alarms(connection: Connection, *, most: int) -> list[Access]:
    """Return who looked at more customers than their roles expect, newest first."""
    return _as_values(connection.execute(_alarms, most=most))


def _as_values(rows: Iterable[Sequence[Any]]) -> list[Access]:
    return [
        Access(
            id=row[0],
            recorded_instant=row[1],
            actor=row[2],
            role=row[3],
            action=row[4],
            outcome=row[5],
            customer_id=row[6],
            fields=tuple(filter(None, row[8].split(","))),
            reason=row[9],
        )
        for row in rows
    ]
