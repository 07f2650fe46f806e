"""Measures: what segments ask of a customer's facts, all of it in one pass over the ledger."""

from __future__ import annotations

from collections.abc import Iterable
from operator import eq, ge, gt, le, lt, ne
from typing import Any, Final, Literal

from attrs import define, field, frozen
from sqlalchemy import (
    ColumnElement,
    FromClause,
    Subquery,
    and_,
    bindparam,
    case,
    exists,
    func,
    literal,
    or_,
    select,
)

from crmcore.domain.segments.names import Names
from crmcore.domain.segments.oracle import LINE_FILTERS
from crmcore.domain.segments.tree import Amount, Duration, FactsOf, Filter
from crmcore.domain.segments.types import in_minor
from crmcore.domain.shadow import SHADOW
from crmcore.persistence.ledger import interaction, line
from crmcore.persistence.portable import Portable
from crmcore.persistence.schema import Whole

NOW: Final[ColumnElement[int]] = bindparam("now", type_=Whole)
COMPARE: Final[dict[str, Any]] = {"==": eq, "!=": ne, "<": lt, "<=": le, ">": gt, ">=": ge}
KNOWN: Final[ColumnElement[int]] = bindparam("known_before", type_=Whole)
CUSTOMERS: Final = "customers"
"""The parameter with the customers that a statement is restricted to, as `json_list` has them."""

Lines = tuple[Filter, ...]
Sort = Literal["count", "sum", "first", "last"]


@frozen
class Measure:
    """What is asked of some facts of each customer."""

    sort: Sort
    facts: FactsOf

    @property
    def lines(self) -> Lines:
        """What a line of the facts must be."""
        return tuple(each for each in self.facts.where if each.name in LINE_FILTERS)


def ago(duration: Duration) -> ColumnElement[int]:
    """Return the instant a while before now."""
    return NOW - literal(duration.microseconds, Whole)


def is_live(facts: FromClause) -> ColumnElement[bool]:
    """Return whether a fact counts: it was not decided in shadow."""
    start = func.substr(facts.c.source, 1, len(SHADOW))
    return or_(facts.c.origin == "observed", start != SHADOW)


def counting(rows: FromClause, *, as_known: bool) -> list[ColumnElement[bool]]:
    """Return what makes a fact count: it is live, and if so asked, was known by then."""
    return [is_live(rows), *([rows.c.recorded_at < KNOWN] if as_known else [])]


def is_of(kinds: Iterable[str], facts: FromClause) -> ColumnElement[bool]:
    listed = sorted(kinds)
    return facts.c.kind == listed[0] if len(listed) == 1 else facts.c.kind.in_(listed)


@frozen(kw_only=True)
class Matching:
    """
    Says which facts are meant.

    Attributes:
        restricted: Whether only some customers' facts are read, so that lines are looked up one
            by one.
        as_known: Whether only facts count that were recorded before the parameter `known_before`.
    """

    names: Names
    restricted: bool
    as_known: bool = False

    def counting(self, rows: FromClause) -> list[ColumnElement[bool]]:
        """Return what makes a fact count at all."""
        return counting(rows, as_known=self.as_known)

    def kinds(self, measure: Measure) -> frozenset[str]:
        """Return the kinds that a measure is made of."""
        family = self.names.family(measure.facts.name)
        if measure.sort == "count":
            return frozenset(family.counted)
        return family.summed if measure.sort == "sum" else family.marked

    def conditions(self, facts: FactsOf, rows: FromClause) -> list[ColumnElement[bool]]:
        """
        Return what facts must be, but for their kind and instant.

        Of a NULL they are NULL, which is good enough where nothing is negated.
        """
        found: list[ColumnElement[bool]] = []
        channel = self.names.family(facts.name).channel
        if channel:
            found.append(rows.c.channel == channel)
        of_lines = [each for each in facts.where if each.name in LINE_FILTERS]
        found += [self._passes(each, rows) for each in facts.where if each not in of_lines]
        if of_lines:
            found.append(self._has_line(of_lines, rows))
        return found

    def _passes(self, each: Filter, rows: FromClause) -> ColumnElement[bool]:
        if each.name != "amount":
            return _among(each, rows.c[each.name])
        assert isinstance(each.value, Amount)  # as it was checked
        size = func.abs(rows.c.amount_base_minor, type_=Whole)
        compared: ColumnElement[bool] = COMPARE[each.operator](
            size, literal(in_minor(each.value, self.names), Whole)
        )
        return compared

    def _has_line(self, filters: list[Filter], rows: FromClause) -> ColumnElement[bool]:
        meant = [_among(each, line.c[each.name]) for each in filters]
        if not self.restricted:
            # Looked up in a list that is made once; one by one, lines are read a million times.
            return rows.c.interaction_id.in_(select(line.c.interaction_id).where(*meant))
        return (
            exists()
            .where(
                line.c.interaction_id == rows.c.interaction_id,
                line.c.customer_id == rows.c.customer_id,
                *meant,
            )
            .correlate(rows)
        )


