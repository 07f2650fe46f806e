"""Segments: who is in which, asked of the database."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Hashable, Iterable, Mapping
from typing import Any, Final, Self

from attrs import define, field
from sqlalchemy import Select, bindparam, literal, select
from sqlalchemy.sql import visitors

from crmcore.domain.segments.oracle import Oracle
from crmcore.domain.segments.segment import Segment
from crmcore.domain.segments.tree import Condition
from crmcore.persistence.connection import Connection
from crmcore.persistence.customers import customer
from crmcore.persistence.portable import json_list
from crmcore.persistence.schema import Whole
from crmcore.services.runtime import Runtime
from crmcore.services.segments.compiler import Compiler
from crmcore.services.segments.knowing import known_of
from crmcore.services.segments.measures import NOW
from crmcore.services.segments.registry import Registry, parsed, registry
from crmcore.services.segments.vocabulary import names_of
from crmcore.services.segments.why import Verdict, explain

Given = str | Condition | Segment

_KEPT: Final = 256  # statements that are not compiled again
_TOGETHER: Final = 250
"""Segments that one statement evaluates: databases take some 2,000 columns, and 32,766 values."""
_standing: Final = select(customer.c.merged_into, customer.c.erased_at).where(
    customer.c.customer_id == bindparam("customer")
)


@define(eq=False)
class SegmentService:
    """Who is in which segment; no statement runs for each customer."""

    registry: Registry
    compiler: Compiler
    _kept: OrderedDict[Hashable, Select[Any]] = field(factory=OrderedDict, init=False)

    @classmethod
    def of(
        cls,
        runtime: Runtime,
        segments: Mapping[str, str | Condition],
        families: Mapping[str, Iterable[str]],
    ) -> Self:
        """
        Return the service of an application whose named segments are *segments*.

        Raises:
            ConfigurationError: If one of them is not right.
        """
        names = names_of(
            runtime.assembly,
            families=families,
            segments=parsed(segments),
            currency=runtime.currency,
            calendar=runtime.calendar,
        )
        return cls(registry(names, segments), Compiler(names, runtime.database.portable))

    def find(self, asked: Given) -> Segment:
        """Return the segment of a name, a text or a tree; raises `SegmentError`."""
        return self.registry.find(asked)

    def statement(self, asked: Given) -> Select[Any]:
        """Return the select of the members' ids at the instant that the parameter `now` is."""
        condition = self.find(asked).condition
        return self._once(("members", condition), lambda: self.compiler.members(condition))

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

    def memberships(
        self,
        connection: Connection,
        now: int,
        *,
        names: Collection[str] | None = None,
        customers: Iterable[int] | None = None,
    ) -> dict[str, set[int]]:
        """
        Return the members of named segments, all of which are evaluated together.

        Args:
            connection: The transaction.
            now: The instant it is about.
            names: Of which segments; None: of all.
            customers: Among whom; None: among all.
        """
        asked = tuple(self.registry.segments if names is None else names)
        values: dict[str, Any] = {"now": now}
        if customers is not None:
            values["customers"] = json_list(customers)
        found: dict[str, set[int]] = {name: set() for name in asked}
        for low in range(0, len(asked), _TOGETHER):
            some = asked[low : low + _TOGETHER]
            statement = self._flags(some, restricted=customers is not None)
            members = [found[name].add for name in some]
            for rows in connection.stream(statement, **values):
                for customer_id, *flags in rows:
                    for add, flag in zip(members, flags, strict=True):
                        if flag:
                            add(customer_id)
        return found

    def _flags(self, names: tuple[str, ...], *, restricted: bool) -> Select[Any]:
        conditions = [self.registry.segments[name].condition for name in names]
        return self._once(
            ("flags", names, restricted),
            lambda: self.compiler.flags(conditions, restricted=restricted),
        )

    def reevaluated(
        self, connection: Connection, kinds: Iterable[str], customers: Iterable[int], now: int
    ) -> dict[str, set[int]]:
        """
        Return who of *customers* is in each named segment that facts of *kinds* can change.

        A segment that is not among them has the members it had.
        """
        names = self.registry.changed_by(kinds)
        return self.memberships(connection, now, names=names, customers=customers)

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

    def _once(self, key: Hashable, build: Any) -> Select[Any]:
        found = self._kept.get(key)
        if found is None:
            found = self._kept[key] = build()
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        else:
            self._kept.move_to_end(key)
        return found
