"""What a merge does with rows of the core that are neither of the ledger nor derived."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from attrs import frozen
from sqlalchemy import bindparam, exists, select, update

from crmcore.persistence.connection import Connection
from crmcore.persistence.cursors import backlog
from crmcore.persistence.faults import debt
from crmcore.persistence.ledger import interaction
from crmcore.persistence.merges import match, relation
from crmcore.persistence.portable import Portable, json_list
from crmcore.persistence.stages import stage
from crmcore.persistence.timers import timer
from crmcore.services.merging.merged_rows import OwnedRows, Shape
from crmcore.services.unit import Unit

Kept = Any
"""What is put aside in `crm_merge.shelved`: whatever JSON can hold."""


@frozen
class Pair:
    """
    The two customers of a merge.

    Attributes:
        first_since: An id below which all interactions of both were, when they were merged.
        survivors: The survivor, and all who were merged into them before.
        others: The merged one, and all who were merged into them before.
    """

    merge_id: int
    survivor: int
    merged: int
    first_since: int
    survivors: frozenset[int] = frozenset()
    others: frozenset[int] = frozenset()

    @property
    def both(self) -> tuple[int, int]:
        return self.survivor, self.merged


class Part(Protocol):
    """One noun's share of a merge."""

    def merge(self, unit: Unit, pair: Pair) -> Kept:
        """Move the rows, and return what is needed to undo it."""

    def undo(self, unit: Unit, pair: Pair, kept: Kept) -> None:
        """Put everything back; the ledger's rows are back by then."""


_since = select(
    exists().where(
        interaction.c.customer_id == bindparam("customer"),
        interaction.c.interaction_id >= bindparam("first"),
    )
)


def has_since(unit: Unit, customer: int, first: int) -> bool:
    """Return whether the customer has an interaction with an id from *first* on."""
    return bool(unit.connection.execute(_since, customer=customer, first=first)[0][0])


_stages = select(
    stage.c.customer_id, stage.c.lifecycle, stage.c.subject, stage.c.stage, stage.c.announced
).where(stage.c.customer_id.in_([bindparam("one"), bindparam("other")]))
_one_stage = (stage.c.customer_id == bindparam("customer")) & (
    stage.c.lifecycle == bindparam("about")
)
_tell_nobody = update(stage).where(_one_stage).values(announced=stage.c.stage)
_tell_as_before = (
    update(stage)
    .where(
        _one_stage,
        stage.c.subject == bindparam("on_subject"),
        stage.c.stage == bindparam("at"),
    )
    .values(announced=bindparam("told"))
)


@frozen
class Announcements:
    """The stages that automation was last told of: a merge tells it nothing, now or later."""

    refold: Callable[[Unit, Sequence[int]], None]
    lifecycles: Sequence[str]

    def merge(self, unit: Unit, pair: Pair) -> Kept:
        rows = unit.connection.execute(_stages, one=pair.survivor, other=pair.merged)
        self._fold_silently(unit, pair)
        return sorted(map(list, rows))

    def undo(self, unit: Unit, pair: Pair, kept: Kept) -> None:
        self._fold_silently(unit, pair)
        # Who stands elsewhere by now has been moved by what was recorded, or by time.
        unit.connection.change_many(
            _tell_as_before,
            [
                {"customer": c, "about": about, "on_subject": subject, "at": at, "told": told}
                for c, about, subject, at, told in kept
            ],
        )

    def _fold_silently(self, unit: Unit, pair: Pair) -> None:
        self.refold(unit, pair.both)
        unit.connection.change_many(
            _tell_nobody,
            [{"customer": c, "about": name} for c in pair.both for name in self.lifecycles],
        )


class Timers:
    """Timers go to the survivor, who keeps their own where both have one of a key."""

    _shape: Final = Shape.of(timer)

    def merge(self, unit: Unit, pair: Pair) -> Kept:
        rows = OwnedRows.cached(unit.connection, self._shape)
        moved, shelved = rows.move(unit.connection, pair.merged, pair.survivor)
        return {"moved": moved, "shelved": shelved}

    def undo(self, unit: Unit, pair: Pair, kept: Kept) -> None:
        connection = unit.connection
        rows = OwnedRows.cached(connection, self._shape)
        key = rows.key_of
        present = {tuple(key(r).values()): r for r in rows.of(connection, pair.survivor)}
        back: list[Mapping[str, Any]] = list(kept["shelved"])
        for row in kept["moved"]:
            now = present.get(tuple(key(row).values()))
            if now is None:
                continue  # it fired, or was taken back
            back.append({**now, "customer_id": pair.merged})
            if now == {**row, "customer_id": pair.survivor}:
                rows.drop(connection, [key(row)], pair.survivor)
            # One that was set anew meanwhile is about both: each keeps it.
        rows.put(connection, back)


