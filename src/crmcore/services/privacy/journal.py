"""The journal of erasures: what is done again after an older backup was restored."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Final

from sqlalchemy import bindparam, select, update

from crmcore.domain.privacy import JournalEntry
from crmcore.persistence.connection import Connection
from crmcore.persistence.customers import identifier
from crmcore.persistence.privacy import erasure
from crmcore.services.unit import Unit

_AT_ONCE: Final = 500

_entries = select(erasure.c.recorded_at, erasure.c.points, erasure.c.actor).order_by(
    erasure.c.erasure_id
)
_verified = (
    update(erasure)
    .where(erasure.c.customer_id == bindparam("who"), erasure.c.verified_at.is_(None))
    .values(verified_at=bindparam("at"))
)
_unverified = (
    select(erasure.c.customer_id)
    .where(erasure.c.verified_at.is_(None))
    .order_by(erasure.c.erasure_id)
)
# Read as a whole, since it is done once after a backup was restored.
_known = select(identifier.c.point, identifier.c.customer_id, identifier.c.recorded_at)


def note_verified(unit: Unit, customer_id: int) -> None:
    """Note that it was looked for what may be left of a customer."""
    unit.connection.change(_verified, who=customer_id, at=unit.now)


def entries(connection: Connection) -> list[JournalEntry]:
    """Return all erasures on record, in order."""
    return [
        JournalEntry(erased_at=at, points=tuple(json.loads(points)), actor=actor)
        for at, points, actor in connection.execute(_entries)
    ]


def unverified(connection: Connection) -> list[int]:
    """Return the customers of whom an erasure was not verified to the end, in order."""
    return [*dict.fromkeys(who for (who,) in connection.execute(_unverified))]


def brought_back(connection: Connection, given: Iterable[JournalEntry]) -> list[int]:
    """
    Return the customers who were erased, and are there again as if they had not been.

    They were known so before the erasure: whoever came afterwards came by themself.
    """
    erased: dict[str, int] = {}
    for each in [*entries(connection), *given]:
        for point in each.points:
            erased[point] = max(each.erased_at, erased.get(point, each.erased_at))
    if not erased:
        return []
    return sorted(
        {
            customer_id
            for rows in connection.stream(_known, size=_AT_ONCE)
            for point, customer_id, since in rows
            if since <= erased.get(point, since - 1)
        }
    )
