"""Positions in lifecycles, as rows of their tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from attrs import define
from sqlalchemy import bindparam, delete, func, insert, select

from crmcore.domain.lifecycle import Change, Fact, Machine, Position
from crmcore.persistence.connection import Connection
from crmcore.persistence.customers import customer
from crmcore.persistence.ledger import in_shadow, interaction
from crmcore.persistence.portable import Portable, json_list
from crmcore.persistence.stages import change, stage

Key = tuple[int, str]
"""A customer, and the subject: empty where a lifecycle is about the customer themself."""


@define(eq=False)
class Standing:
    """
    A position with the key it belongs to.

    Attributes:
        announced: The stage automation was last told of.
        facts: Those it is yet to be moved through, in order.
        changes: The steps it took when it was.
    """

    key: Key
    position: Position
    announced: str
    facts: Sequence[Fact] = ()
    changes: Sequence[Change] = ()

    def row(self, lifecycle: str) -> tuple[Any, ...]:
        """Return the row of `crm_stage`, in the order of its columns."""
        customer, subject = self.key
        at = self.position
        last = at.last_fact or (0, 0, "", "")
        return (
            customer,
            lifecycle,
            subject,
            at.stage,
            at.entered_at,
            at.before_phase,
            at.reason,
            at.caused_by,
            " ".join(map(str, at.counts)),
            *last,
            at.last_interaction or 0,
            at.changes,
            at.next_at,
            self.announced,
        )


def _change_rows(
    standings: Iterable[Standing], lifecycle: str, now: int
) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of `crm_stage_change`, each history numbered on from where it was."""
    for each in standings:
        (customer, subject), steps = each.key, each.changes
        number = each.position.changes - len(steps)
        for source, target, at, reason, cause, evidence in steps:
            number += 1
            yield (
                customer,
                lifecycle,
                subject,
                number,
                source,
                target,
                at,
                now,
                reason,
                cause,
                evidence,
            )


def _from_row(row: tuple[Any, ...]) -> Standing:
    (customer, _, subject, name, entered, before, reason, caused_by, counts) = row[:9]
    position = Position(
        name,
        [*map(int, counts.split())],
        entered,
        before,
        reason,
        caused_by,
        last_fact=row[9:13],
        last_interaction=row[13],
        changes=row[14],
        next_at=row[15],
    )
    return Standing((customer, subject), position, announced=row[16])


_mine = stage.c.lifecycle == bindparam("lifecycle")
_one = select(*stage.columns).where(stage.c.customer_id == bindparam("customer"), _mine)
# Without an order: asked for one, SQLite goes through the whole table by its key instead of
# taking the few rows that are due from their index.
_is_due = (stage.c.next_at <= bindparam("due")) & _mine
_next = select(func.min(stage.c.next_at)).where(_mine, stage.c.next_at.is_not(None))
_insert_changes = insert(change)