class Debts:
    """Debts of both are the survivor's; what they owed on their own comes back."""

    _shape: Final = Shape.of(debt)

    def merge(self, unit: Unit, pair: Pair) -> Kept:
        connection = unit.connection
        rows = OwnedRows.cached(connection, self._shape)
        kept = {str(c): {r["plugin"]: r for r in rows.of(connection, c)} for c in pair.both}
        mine, theirs = kept[str(pair.survivor)], kept[str(pair.merged)]
        for plugin in sorted({*mine, *theirs}):
            found = [each[plugin] for each in (mine, theirs) if plugin in each]
            told = [t for r in found for t in json.loads(r["missed_stages"] or "[]")]
            told = [{**t, "customer_id": pair.survivor} for t in told]
            both = {
                "plugin": plugin,
                "first_interaction_id": min(r["first_interaction_id"] for r in found),
                "missed_stages": None,
                "attempt": 0,
                "run_at": min(r["run_at"] for r in found),
            }
            for c in pair.both:
                rows.drop(connection, [{"plugin": plugin}], c)
            missed = json.dumps(told) if told else None
            rows.put(
                connection,
                [
                    {**both, "customer_id": pair.survivor, "missed_stages": missed},
                    {**both, "customer_id": pair.merged},
                ],
            )
        return kept

    def undo(self, unit: Unit, pair: Pair, kept: Kept) -> None:
        connection = unit.connection
        rows = OwnedRows.cached(connection, self._shape)
        owed = {r["plugin"]: r for r in rows.of(connection, pair.survivor)}
        rows.drop(connection, rows.of(connection, pair.merged), pair.merged)
        rows.drop(connection, list(owed.values()), pair.survivor)
        for plugin, now in owed.items():
            before = {c: kept[str(c)].get(plugin) for c in pair.both}
            firsts = [r["first_interaction_id"] for r in before.values() if r is not None]
            paid = not firsts or min(firsts) != now["first_interaction_id"]
            if paid:  # and owing again since: the survivor, for what either missed
                rows.put(connection, [now])
                before, first = {pair.merged: None}, now["first_interaction_id"]
            else:
                first = pair.first_since
            for c, row in before.items():
                told = None if paid else self._missed(now, before, c == pair.survivor)
                if row is not None:
                    rows.put(connection, [{**row, "missed_stages": told}])
                elif told or has_since(unit, c, first):
                    late = {**now, "customer_id": c, "first_interaction_id": first}
                    rows.put(connection, [{**late, "missed_stages": told}])
        unit.opening.owes = unit.opening.owes or bool(owed)

    def _missed(
        self, now: Mapping[str, Any], before: Mapping[int, Any], survivor: bool
    ) -> str | None:
        """Return the changes a customer's plugin was not told of: their own, and later ones."""
        lists = [json.loads((r or {}).get("missed_stages") or "[]") for r in before.values()]
        own = lists[0] if survivor else lists[1]
        if survivor:
            own += json.loads(now["missed_stages"] or "[]")[len(lists[0]) + len(lists[1]) :]
        return json.dumps(own) if own else None


class Backlogs:
    """Rows that wait for a plugin wait from the earlier position on; nothing is passed over."""

    _shape: Final = Shape.of(backlog)

    def merge(self, unit: Unit, pair: Pair) -> Kept:
        connection = unit.connection
        rows = OwnedRows.cached(connection, self._shape)
        kept = {str(c): rows.of(connection, c) for c in pair.both}
        first: dict[tuple[str, str], dict[str, Any]] = {}
        for row in [*kept[str(pair.survivor)], *kept[str(pair.merged)]]:
            key = row["plugin"], row["hook"]
            if key not in first or _position(row) < _position(first[key]):
                first[key] = {**row, "customer_id": pair.survivor}
        for c in pair.both:
            rows.drop(connection, kept[str(c)], c)
        rows.put(connection, list(first.values()))
        return kept

    def undo(self, unit: Unit, pair: Pair, kept: Kept) -> None:
        connection = unit.connection
        rows = OwnedRows.cached(connection, self._shape)
        before = {(c, r["plugin"], r["hook"]): r for c in pair.both for r in kept[str(c)]}
        for now in rows.of(connection, pair.survivor):
            rows.drop(connection, [now], pair.survivor)
            known = any((c, now["plugin"], now["hook"]) in before for c in pair.both)
            for c in pair.both:
                own = before.get((c, now["plugin"], now["hook"]))
                if own is not None:
                    later = max(_position(own), _position(now))
                    at = dict(zip(_POSITION, later, strict=True))
                    rows.put(connection, [{**own, **at}])
                elif not known or has_since(unit, c, pair.first_since):
                    rows.put(connection, [{**now, "customer_id": c}])


