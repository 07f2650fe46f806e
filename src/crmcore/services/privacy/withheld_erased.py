"""What keeps the shop from writing to somebody it has forgotten: their no outlives them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, Final

from sqlalchemy import Select, bindparam, select, update

from crmcore.domain.consent import ANY, NARROWING, ConsentEntry, standing_of
from crmcore.domain.spelling import Needle, holding
from crmcore.persistence.connection import Connection
from crmcore.persistence.consent import consent, withheld
from crmcore.persistence.portable import json_list
from crmcore.services.messaging import withholding
from crmcore.services.unit import Unit

UNSOLICITED: Final = "unsolicited"
ERASED: Final = "erased"
WITHDRAWN: Final = "withdrawn"

_actors: Final = tuple(
    (
        select(who).where(who.is_not(None)).distinct(),
        update(withheld).where(who == bindparam("was")).values({who: bindparam("hashed")}),
    )
    for who in (withheld.c.actor, withheld.c.lifted_by)
)


def withhold_erased(unit: Unit, people: Sequence[int], points: Sequence[str]) -> None:
    """
    Let nothing go to these points but what somebody has to be told; and carry over every no.

    Only a consent of their own, given afterwards, opens them again; an imported one does not.
    """
    now = withholding.since_grants(unit.connection, points, unit.now)
    rows = [_row(unit, point, ANY, UNSOLICITED, ERASED, now) for point in points]
    entries = _entries(unit.connection, people)
    for point in points:
        for channel, purpose, since in _refused(entries, point):
            rows.append(
                _row(
                    unit,
                    point,
                    channel,
                    UNSOLICITED if purpose == ANY else purpose,
                    WITHDRAWN,
                    since,
                )
            )
    withholding.write(unit.connection, list({row[:4]: row for row in rows}.values()))


def clear_actors(
    connection: Connection, needles: Collection[Needle], hashed: Callable[[str], str]
) -> None:
    """Put its hash where the person themself is who had a point withheld, or lifted."""
    for find, change in _actors:
        changed = [
            {"was": actor, "hashed": hashed(actor)}
            for (actor,) in connection.execute(find)
            if holding(needles, actor)
        ]
        connection.change_many(change, changed)


def _row(
    unit: Unit, point: str, channel: str, purpose: str, reason: str, since: int
) -> tuple[Any, ...]:
    return (point, channel, purpose, reason, since, None, unit.actor, None, None)


def _refused(entries: Sequence[ConsentEntry], point: str) -> list[tuple[str, str, int]]:
    """Return on which channels and for which purposes a no stands, and since when."""
    cells = {
        (each.channel, each.purpose)
        for each in entries
        if each.effect in NARROWING and each.point in (ANY, point)
    }
    return [
        (channel, purpose, max(e.occurred_at for e in entries if e.effect in NARROWING))
        for channel, purpose in sorted(cells)
        if standing_of(entries, point, channel, purpose) == WITHDRAWN
    ]


def _entries(connection: Connection, people: Sequence[int]) -> list[ConsentEntry]:
    def build() -> Select[Any]:
        c = consent.c
        return select(
            c.effect, c.point, c.channel, c.purpose, c.occurred_at, c.recorded_at, c.interaction_id
        ).where(connection.database.portable.is_in(c.customer_id, "people"))

    statement = connection.database.once("consent of people", build)
    rows = connection.execute(statement, people=json_list(people))
    return [
        ConsentEntry(
            effect=row[0],
            point=row[1],
            channel=row[2],
            purpose=row[3],
            occurred_at=row[4],
            recorded_at=row[5],
            interaction_id=row[6],
        )
        for row in rows
    ]
