"""What a merge does with consent, brakes and zones: it never lets anything go that did not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import bindparam, delete, insert, select, update

from crmcore.domain.consent import (
    ANY,
    WIDENING,
    ConsentEntry,
    decisive,
    standing_of,
)
from crmcore.persistence.connection import Connection, Row
from crmcore.persistence.consent import brake, consent
from crmcore.services.merging.merged_parts import Kept, Pair
from crmcore.services.messaging.consent import ConsentService
from crmcore.services.unit import Unit

Cell = tuple[str, str, str]

_of_customer = select(
    consent.c.effect,
    consent.c.point,
    consent.c.channel,
    consent.c.purpose,
    consent.c.occurred_at,
    consent.c.recorded_at,
    consent.c.interaction_id,
    consent.c.merge_id,
).where(consent.c.customer_id == bindparam("owner"))
_brakes_of = (
    select(
        brake.c.interaction_id,
        brake.c.merge_id,
        brake.c.brake,
        brake.c.is_set,
        brake.c.occurred_at,
        brake.c.until,
    )
    .where(brake.c.customer_id == bindparam("owner"))
    .order_by(brake.c.interaction_id, brake.c.merge_id)
)
_insert = insert(consent)
_insert_brake = insert(brake)
_give = [
    update(table)
    .where(table.c.customer_id == bindparam("giver"), table.c.merge_id == bindparam("by_merge"))
    .values(customer_id=bindparam("taker"))
    for table in (consent, brake)
]
_undo = [
    delete(table).where(
        table.c.customer_id == bindparam("owner"), table.c.merge_id == bindparam("by_merge")
    )
    for table in (consent, brake)
]


class Consents:
    """
    What both said is the survivor's, and where one of the two said no it stays a no.

    Rows that follow from the ledger are made anew from it. Where what both said, told as one
    person's, would let something go that one of them does not, a row of the merge's own says no,
    as of the merge: what is agreed to later counts again. So with brakes that are on for one of
    them, and were lifted for the other.
    """

    def __init__(self, service: ConsentService) -> None:
        self._service = service

    def merge(self, unit: Unit, pair: Pair) -> Kept:
        connection = unit.connection
        sides = [entries_of(connection, each) for each in pair.both]
        brakes = [connection.execute(_brakes_of, owner=each) for each in pair.both]
        earlier = sorted(
            {merge_id for _, merge_id in sides[1] if merge_id} | {r[1] for r in brakes[1] if r[1]}
        )
        self._move(connection, earlier, pair.merged, pair.survivor)
        self._service.recompute(unit, pair.both)
        one, other = ([entry for entry, _ in side] for side in sides)
        rows = [
            (
                pair.survivor,
                entry.interaction_id,
                pair.merge_id,
                *cell,
                "merged",
                max(unit.now, *(e.occurred_at for e in (*one, *other) if e.effect in WIDENING)),
                unit.now,
            )
            for cell, entry in narrowed(one, other)
        ]
        connection.insert_rows(_insert, rows)
        connection.insert_rows(_insert_brake, list(_kept_on(pair, brakes, unit.now)))
        return earlier

    def undo(self, unit: Unit, pair: Pair, kept: Kept) -> None:
        connection = unit.connection
        for statement in _undo:
            connection.change(statement, owner=pair.survivor, by_merge=pair.merge_id)
        self._move(connection, kept, pair.survivor, pair.merged)
        self._service.recompute(unit, pair.both)

    def _move(self, connection: Connection, merges: Sequence[int], giver: int, taker: int) -> None:
        """Give the rows of earlier merges from one customer to the other."""
        for statement in _give:
            connection.change_many(
                statement, [{"giver": giver, "taker": taker, "by_merge": each} for each in merges]
            )


def _kept_on(pair: Pair, brakes: Sequence[Sequence[Row]], now: int) -> Iterator[tuple[Any, ...]]:
    """Yield a row for each brake that is on for one of the two, and that the other's lift ends."""

    def lifted(rows: Iterable[Row], name: str) -> int:
        return max((row[4] for row in rows if row[2] == name and not row[3]), default=-1)

    both = [row for side in brakes for row in side]
    last: dict[int, tuple[Any, ...]] = {}
    for side in brakes:
        for interaction_id, _, name, is_set, at, until in side:
            if is_set and lifted(side, name) <= at < lifted(both, name):
                since = max(now, lifted(both, name))
                last[interaction_id] = (
                    pair.survivor,
                    interaction_id,
                    pair.merge_id,
                    name,
                    1,
                    since,
                    until,
                )
    yield from last.values()


def entries_of(connection: Connection, customer: int) -> list[tuple[ConsentEntry, int]]:
    """Return what was said of a customer's consent, each with the merge that said it, or 0."""
    return [
        (
            ConsentEntry(
                effect=effect,
                point=point,
                channel=channel,
                purpose=purpose,
                occurred_at=occurred_at,
                recorded_at=recorded_at,
                interaction_id=interaction_id,
            ),
            merge_id,
        )
        for (
            effect,
            point,
            channel,
            purpose,
            occurred_at,
            recorded_at,
            interaction_id,
            merge_id,
        ) in connection.execute(_of_customer, owner=customer)
    ]


def narrowed(
    one: Sequence[ConsentEntry], other: Sequence[ConsentEntry]
) -> Iterator[tuple[Cell, ConsentEntry]]:
    """Yield what both together would allow, and one alone does not; with the no that stands."""
    both = [*one, *other]
    for cell in sorted(_cells(both)):
        if standing_of(both, *cell) == "withdrawn":
            continue
        noes = [
            entry
            for side in (one, other)
            if standing_of(side, *cell) == "withdrawn"
            for entry in (decisive(side, *cell, "withdrawn"),)
            if entry is not None
        ]
        if noes:
            yield cell, max(noes, key=lambda e: (e.occurred_at, e.interaction_id))


def _cells(entries: Iterable[ConsentEntry]) -> set[Cell]:
    """Return the points, channels and purposes that somebody agreed to; nothing else can go."""
    return {
        (e.point, e.channel, e.purpose)
        for e in entries
        if e.effect in WIDENING and ANY not in (e.point, e.channel, e.purpose)
    }