def _among(each: Filter, column: ColumnElement[str]) -> ColumnElement[bool]:
    if isinstance(each.value, tuple):
        return column.in_(list(each.value))
    return column == each.value


@define(eq=False)
class Measures:
    """
    Measures that are asked of the same facts, and the subquery in which all of them are.

    Attributes:
        lines: What a line of those facts must be.
    """

    matching: Matching
    portable: Portable
    lines: Lines = ()
    _wanted: dict[Measure, str] = field(factory=dict, init=False)
    _table: Subquery | None = field(default=None, init=False)

    def add(self, measure: Measure) -> None:
        """Ask for a measure; none can be added once the subquery was made."""
        self._wanted.setdefault(measure, f"m{len(self._wanted)}")

    @property
    def table(self) -> FromClause:
        """The subquery: a row for each customer who has any of the facts."""
        if self._table is None:
            self._table = self._made()
        return self._table

    def column(self, measure: Measure) -> ColumnElement[Any]:
        """Return a measure's column of the subquery."""
        return self.table.c[self._wanted[measure]]

    def _made(self) -> Subquery:
        rows = interaction
        kinds = frozenset[str]().union(*map(self.matching.kinds, self._wanted))
        widest = self._widest()
        facts = {(each.facts.where, self._channel(each)): each.facts for each in self._wanted}
        # What all of them ask chooses rows; what only some ask is looked at in each row.
        common = next(iter(facts.values())) if len(facts) == 1 else None
        columns = [
            self._expression(measure, kinds, widest, common).label(name)
            for measure, name in self._wanted.items()
        ]
        found = select(rows.c.customer_id, *columns).where(
            is_of(kinds, rows), *self.matching.counting(rows)
        )
        if common is not None:
            found = found.where(*self.matching.conditions(common, rows))
        if widest is not None:
            found = found.where(rows.c.occurred_at > ago(widest))
        found = found.where(rows.c.occurred_at <= NOW)
        if self.matching.restricted:
            found = found.where(self.portable.is_in(rows.c.customer_id, CUSTOMERS))
        return found.group_by(rows.c.customer_id).subquery()

    def _channel(self, measure: Measure) -> str | None:
        return self.matching.names.family(measure.facts.name).channel

    def _widest(self) -> Duration | None:
        """Return the window that all of them lie within; None: there is none."""
        windows = [measure.facts.window for measure in self._wanted]
        limited = [window for window in windows if window is not None]
        if len(limited) < len(windows):
            return None
        return max(limited, key=lambda window: window.microseconds)

    def _expression(
        self,
        measure: Measure,
        kinds: frozenset[str],
        widest: Duration | None,
        common: FactsOf | None,
    ) -> ColumnElement[Any]:
        rows, facts = interaction, measure.facts
        own = self.matching.kinds(measure)
        conditions = [] if own == kinds else [is_of(own, rows)]
        if facts.window is not None and facts.window != widest:
            conditions.append(rows.c.occurred_at > ago(facts.window))
        if common is None:
            conditions += self.matching.conditions(facts, rows)
        meant = and_(*conditions) if conditions else None
        match measure.sort:
            case "count":
                return self._count(facts, meant)
            case "sum":
                amount = rows.c.amount_base_minor
                # PostgreSQL adds 64-bit integers up to numeric, which compares as well.
                added = func.sum(amount if meant is None else case((meant, amount)))
                return func.coalesce(added, 0)
        at = rows.c.occurred_at if meant is None else case((meant, rows.c.occurred_at))
        return func.min(at) if measure.sort == "first" else func.max(at)

    def _count(self, facts: FactsOf, meant: ColumnElement[bool] | None) -> ColumnElement[int]:
        weights = self.matching.names.family(facts.name).counted
        less = [kind for kind, weight in weights.items() if weight < 0]
        if not less:
            return func.count() if meant is None else func.count(case((meant, 1)))
        weight = case((is_of(less, interaction), -1), else_=1)
        return func.sum(weight if meant is None else case((meant, weight), else_=0))
