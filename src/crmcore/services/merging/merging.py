"""Merging: two customers found to be one person become one, and two again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from attrs import field, frozen
from sqlalchemy import bindparam, func, or_, select

from crmcore.domain.identity import Identifier
from crmcore.errors import CustomerNotFoundError, MergeError, NotFoundError, RetryTransaction
from crmcore.hooks import CustomerList, Plugin
from crmcore.persistence import merging as statements
from crmcore.persistence.faults import debt
from crmcore.persistence.ids import next_ids
from crmcore.persistence.merges import merge, merge_ids
from crmcore.persistence.portable import json_list
from crmcore.services import faults
from crmcore.services.background.debts import DebtService
from crmcore.services.dispatcher import Dispatcher
from crmcore.services.identities.identity import Known
from crmcore.services.identities.registration import Name
from crmcore.services.merging.merged_consent import Consents
from crmcore.services.merging.merged_messages import Messages
from crmcore.services.merging.merged_parts import (
    Announcements,
    Backlogs,
    Debts,
    Matches,
    Pair,
    Part,
    Relations,
    Timers,
    ends_of,
    related_to,
)
from crmcore.services.merging.merged_rows import OwnedRows, Shape, decoded, encoded
from crmcore.services.merging.merged_tasks import Accesses, Tasks
from crmcore.services.messaging.consent import ConsentService
from crmcore.services.privacy.erased import refuse_erased, refuse_unmerge
from crmcore.services.recording.lifecycle import LifecycleService
from crmcore.services.runtime import Runtime
from crmcore.services.unit import Unit


@frozen(kw_only=True)
class Merge:
    """
    Two customers who became one.

    Attributes:
        id: Its own, by which it is undone.
        survivor: Whom everything belongs to now.
        merged: Who was found to be them, too.
        recorded_at: In microseconds.
        actor: Who did it, where the shop said so.
        reason: Why, as it was given.
        interactions: How many of the ledger's rows moved.
        identifiers: How many identifiers moved.
        rows: How many rows of plugins' own tables moved, by table.
        shelved: How many the survivor's own stood in the way of, by table; they come back.
        undone_at: When it was undone, or None.
    """

    id: int
    survivor: int
    merged: int
    recorded_at: int
    actor: str | None
    reason: str | None
    interactions: int = 0
    identifiers: int = 0
    rows: Mapping[str, int] = field(factory=dict)
    shelved: Mapping[str, int] = field(factory=dict)
    undone_at: int | None = None


@frozen(kw_only=True)
class Unmerged:
    """
    A merge that was undone.

    Attributes:
        merge_id: Which merge.
        survivor: Who had taken everything over.
        merged: Who is a customer of their own again.
        interactions: How many of the ledger's rows went back.
        identifiers: How many identifiers went back.
        rows: How many rows of plugins' own tables went back, by table.
        unclear: Interactions since of which nobody can say whose; they stay with the survivor.
    """

    merge_id: int
    survivor: int
    merged: int
    interactions: int
    identifiers: int
    rows: Mapping[str, int]
    unclear: Sequence[int]


class MergeService:
    """Merges customers, and undoes it; whatever is not the ledger's has a part of its own."""

    def __init__(
        self,
        runtime: Runtime,
        dispatcher: Dispatcher,
        debts: DebtService,
        lifecycles: Sequence[LifecycleService],
    ) -> None:
        self._runtime = runtime
        self._dispatcher = dispatcher
        self._debts = debts
        portable = runtime.database.portable

        def refold(unit: Unit, customers: Sequence[int]) -> None:
            for each in lifecycles:
                each.refold(unit, customers)

        self._parts: Mapping[str, Part] = {
            "announced": Announcements(refold, [each.lifecycle.name for each in lifecycles]),
            "timers": Timers(),
            "debts": Debts(),
            "backlog": Backlogs(),
            "relations": Relations(),
            "match": Matches(portable),
            "consent": Consents(ConsentService(runtime)),
            "tasks": Tasks(portable),
            "access": Accesses(portable),
            "messages": Messages(portable),
        }
        self._declared = {
            each.table.name: Shape.of(each.table)
            for plugin in runtime.assembly
            for each in plugin.tables
        }
        self._recomputes = runtime.assembly.of(Plugin.recompute_customers)
        self._debtors = select(debt.c.plugin, debt.c.customer_id).where(
            portable.is_in(debt.c.customer_id, "customers")
        )
        self._later = select(func.max(merge.c.merge_id)).where(
            merge.c.merge_id > bindparam("wanted"),
            merge.c.undone_at.is_(None),
            or_(
                portable.is_in(merge.c.survivor_id, "customers"),
                portable.is_in(merge.c.merged_id, "customers"),
            ),
        )
        self._merged_into = select(merge.c.merged_id).where(
            portable.is_in(merge.c.survivor_id, "customers"), merge.c.undone_at.is_(None)
        )
        self._give_back, self._name_back = statements.going_back(portable)

    # -- merging -----------------------------------------------------------------------------

    def merge(
        self, unit: Unit, into: int | Name, gone: int | Name, reason: str | None = None
    ) -> Merge:
        """
        Make two customers, given by id or name, one; nothing is announced, and nobody is asked.

        Raises:
            CustomerNotFoundError: If one of them is no customer.
            ErasedError: If one of them was erased.
            MergeError: If they are the same, or the one who goes was merged before.
            RetryTransaction: If whom that one is related to changed meanwhile.
        """
        survivor, merged = self._locked(unit, into, gone)
        connection = unit.connection
        refuse_erased(connection, (survivor, merged), "they cannot be merged")
        (merge_id,) = next_ids(connection, merge_ids, merge.c.merge_id, 1)
        pair = Pair(
            merge_id,
            survivor,
            merged,
            unit.opening.next_id(connection),
            survivors=self._tree(unit, survivor),
            others=self._tree(unit, merged),
        )
        row = (merge_id, survivor, merged, unit.now, unit.actor, reason, "{}", None, None)
        connection.insert_rows(statements.insert_merge, [row])
        connection.change(statements.point, who=merged, into=survivor)
        unit.settled.discard(merged)
        connection.change(statements.touch, who=survivor)
        identifiers = connection.change(statements.rename, giver=merged, taker=survivor)
        count = connection.change(statements.note_moved, wanted=merge_id, giver=merged)
        connection.change(statements.give, giver=merged, taker=survivor)
        connection.change(statements.give_lines, giver=merged, taker=survivor)
        kept = {name: part.merge(unit, pair) for name, part in self._parts.items()}
        tables = dict(self._move_owned(unit, pair))
        self._recompute(unit, pair)
        put_aside = {"first_since": pair.first_since, "tables": tables, **kept}
        connection.change(statements.shelve, wanted=merge_id, put_aside=json.dumps(put_aside))
        return Merge(
            id=merge_id,
            survivor=survivor,
            merged=merged,
            recorded_at=unit.now,
            actor=unit.actor,
            reason=reason,
            interactions=count,
            identifiers=identifiers,
            rows={name: len(t["moved"]) for name, t in tables.items() if t["moved"]},
            shelved={name: len(t["shelved"]) for name, t in tables.items() if t["shelved"]},
        )

    def _locked(self, unit: Unit, into: int | Name, gone: int | Name) -> tuple[int, int]:
        """Lock both, and whom the one who goes is related to; return who the two are now."""
        identity, connection = self._runtime.identity, unit.connection
        names = {each for each in (into, gone) if not isinstance(each, int)}
        ids = {each for each in (into, gone) if isinstance(each, int)}
        # A relation belongs to both its ends, so a merge of the other end has to wait. They are
        # looked up before, so that all are locked in one order.
        found = {gone} if isinstance(gone, int) else identity.find(connection, [gone]).values()
        related = {each for who in found for each in related_to(connection, who)}
        known = identity.look_up(connection, names, ids | related)
        for name in names - known.named.keys():
            raise CustomerNotFoundError(Identifier(*name))
        survivor, merged = (
            each if isinstance(each, int) else known.named[each].customer_id
            for each in (into, gone)
        )
        present = self._two(survivor, merged, known)
        locked = {owner.customer_id for owner in (*known.given.values(), *known.named.values())}
        # Who has *merged* locked is the only one to change their relations; nobody does by now.
        if not related_to(connection, merged) <= locked:
            raise RetryTransaction(f"relations of customer {merged} changed until they were locked")
        return present, merged

    def _two(self, survivor: int, merged: int, known: Known) -> int:
        """Return who the survivor is at present, if they and the merged one are two."""
        owners = {**known.given, **{o.customer_id: o for o in known.named.values()}}
        into, present = owners[merged].customer_id, owners[survivor].customer_id
        if into == present:
            same = "the same customer" if survivor == merged else f"both customer {present} by now"
            raise MergeError(f"customers {survivor} and {merged} are {same}; two are expected")
        if into != merged:
            raise MergeError(
                f"customer {merged} was merged into customer {into}; merge that one, or undo the "
                "merge first"
            )
        return present

    def _move_owned(self, unit: Unit, pair: Pair) -> Iterator[tuple[str, dict[str, Any]]]:
        connection = unit.connection
        for rows in self._owned_rows(unit):
            gone, shelved = rows.move(connection, pair.merged, pair.survivor)
            if gone or shelved:
                name = rows.shape.name
                yield (
                    name,
                    {
                        "moved": [encoded(rows.key_of(row), name) for row in gone],
                        "shelved": [encoded(row, name) for row in shelved],
                    },
                )

    def _owned_rows(self, unit: Unit) -> Iterator[OwnedRows]:
        """Yield the movers of tables whose rows move; those of absent plugins among them."""
        connection = unit.connection
        for name, _ in connection.execute(statements.owned):
            shape = self._declared.get(name) or Shape.reflected(connection, name)
            if shape is not None:
                yield OwnedRows.cached(connection, shape)

    def _recompute(self, unit: Unit, pair: Pair) -> None:
        """Make derived rows of both anew; who owes work for one makes them when it is done."""
        owed: dict[str, set[int]] = {}
        rows = unit.connection.execute(self._debtors, customers=json_list(pair.both))
        for name, customer_id in rows:
            owed.setdefault(name, set()).add(customer_id)
        for plugin, _ in self._recomputes:
            those = tuple(c for c in pair.both if c not in owed.get(plugin.name, ()))
            if not those:
                continue
            _, error = self._dispatcher.isolated(
                unit,
                plugin,
                self._recomputes.name,
                lambda plugin=plugin, those=those: self._debts.recompute(  # type: ignore[misc]
                    unit, plugin, CustomerList(those)
                ),
            )
            if error is not None:
                first = unit.opening.next_id(unit.connection)
                faults.add_debt(unit.connection, plugin.name, those, first=first)
                unit.opening.owes = True

    # -- undoing -----------------------------------------------------------------------------

    def unmerge(self, unit: Unit, merge_id: int) -> Unmerged:
        """
        Undo a merge: each gets back what was theirs, and what was recorded for them since.

        Raises:
            NotFoundError: If there is no such merge.
            ErasedError: If one of the two was erased since.
            MergeError: If it was undone before, or a later one is to be undone first.
        """
        connection = unit.connection
        refuse_unmerge(connection, merge_id)
        pair, kept = self._open(unit, merge_id)
        survivor, merged = pair.both
        tree = json_list(self._tree(unit, merged))
        connection.change(statements.point, who=merged, into=None)
        connection.change(statements.touch, who=survivor)
        between = {"giver": survivor, "taker": merged, "tree": tree}
        identifiers = connection.change(self._name_back, **between)
        count = connection.change(self._give_back, wanted=merge_id, **between)
        connection.change(statements.give_lines, giver=survivor, taker=merged)
        for name, part in self._parts.items():
            if name in kept:  # a merge of an older crmcore knew fewer nouns
                part.undo(unit, pair, kept[name])
        returned = dict(self._return_owned(unit, pair, kept["tables"]))
        if any("left" in each for each in kept["tables"].values()):
            connection.change(statements.shelve, wanted=merge_id, put_aside=json.dumps(kept))
        self._recompute(unit, pair)
        unclear = connection.execute(
            statements.unclear, keeper=survivor, wanted=merge_id, first=pair.first_since
        )
        connection.change(statements.note_undone, wanted=merge_id, at=unit.now, by=unit.actor)
        return Unmerged(
            merge_id=merge_id,
            survivor=survivor,
            merged=merged,
            interactions=count,
            identifiers=identifiers,
            rows=returned,
            unclear=[row[0] for row in unclear],
        )

    def _open(self, unit: Unit, merge_id: int) -> tuple[Pair, dict[str, Any]]:
        """Return a merge that may be undone, its customers locked, and what was put aside."""
        row = self._read(unit, merge_id)
        kept = json.loads(row[6])
        # A relation goes back to whom it was of; so nobody at its ends may be another by now.
        touched = {row[1], row[2], *ends_of(kept["relations"])}
        self._runtime.identity.lock(unit.connection, touched)
        row = self._read(unit, merge_id)  # again, since somebody else may have undone it meanwhile
        survivor, merged, undone_at = row[1], row[2], row[7]
        if undone_at is not None:
            raise MergeError(f"merge {merge_id} was undone before")
        customers = json_list(touched)
        later = unit.connection.execute(self._later, wanted=merge_id, customers=customers)[0][0]
        if later is not None:
            raise MergeError(
                f"merge {later} came after merge {merge_id} and touches the same customers, "
                f"or whom they are related to; undo {later} first"
            )
        return Pair(merge_id, survivor, merged, kept["first_since"]), kept

    def _read(self, unit: Unit, merge_id: int) -> Sequence[Any]:
        rows = unit.connection.execute(statements.one_merge, wanted=merge_id)
        if not rows:
            raise NotFoundError(f"no merge has the id {merge_id}")
        return rows[0]

    def _tree(self, unit: Unit, customer_id: int) -> frozenset[int]:
        """Return a customer and all who are merged into them."""
        tree, unseen = {customer_id}, {customer_id}
        while unseen:
            rows = unit.connection.execute(self._merged_into, customers=json_list(unseen))
            unseen = {row[0] for row in rows} - tree
            tree |= unseen
        return frozenset(tree)

    def _return_owned(
        self, unit: Unit, pair: Pair, tables: Mapping[str, Any]
    ) -> Iterator[tuple[str, int]]:
        connection = unit.connection
        for name, kept in tables.items():
            shape = self._declared.get(name) or Shape.reflected(connection, name)
            if shape is None:
                continue  # the plugin was purged meanwhile
            rows = OwnedRows.cached(connection, shape)
            keys = [decoded(key) for key in kept["moved"]]
            count, left = rows.give_back(connection, keys, pair.survivor, pair.merged)
            if left:  # what was written for the merged one meanwhile stays; this is kept aside
                kept["left"] = [encoded(row, name) for row in left]
            count += rows.put(connection, [decoded(row) for row in kept["shelved"]])
            yield name, count

    # -- telling -----------------------------------------------------------------------------

    def of_customer(self, unit: Unit, customer_id: int) -> list[Merge]:
        """Return the merges a customer was part of, in order; those undone among them."""
        rows = unit.connection.execute(statements.of_customer, one=customer_id)
        return [
            Merge(
                id=row[0],
                survivor=row[1],
                merged=row[2],
                recorded_at=row[3],
                actor=row[4],
                reason=row[5],
                undone_at=row[7],
            )
            for row in rows
        ]