_POSITION: Final = ("position_xid", "position_id")


def _position(row: Mapping[str, Any]) -> tuple[int, int]:
    return row["position_xid"], row["position_id"]


_theirs = (relation.c.customer_id == bindparam("person")) | (
    relation.c.other_id == bindparam("person")
)
_relations = select(*relation.columns).where(_theirs)
_ENDS: Final = ("customer_id", "other_id")
_others = select(relation.c.customer_id, relation.c.other_id).where(_theirs)


class Relations:
    """Relations of the merged customer are the survivor's, but for those to themself."""

    def merge(self, unit: Unit, pair: Pair) -> Kept:
        connection = unit.connection
        rows = OwnedRows.cached(connection, Shape.of(relation))
        names = list(relation.c.keys())
        kept = []
        for values in sorted(connection.execute(_relations, person=pair.merged)):
            row = dict(zip(names, values, strict=True))
            ends = {e: pair.survivor if row[e] == pair.merged else row[e] for e in _ENDS}
            rows.drop(connection, [row], row["customer_id"])
            new = {**row, **ends}
            written = new["customer_id"] != new["other_id"] and rows.put(connection, [new])
            kept.append([row, new if written else None])
        return kept

    def undo(self, unit: Unit, pair: Pair, kept: Kept) -> None:
        connection = unit.connection
        rows = OwnedRows.cached(connection, Shape.of(relation))
        for row, new in kept:
            if new is not None and not _is_there(rows, unit, new):
                continue  # it was taken back meanwhile
            if new is not None:
                rows.drop(connection, [new], new["customer_id"])
            rows.put(connection, [row])


def related_to(connection: Connection, customer: int) -> set[int]:
    """Return everybody a customer is related to, either way."""
    rows = connection.execute(_others, person=customer)
    return {end for row in rows for end in row} - {customer}


def ends_of(kept: Kept) -> set[int]:
    """Return everybody who is at an end of the relations that a merge changed."""
    return {row[end] for row, _ in kept for end in _ENDS}


def _is_there(rows: OwnedRows, unit: Unit, row: Mapping[str, Any]) -> bool:
    present = map(rows.key_of, rows.of(unit.connection, row["customer_id"]))
    return rows.key_of(row) in list(present)


_matches = select(
    match.c.customer_id, match.c.other_id, match.c.status, match.c.decided_at, match.c.actor
)
_decide = (
    update(match)
    .where(match.c.customer_id == bindparam("one"), match.c.other_id == bindparam("other"))
    .values(status=bindparam("now_is"), decided_at=bindparam("at"), actor=bindparam("by"))
)


class Matches:
    """The proposals that the two are one, of them or of whom they were merged from."""

    def __init__(self, portable: Portable) -> None:
        both = portable.is_in(match.c.customer_id, "all"), portable.is_in(match.c.other_id, "all")
        self._among = _matches.where(*both).order_by(match.c.customer_id, match.c.other_id)

    def merge(self, unit: Unit, pair: Pair) -> Kept:
        every = json_list(sorted({*pair.survivors, *pair.others}))
        rows = [
            list(row)
            for row in unit.connection.execute(self._among, all=every)
            if (row[0] in pair.others) != (row[1] in pair.others)
        ]
        for one, other, *_ in rows:
            self._decide(unit, one, other, "merged", unit.now, unit.actor)
        return rows

    def undo(self, unit: Unit, pair: Pair, kept: Kept) -> None:
        for one, other, status, decided_at, actor in kept:
            if status == "rejected":
                self._decide(unit, one, other, status, decided_at, actor)
            else:
                # Somebody has looked at it by now, so no policy may agree to it by itself.
                self._decide(unit, one, other, "open", unit.now, actor)

    def _decide(
        self, unit: Unit, one: int, other: int, status: str, at: int | None, by: str | None
    ) -> None:
        unit.connection.change(_decide, one=one, other=other, now_is=status, at=at, by=by)