class Positions:
    """Reads and writes the positions and histories of one lifecycle."""

    def __init__(self, machine: Machine, portable: Portable, *, per_subject: bool) -> None:
        self._machine = machine
        self._name = machine.lifecycle.name
        self._per_subject = per_subject
        columns = interaction.c
        wanted = (
            columns.customer_id,
            columns.subject,
            columns.occurred_at,
            columns.kind,
            columns.source,
            columns.source_key,
            columns.interaction_id,
        )
        facts = select(*wanted).where(columns.kind.in_(sorted(machine.kinds)), ~in_shadow)
        self._facts_of = facts.where(portable.is_in(columns.customer_id, "customers"))
        self._many = select(*stage.columns).where(
            portable.is_in(stage.c.customer_id, "customers"), _mine
        )
        self._steps = select(
            change.c.customer_id,
            change.c.subject,
            change.c.from_stage,
            change.c.to_stage,
            change.c.evidence,
        ).where(portable.is_in(change.c.customer_id, "customers"), change.c.lifecycle == self._name)
        due = select(stage.c.customer_id).where(_is_due).limit(bindparam("most"))
        if not portable.is_sqlite:
            due = due.join(customer, customer.c.customer_id == stage.c.customer_id)
        self._claim = portable.locked(due, of=customer, skip_locked=True)
        self._due = select(*stage.columns).where(
            portable.is_in(stage.c.customer_id, "customers"), _is_due
        )
        self._replace = portable.replace(stage)
        self._forget = [
            delete(table).where(
                portable.is_in(table.c.customer_id, "customers"),
                table.c.lifecycle == self._name,
            )
            for table in (stage, change)
        ]

    def facts_of(self, connection: Connection, customers: Iterable[int]) -> dict[Key, list[Fact]]:
        """Return all facts of these customers, in the order they are folded in."""
        rows = connection.execute(self._facts_of, customers=json_list(customers))
        return self.grouped(rows)

    def grouped(
        self, rows: Iterable[Sequence[Any]], places: Sequence[int] = range(7)
    ) -> dict[Key, list[Fact]]:
        """
        Group rows into each customer's facts, in the order they are folded in.

        *places* says where a row has (customer, subject, occurred_at, kind, source, key, id).
        """
        customer, about, at, kind, source, key, interaction_id = places
        found: dict[Key, list[Fact]] = {}
        ranks, per_subject = self._machine.ranks, self._per_subject
        for row in rows:
            rank = ranks.get(row[kind])
            if rank is None or (per_subject and row[about] is None):
                continue
            owner = (row[customer], row[about] if per_subject else "")
            fact = Fact(row[at], rank, row[source], row[key] or "", row[interaction_id], row[kind])
            facts = found.get(owner)
            if facts is None:
                found[owner] = [fact]
            else:
                facts.append(fact)
        for facts in found.values():
            if len(facts) > 1:
                facts.sort()
        return found

    def load(self, connection: Connection, customers: Sequence[int]) -> dict[Key, Standing]:
        """Return where these customers stand, those who stand anywhere yet."""
        if len(customers) == 1:
            rows = connection.execute(_one, customer=customers[0], lifecycle=self._name)
        else:
            rows = connection.execute(
                self._many, customers=json_list(customers), lifecycle=self._name
            )
        standings = map(_from_row, rows)
        return {standing.key: standing for standing in standings}

    def claim_due(self, connection: Connection, due: int, *, most: int) -> list[int]:
        """
        Return customers whom time alone moves on by *due*, with their rows locked.

        Those whom another transaction has are left out; they are there the next time.
        """
        rows = connection.execute(self._claim, due=due, lifecycle=self._name, most=most)
        return sorted({row[0] for row in rows})

    def load_due(
        self, connection: Connection, due: int, customers: Iterable[int]
    ) -> list[Standing]:
        """Return the standings of these customers that time alone moves on by *due*."""
        rows = connection.execute(
            self._due, due=due, lifecycle=self._name, customers=json_list(customers)
        )
        return sorted(map(_from_row, rows), key=lambda standing: standing.key)

    def next_due(self, connection: Connection) -> int | None:
        """Return when time alone moves somebody on next."""
        return connection.execute(_next, lifecycle=self._name)[0][0]  # type: ignore[no-any-return]

    def steps_of(
        self, connection: Connection, customers: Iterable[int]
    ) -> dict[Key, set[tuple[str, str, str]]]:
        """Return the steps these customers took, as guards know them."""
        found: dict[Key, set[tuple[str, str, str]]] = {}
        for customer_id, subject, *step in connection.execute(
            self._steps, customers=json_list(customers)
        ):
            found.setdefault((customer_id, subject), set()).add(tuple(step))
        return found

    def save(self, connection: Connection, standings: Sequence[Standing]) -> None:
        """Write where each stands."""
        rows = (standing.row(self._name) for standing in standings)
        connection.insert_made(self._replace, len(standings), rows)

    def add_changes(self, connection: Connection, standings: Sequence[Standing], now: int) -> None:
        """Add the steps that were taken to their histories."""
        count = sum([len(standing.changes) for standing in standings])
        connection.insert_made(_insert_changes, count, _change_rows(standings, self._name, now))

    def forget(self, connection: Connection, customers: Iterable[int]) -> None:
        """Delete what these customers' facts led to, to fold them anew."""
        listed = json_list(customers)
        for statement in self._forget:
            connection.change(statement, customers=listed)
