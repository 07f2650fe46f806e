"""Compiler: trees of segments made into one statement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from attrs import define, field
from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    FromClause,
    Select,
    and_,
    case,
    exists,
    func,
    literal,
    not_,
    or_,
    select,
    true,
)

from crmcore.domain.segments.names import Names
from crmcore.domain.segments.oracle import DAY, Known, Oracle
from crmcore.domain.segments.tree import (
    AllOf,
    Amount,
    AnyOf,
    Compared,
    Condition,
    Count,
    DaysSince,
    Duration,
    Everyone,
    FactsOf,
    InSegment,
    Leaf,
    Mention,
    NotOf,
    Sum,
    TraitIs,
    When,
    leaves,
)
from crmcore.domain.segments.tree import Sequence as Following
from crmcore.domain.segments.types import in_minor, plain
from crmcore.domain.trait import Trait
from crmcore.persistence.customers import customer
from crmcore.persistence.ledger import interaction
from crmcore.persistence.portable import Portable
from crmcore.persistence.schema import Whole
from crmcore.services.segments.measures import (
    COMPARE,
    CUSTOMERS,
    NOW,
    Lines,
    Matching,
    Measure,
    Measures,
    ago,
    is_of,
)

_MOST_SUBQUERIES: Final = 16  # SQLite joins 64 tables at most


@define(eq=False)
class Compiler:
    """Makes statements of trees that were checked; `:now` is the instant they are about."""

    names: Names
    portable: Portable

    def members(self, condition: Condition) -> Select[Any]:
        """Return the select of the ids of all customers in a segment."""
        return _Building(self.names, self.portable, [condition]).members()

    def members_among(self, condition: Condition) -> Select[Any]:
        """Return the same for the customers in the parameter `customers`, a JSON list of ids."""
        return _Building(self.names, self.portable, [condition], restricted=True).members()

    def measures(
        self, asked: Sequence[Compared], among: Condition, *, restricted: bool = False
    ) -> Select[Any]:
        """
        Return a row for each customer in a segment: the id, and the value of each measure.

        If *restricted*, only for those in the parameter `customers`, as `members_among` has it.
        """
        building = _Building(self.names, self.portable, [among, *asked], restricted=restricted)
        return building.measures()

    def flags(
        self, conditions: Sequence[Condition], *, restricted: bool = False, as_known: bool = False
    ) -> Select[Any]:
        """
        Return a row for each customer: the id, and for each tree whether they are in it.

        What several of them ask of the ledger is asked once. If *as_known*, only facts count that
        were recorded before the parameter `known_before`.
        """
        return _Building(
            self.names, self.portable, conditions, restricted=restricted, as_known=as_known
        ).flags()


@define(eq=False)
class _Building:
    names: Names
    portable: Portable
    conditions: Sequence[Condition]
    restricted: bool = field(default=False, kw_only=True)
    as_known: bool = field(default=False, kw_only=True)
    _wanted: dict[Measure, Lines] = field(factory=dict, init=False)
    """What is asked of the ledger, and what a line of those facts must be."""
    _measures: dict[Lines, Measures] = field(factory=dict, init=False)
    _matching: Matching = field(init=False)
    _inner: set[object] = field(factory=set, init=False)
    """Tables whose rows a member needs: those without one are left out at once."""
    _traits: dict[str, Trait[Any]] = field(factory=dict, init=False)
    _aliases: int = field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        self._matching = Matching(
            names=self.names, restricted=self.restricted, as_known=self.as_known
        )
        for each in self.conditions:
            self._collect(each)
        self._share_out()

    def members(self) -> Select[Any]:
        (condition,) = self.conditions
        for key in [*self._measures, *(trait.table for trait in self._traits.values())]:
            if self._lacking(condition, key) is False:
                self._inner.add(key)
        holds = self._compiled(condition)
        return self._from(select(customer.c.customer_id)).where(holds)

    def flags(self) -> Select[Any]:
        flags = [
            self._compiled(each).label(f"in_{number}")
            for number, each in enumerate(self.conditions)
        ]
        return self._from(select(customer.c.customer_id, *flags))

    def measures(self) -> Select[Any]:
        among, *asked = self.conditions
        values = [self._value(each).label(f"value_{place}") for place, each in enumerate(asked)]
        found = self._from(select(customer.c.customer_id, *values))
        return found.where(self._compiled(among)).order_by(customer.c.customer_id)

    # -- what it is asked of -----------------------------------------------------------------

    def _collect(self, condition: Condition) -> None:
        for leaf in leaves(condition):
            match leaf:
                case TraitIs(trait):
                    self._traits[trait] = self.names.traits[trait]
                case Count() | Sum() | When() | DaysSince():
                    measure = _measure(leaf)
                    self._wanted[measure] = measure.lines
                case InSegment(name):
                    self._collect(self.names.segments[name])

    def _share_out(self) -> None:
        """
        Give measures of the same lines a subquery of their own, driven by those lines.

        Where there are many, or many segments, one pass over the ledger has all of them.
        """
        if len(self.conditions) > 1 or len({*self._wanted.values()}) > _MOST_SUBQUERIES:
            self._wanted = dict.fromkeys(self._wanted, ())
        for measure, lines in self._wanted.items():
            if lines not in self._measures:
                self._measures[lines] = Measures(self._matching, self.portable, lines)
            self._measures[lines].add(measure)

    def _column(self, measure: Measure) -> ColumnElement[Any]:
        return self._measures[self._wanted[measure]].column(measure)

    def _from(self, found: Select[Any]) -> Select[Any]:
        joined: Any = customer
        tables: dict[object, FromClause] = {
            lines: measures.table for lines, measures in self._measures.items()
        }
        tables |= {trait.table: trait.table for trait in self._traits.values()}
        for key, table in tables.items():
            if table is not customer:
                on = table.c.customer_id == customer.c.customer_id
                joined = joined.join(table, on, isouter=key not in self._inner)
        found = found.select_from(joined).where(
            customer.c.merged_into.is_(None), customer.c.erased_at.is_(None)
        )
        if self.restricted:
            found = found.where(self.portable.is_in(customer.c.customer_id, CUSTOMERS))
        return found

    def _lacking(self, node: Condition, table: object) -> bool | None:
        """
        Return whether a condition holds for who has no row in *table*; None: it depends.

        Of a subquery of measures, what stands here for the table is the lines it is about.
        """
        match node:
            case AllOf(conditions):
                found = [self._lacking(each, table) for each in conditions]
                return False if False in found else None if None in found else True
            case AnyOf(conditions):
                found = [self._lacking(each, table) for each in conditions]
                return True if True in found else None if None in found else False
            case NotOf(condition):
                inner = self._lacking(condition, table)
                return None if inner is None else not inner
            case InSegment(name):
                return self._lacking(self.names.segments[name], table)
            case Everyone():
                return True
            case TraitIs(trait):
                is_here = self.names.traits[trait].table is table
                return Oracle(self.names, Known(), 0).holds(node) if is_here else None
            case Count() | Sum() | When() | DaysSince():
                is_here = isinstance(table, tuple) and self._wanted[_measure(node)] == table
                return Oracle(self.names, Known(), 0).holds(node) if is_here else None
            case _:
                return None

    # -- conditions --------------------------------------------------------------------------

    def _compiled(self, node: Condition) -> ColumnElement[bool]:
        match node:
            case AllOf(conditions):
                return and_(*map(self._compiled, conditions))
            case AnyOf(conditions):
                return or_(*map(self._compiled, conditions))
            case NotOf(condition):
                return not_(self._compiled(condition))
            case InSegment(name):
                return self._compiled(self.names.segments[name])
            case _:
                return self._leaf(node)

    def _leaf(self, leaf: Leaf) -> ColumnElement[bool]:
        match leaf:
            case TraitIs():
                return self._trait(leaf)
            case Count():
                return self._compared(leaf, leaf.number)
            case Sum(amount=amount):
                assert isinstance(amount, Amount)  # as it was checked
                return self._compared(leaf, in_minor(amount, self.names))
            case When():
                return self._when(leaf)
            case DaysSince():
                return self._days_since(leaf)
            case Following():
                return self._following(leaf)
            case Everyone() | Mention() | InSegment():
                return and_(true(), customer.c.customer_id.is_not(None))

    def _value(self, leaf: Condition) -> ColumnElement[Any]:
        """Return what a leaf compares."""
        match leaf:
            case TraitIs(trait):
                return self._trait_value(self.names.traits[trait])
            case Count() | Sum():
                return self._number(leaf)
            case DaysSince():
                return (NOW - self._column(_measure(leaf))) // literal(DAY, Whole)
        raise AssertionError(f"{leaf!r} is no measure")

    def _number(self, leaf: Count | Sum) -> ColumnElement[Any]:
        measure = _measure(leaf)
        column = self._column(measure)
        is_there = self._wanted[measure] in self._inner
        return column if is_there else func.coalesce(column, 0)

    def _compared(self, leaf: Count | Sum, value: Any) -> ColumnElement[bool]:
        number = self._number(leaf)
        compared: ColumnElement[bool] = COMPARE[leaf.operator](number, literal(value, Whole))
        return compared

    def _when(self, leaf: When) -> ColumnElement[bool]:
        column = self._column(_measure(leaf))
        border = (
            ago(leaf.instant)
            if isinstance(leaf.instant, Duration)
            else literal(self.names.calendar.start_of(leaf.instant), Whole)
        )
        return _known(column, column < border if leaf.side == "before" else column > border)

    def _days_since(self, leaf: DaysSince) -> ColumnElement[bool]:
        column, days = self._column(_measure(leaf)), leaf.days
        assert type(days) is int  # as it was checked

        def passed(number: int) -> ColumnElement[bool]:
            """Return whether that many days have passed."""
            return column <= NOW - literal(number * DAY, Whole)

        compared: dict[str, ColumnElement[bool]] = {
            ">=": passed(days),
            ">": passed(days + 1),
            "<": not_(passed(days)),
            "<=": not_(passed(days + 1)),
            "==": and_(passed(days), not_(passed(days + 1))),
            "!=": or_(not_(passed(days)), passed(days + 1)),
        }
        return _known(column, compared[leaf.operator])

    def _trait(self, leaf: TraitIs) -> ColumnElement[bool]:
        trait = self.names.traits[leaf.trait]
        column = self._trait_value(trait)
        as_number = _is_stored_as_number(trait)

        def value_of(value: Any) -> Any:
            made = plain(value, trait, self.names)
            return int(made) if as_number else made

        if isinstance(leaf.value, tuple):
            listed = [value_of(each) for each in leaf.value]
            return column.in_(listed) if leaf.operator == "in" else column.not_in(listed)
        compared: ColumnElement[bool] = COMPARE[leaf.operator](column, value_of(leaf.value))
        return compared

    def _trait_value(self, trait: Trait[Any]) -> ColumnElement[Any]:
        column = trait.column(NOW)
        if trait.table in self._inner:
            return column
        absent = int(trait.default) if _is_stored_as_number(trait) else trait.default
        has_row = trait.table.c.customer_id.is_not(None)
        # Of a row that is not there an expression may still be something.
        column = column if isinstance(column, Column) else case((has_row, column))
        return func.coalesce(column, absent)

    # -- sequences ---------------------------------------------------------------------------

    def _following(self, leaf: Following) -> ColumnElement[bool]:
        within = literal(leaf.within.microseconds, Whole)
        first, *later = [self._step(step) for step in leaf.steps]
        found = select(first[0].c.customer_id).where(*first[1])
        before = first[0]
        for number, (rows, meant) in enumerate(later, 2):
            follows = (
                rows.c.customer_id == before.c.customer_id,
                rows.c.occurred_at > before.c.occurred_at,
                rows.c.occurred_at <= before.c.occurred_at + within,
                *meant,
            )
            if leaf.but_not and number == len(leaf.steps):
                found = found.where(
                    before.c.occurred_at <= NOW - within,
                    not_(exists().where(*follows).correlate(before)),
                )
            else:
                found = found.where(*follows)
            before = rows
        return customer.c.customer_id.in_(found)

    def _step(self, facts: FactsOf) -> tuple[FromClause, list[ColumnElement[bool]]]:
        self._aliases += 1
        rows = interaction.alias(f"step_{self._aliases}")
        meant = [
            is_of(self.names.family(facts.name).marked, rows),
            *self._matching.counting(rows),
            rows.c.occurred_at <= NOW,
        ]
        if facts.window is not None:
            meant.append(rows.c.occurred_at > ago(facts.window))
        if self.restricted:
            meant.append(self.portable.is_in(rows.c.customer_id, CUSTOMERS))
        return rows, [*meant, *self._matching.conditions(facts, rows)]


def _is_stored_as_number(trait: Trait[Any]) -> bool:
    """Return whether 1 and 0 stand for true and false."""
    return trait.type is bool and not isinstance(trait.column(NOW).type, Boolean)


def _known(column: ColumnElement[Any], condition: ColumnElement[bool]) -> ColumnElement[bool]:
    """Return a condition on an instant that is not there for everybody: then it does not hold."""
    return and_(column.is_not(None), condition)


def _measure(leaf: Count | Sum | When | DaysSince) -> Measure:
    match leaf:
        case Count(facts):
            return Measure("count", facts)
        case Sum(facts):
            return Measure("sum", facts)
        case When(facts, which) | DaysSince(facts, which):
            return Measure(which, facts)
