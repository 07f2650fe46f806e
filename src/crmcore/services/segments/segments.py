"""Segments: who is in which, asked of the database."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from typing import Any, Final, Self

from attrs import define, field
from sqlalchemy import Select, bindparam, func, literal, or_, select
from sqlalchemy.sql import visitors

from crmcore.domain.segments.measured import Measured, measured_column
from crmcore.domain.segments.oracle import Oracle
from crmcore.domain.segments.segment import Segment
from crmcore.domain.segments.tree import Condition
from crmcore.errors import ConfigurationError, SegmentError
from crmcore.persistence.connection import Connection
from crmcore.persistence.customers import customer
from crmcore.persistence.ledger import interaction
from crmcore.persistence.merges import merge
from crmcore.persistence.portable import json_list
from crmcore.persistence.schema import Whole
from crmcore.services.runtime import Runtime
from crmcore.services.segments.compiler import Compiler
from crmcore.services.segments.flipping import next_flips
from crmcore.services.segments.knowing import known_of
from crmcore.services.segments.measures import CUSTOMERS, NOW, counting, is_live, is_of
from crmcore.services.segments.registry import Registry, parsed, registry
from crmcore.services.segments.vocabulary import names_of
from crmcore.services.segments.why import Verdict, explain

Given = str | Condition | Segment

_KEPT: Final = 256  # statements that are not compiled again
_TOGETHER: Final = 250
"""Segments that one statement evaluates: databases take some 2,000 columns, and 32,766 values."""
# What databases give: sums of PostgreSQL are decimals, and truth may be stored as 1 and 0.
_MADE: Final[dict[type, Callable[[Any], Any]]] = {int: int, float: float, bool: bool, str: str}
_present: Final = (
    select(customer.c.customer_id)
    .where(customer.c.merged_into.is_(None), customer.c.erased_at.is_(None))
    .order_by(customer.c.customer_id)
)
_reassigned: Final = select(merge.c.survivor_id, merge.c.merged_id).where(
    or_(merge.c.recorded_at >= bindparam("since"), merge.c.undone_at >= bindparam("since"))
)
_standing: Final = select(customer.c.merged_into, customer.c.erased_at).where(
    customer.c.customer_id == bindparam("customer")
)


@define(eq=False)
class SegmentService:
    """Who is in which segment; no statement runs for each customer."""

    registry: Registry
    compiler: Compiler
    _kept: OrderedDict[Hashable, Any] = field(factory=OrderedDict, init=False)

    @classmethod
    def of(
        cls,
        runtime: Runtime,
        segments: Mapping[str, str | Condition],
        families: Mapping[str, Iterable[str]],
    ) -> Self:
        """
        Return the service of an application: *segments* are the shop's, plugins bring more.

        Raises:
            ConfigurationError: If one of them is not right, or names clash.
        """
        assembly = runtime.assembly
        brought = {name: each.rule for name, each in assembly.segments.items()}
        owners = assembly.segment_owners
        if taken := sorted(brought.keys() & segments.keys()):
            clashes = ", ".join(f"{name!r} of plugin {owners[name]!r}" for name in taken)
            raise ConfigurationError(
                f"[segments] has names that plugins give to segments of theirs: {clashes}; others "
                "are expected"
            )
        given = {**brought, **segments}
        names = names_of(
            assembly,
            families=families,
            segments=parsed(given, owners),
            currency=runtime.currency,
            calendar=runtime.calendar,
        )
        return cls(registry(names, given, owners), Compiler(names, runtime.database.portable))

    def find(self, asked: Given) -> Segment:
        """Return the segment of a name, a text or a tree; raises `SegmentError`."""
        return self.registry.find(asked)

    def statement(self, asked: Given) -> Select[Any]:
        """Return the select of the members' ids at the instant that the parameter `now` is."""
        condition = self.find(asked).condition
        found: Select[Any] = self._once(
            ("members", condition), lambda: self.compiler.members(condition)
        )
        return found

    def audience(self, asked: Given, now: int) -> Select[Any]:
        """Return the select of the members' ids at an instant, which stands in it."""
        at = literal(now, Whole)
        # Not `params`: what is then in the statement, the drivers are not told of.
        made: Any = visitors.replacement_traverse(
            self.statement(asked), {}, lambda element, **_: at if element is NOW else None
        )
        found: Select[Any] = made
        return found

    def members(self, connection: Connection, asked: Given, now: int) -> list[int]:
        """Return the ids of the customers in a segment, ascending."""
        return sorted(row[0] for row in connection.execute(self.statement(asked), now=now))

    def members_among(
        self, connection: Connection, asked: Given, customers: Iterable[int], now: int
    ) -> set[int]:
        """Return those of *customers* who are in a segment."""
        condition = self.find(asked).condition
        statement = self._once(("among", condition), lambda: self.compiler.members_among(condition))
        listed = json_list(customers)
        return {row[0] for row in connection.execute(statement, now=now, customers=listed)}

    def measures(
        self,
        connection: Connection,
        asked: Sequence[str],
        among: Given,
        now: int,
        customers: Iterable[int] | None = None,
    ) -> Measured:
        """Return measures of the customers in a segment, or of those listed, at an instant."""
        if isinstance(asked, str) or not asked:
            raise SegmentError(
                f"{asked!r} found; a list of measures is expected, such as ['orders.count']"
            )
        leaves = tuple(self.registry.find_measure(each) for each in asked)
        condition = self.find(among).condition
        restricted = customers is not None
        statement = self._once(
            ("measures", leaves, condition, restricted),
            lambda: self.compiler.measures(leaves, condition, restricted=restricted),
        )
        values: dict[str, Any] = {"now": now}
        if customers is not None:
            values["customers"] = json_list(customers)
        columns = tuple(measured_column(each, self.registry.names) for each in leaves)
        made = [_MADE[column.type] for column in columns]
        rows = [
            (
                row[0],
                *(
                    value if value is None else make(value)
                    for make, value in zip(made, row[1:], strict=True)
                ),
            )
            for row in connection.execute(statement, **values)
        ]
        return Measured(columns, rows, self.registry.names.currency)

    def memberships(
        self,
        connection: Connection,
        now: int,
        *,
        names: Collection[str] | None = None,
        customers: Iterable[int] | None = None,
        known_before: int | None = None,
    ) -> dict[str, set[int]]:
        """
        Return the members of named segments, all of which are evaluated together.

        Args:
            connection: The transaction.
            now: The instant it is about.
            names: Of which segments; None: of all.
            customers: Among whom; None: among all.
            known_before: Facts count that were recorded before; None: all do.
        """
        asked = tuple(self.registry.segments if names is None else names)
        values: dict[str, Any] = {"now": now}
        if customers is not None:
            values["customers"] = json_list(customers)
        if known_before is not None:
            values["known_before"] = known_before
        found: dict[str, set[int]] = {name: set() for name in asked}
        for low in range(0, len(asked), _TOGETHER):
            some = asked[low : low + _TOGETHER]
            statement = self._flags(
                some, restricted=customers is not None, as_known=known_before is not None
            )
            members = [found[name].add for name in some]
            for rows in connection.stream(statement, **values):
                for customer_id, *flags in rows:
                    for add, flag in zip(members, flags, strict=True):
                        if flag:
                            add(customer_id)
        return found

    def _flags(self, names: tuple[str, ...], *, restricted: bool, as_known: bool) -> Select[Any]:
        conditions = [self.registry.segments[name].condition for name in names]
        found: Select[Any] = self._once(
            ("flags", names, restricted, as_known),
            lambda: self.compiler.flags(conditions, restricted=restricted, as_known=as_known),
        )
        return found

    def reevaluated(
        self, connection: Connection, kinds: Iterable[str], customers: Iterable[int], now: int
    ) -> dict[str, set[int]]:
        """
        Return who of *customers* is in each named segment that facts of *kinds* can change.

        A segment that is not among them has the members it had.
        """
        names = self.registry.changed_by(kinds)
        return self.memberships(connection, now, names=names, customers=customers)

    def next_flips(
        self,
        connection: Connection,
        now: int,
        names: Collection[str],
        customers: Collection[int],
        known_before: int | None = None,
    ) -> dict[int, int]:
        """
        Return when time alone can next change one of the named segments, by customer.

        It may be that nothing changes then; traits that read the clock are left out.
        """
        conditions = [self.registry.segments[name].condition for name in names]
        as_known = known_before is not None
        statement = self._once(
            ("flips", tuple(names), as_known),
            lambda: next_flips(
                self.registry.names, self.compiler.portable, conditions, as_known=as_known
            ),
        )
        if statement is None or not customers:
            return {}
        rows = connection.execute(statement, **_asked(now, customers, known_before))
        return {customer_id: int(at) for customer_id, at in rows}

    def latest(
        self,
        connection: Connection,
        now: int,
        names: Collection[str],
        customers: Collection[int],
        known_before: int | None = None,
    ) -> dict[str, dict[int, int]]:
        """Return for each named segment, by customer, the latest interaction that it asks for."""
        found: dict[str, dict[int, int]] = {name: {} for name in names}
        told: dict[str, list[dict[int, int]]] = {}
        for name, of_name in found.items():
            for kind in self.registry.segments[name].dependencies.kinds:
                told.setdefault(kind, []).append(of_name)
        if not told or not customers:
            return found
        as_known = known_before is not None
        # Of all kinds that any segment asks for: a statement for each choice of names would be
        # compiled again and again.
        statement = self._once(("latest", as_known), lambda: self._latest(as_known=as_known))
        rows = connection.execute(statement, **_asked(now, customers, known_before))
        for kind, customer_id, interaction_id in rows:
            for of_name in told.get(kind, ()):
                of_name[customer_id] = interaction_id  # later ones come later
        return found

    def _latest(self, *, as_known: bool) -> Select[Any]:
        rows = interaction.c
        every = (each.dependencies.kinds for each in self.registry.segments.values())
        kinds = frozenset[str]().union(*every)
        order = (rows.occurred_at, rows.source, rows.source_key, rows.interaction_id)
        place = func.row_number().over(
            partition_by=(rows.customer_id, rows.kind),
            order_by=[each.desc() for each in order],
        )
        ranked = (
            select(rows.kind, rows.customer_id, *order, place.label("place"))
            .where(
                self.compiler.portable.is_in(rows.customer_id, CUSTOMERS),
                is_of(kinds, interaction),
                *counting(interaction, as_known=as_known),
                rows.occurred_at <= NOW,
            )
            .subquery()
        )
        return (
            select(ranked.c.kind, ranked.c.customer_id, ranked.c.interaction_id)
            .where(ranked.c.place == 1)
            .order_by(*(ranked.c[each.name] for each in order))
        )

    def recorded(
        self, connection: Connection, customers: Collection[int], since: int
    ) -> list[tuple[int, str, int]]:
        """Return whose facts of which kinds were recorded when, at *since* or later."""
        statement = self._once("recorded", self._recorded)
        listed = json_list(customers)
        rows = connection.execute(statement, customers=listed, since=since)
        return [(customer_id, kind, at) for customer_id, kind, at in rows]

    def _recorded(self) -> Select[Any]:
        rows = interaction.c
        return (
            select(rows.customer_id, rows.kind, rows.recorded_at)
            .where(
                self.compiler.portable.is_in(rows.customer_id, CUSTOMERS),
                rows.recorded_at >= bindparam("since"),
                is_live(interaction),
            )
            .distinct()
        )

    def customers(self, connection: Connection) -> list[int]:
        """Return the ids of all customers who are in segments at all, ascending."""
        return [row[0] for row in connection.execute(_present)]

    def reassigned(self, connection: Connection, since: int) -> set[int]:
        """Return who took part in a merge, or its undoing, since then; present or not."""
        rows = connection.execute(_reassigned, since=since)
        return {each for row in rows for each in row}

    def why(self, connection: Connection, customer_id: int, asked: Given, now: int) -> Verdict:
        """Return whether a customer is in a segment, and what decides it."""
        segment = self.find(asked)
        ((merged_into, erased_at),) = connection.execute(_standing, customer=customer_id)
        if merged_into is not None or erased_at is not None:
            return Verdict(
                customer_id=customer_id,
                segment=segment.name or str(segment),
                is_member=False,
                at=now,
                excluded="erased" if merged_into is None else f"merged into {merged_into}",
            )
        names = self.registry.names
        known = known_of(connection, names, segment.dependencies, customer_id, now)
        return explain(segment, Oracle(names, known, now), customer_id)

    def _once(self, key: Hashable, build: Any) -> Any:
        found = self._kept.get(key)
        if found is None and key not in self._kept:
            found = self._kept[key] = build()
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        else:
            self._kept.move_to_end(key)
        return found


def _asked(now: int, customers: Iterable[int], known_before: int | None) -> dict[str, Any]:
    values: dict[str, Any] = {"now": now, "customers": json_list(customers)}
    return values if known_before is None else {**values, "known_before": known_before}
