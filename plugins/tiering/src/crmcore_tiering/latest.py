"""Latest: folds after which, of all that was told of a customer, the latest row stays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from attrs import frozen
from sqlalchemy import (
    ColumnElement,
    FromClause,
    Select,
    Table,
    UpdateBase,
    and_,
    false,
    func,
    or_,
    select,
)

from crmcore import Facts, Fold
from crmcore.hooks.fold import Insert


@frozen
class By:
    """
    A column by which one row goes before another.

    Attributes:
        name: Of the column.
        descending: Whether the greater value goes first.
        blank: What NULL counts as, in columns that have it.
    """

    name: str
    descending: bool = False
    blank: Any = None

    def value(self, row: Any) -> ColumnElement[Any]:
        column: ColumnElement[Any] = row[self.name]
        return column if self.blank is None else func.coalesce(column, self.blank)

    def order(self, row: Any) -> ColumnElement[Any]:
        return self.value(row).desc() if self.descending else self.value(row).asc()


@frozen
class Latest:
    """
    Which row of each customer stays in a table.

    Attributes:
        table: Where it stays; one row for each value of its primary key.
        told: Returns the rows that interactions tell of, with the table's columns.
        order: What the first of several rows goes by. All columns of the table are made by what it
            names, so that no order of arrival shows.
    """

    table: Table
    told: Callable[[FromClause], Select[Any]]
    order: Sequence[By]

    def of(self, interactions: FromClause) -> Select[Any]:
        """Return the rows of the table as these interactions alone make them."""
        told = self.told(interactions).subquery("told")
        number = func.row_number().over(
            partition_by=[told.c[column.name] for column in self.table.primary_key],
            order_by=[by.order(told.c) for by in self.order],
        )
        numbered = select(told, number.label("number")).subquery("numbered")
        names = [column.name for column in self.table.columns]
        return select(*(numbered.c[name] for name in names)).where(numbered.c.number == 1)

    def fold(self) -> Fold:
        """Return the fold that keeps the table."""
        return Fold(self._build)

    def _build(self, facts: Facts, insert: Insert) -> UpdateBase:
        names = [column.name for column in self.table.columns]
        key = [column.name for column in self.table.primary_key]
        new = insert(self.table).from_select(names, self.of(facts.interactions))
        statement: UpdateBase = new.on_conflict_do_update(
            index_elements=key,
            set_={name: new.excluded[name] for name in names if name not in key},
            where=self._goes_before(new.excluded, self.table.c),
        )
        return statement

    def _goes_before(self, new: Any, old: Any) -> ColumnElement[bool]:
        ways: list[ColumnElement[bool]] = [false()]
        equal: list[ColumnElement[bool]] = []
        for by in self.order:
            mine, other = by.value(new), by.value(old)
            ways.append(and_(*equal, mine > other if by.descending else mine < other))
            equal.append(mine == other)
        return or_(*ways)
