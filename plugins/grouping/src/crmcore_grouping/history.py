"""History: who was in which group, and when, folded from what was decided."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Select,
    Subquery,
    UpdateBase,
    case,
    func,
    literal,
    select,
)

from crmcore import Facts, Fold, payload_text
from crmcore.hooks.fold import Insert
from crmcore_grouping.domain import ENTERED, LEFT, SOURCE
from crmcore_grouping.tables import Whole, history, member


def _decided(interactions: FromClause) -> Subquery:
    """Return what was decided, one row each, with whether the customer was in the group before."""
    row = interactions.c
    is_in = case((row.kind == ENTERED, literal(1, Whole)), else_=literal(0, Whole))
    decided = (
        select(
            row.customer_id,
            payload_text(row.payload, "group").label("group_name"),
            row.occurred_at.label("at_instant"),
            is_in.label("is_in"),
            row.caused_by,
            row.source_key,
        )
        .where(row.kind.in_([ENTERED, LEFT]), row.source == SOURCE)
        .subquery("decided")
    )
    before = func.lag(decided.c.is_in).over(
        partition_by=_whose(decided), order_by=(*_when(decided), decided.c.source_key)
    )
    return select(decided, func.coalesce(before, 0).label("was_in")).subquery("told")


def _whose(rows: FromClause) -> tuple[ColumnElement[Any], ...]:
    return rows.c.customer_id, rows.c.group_name


def _when(rows: FromClause) -> tuple[ColumnElement[Any], ...]:
    """Return the order of decisions; of one instant, only those who were merged have several."""
    return rows.c.at_instant, rows.c.is_in


def spells(interactions: FromClause) -> Select[Any]:
    """
    Return the rows of the history as these decisions make them.

    Of customers who were merged some say what is so already; these count for nothing.
    """
    told = _decided(interactions)
    ends = func.lead(told.c.at_instant).over(partition_by=_whose(told), order_by=_when(told))
    turns = (
        select(
            told.c.customer_id,
            told.c.group_name,
            told.c.at_instant.label("from_instant"),
            ends.label("to_instant"),
            told.c.caused_by,
            told.c.is_in,
        )
        .where(told.c.is_in != told.c.was_in)
        .subquery("turns")
    )
    names = history.c.keys()
    return select(*(turns.c[name] for name in names)).where(turns.c.is_in == 1)


def _history(facts: Facts, insert: Insert) -> UpdateBase:
    new = insert(history).from_select(history.c.keys(), spells(facts.interactions))
    statement: UpdateBase = new.on_conflict_do_nothing()
    return statement


def _members(facts: Facts, insert: Insert) -> UpdateBase:
    found = spells(facts.interactions).subquery("spells").c
    present = select(
        found.customer_id, found.group_name, found.from_instant, found.caused_by
    ).where(found.to_instant.is_(None))
    statement: UpdateBase = (
        insert(member).from_select(member.c.keys(), present).on_conflict_do_nothing()
    )
    return statement


# A table is cleared before either runs: one decision means nothing without those before it.
HISTORY: Final = Fold(_history)
MEMBERS: Final = Fold(_members)
