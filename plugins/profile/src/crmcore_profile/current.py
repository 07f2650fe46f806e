"""Current values: which of all statements counts, by each attribute's own policy, and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Subquery,
    and_,
    case,
    false,
    func,
    literal,
    or_,
    select,
)

from crmcore_profile.attributes import Attribute
from crmcore_profile.domain import EVERY, TAKEN_BACK, TRUST
from crmcore_profile.tables import statement
from crmcore_profile.values import fits

SEPARATOR = ", "
"""Between the values of an attribute that has many, in its trait."""


def current_values(attributes: Sequence[Attribute]) -> Subquery:
    """
    Return the current value of each customer and attribute, as a table.

    An attribute with many values has a row for each. A row is the very statement that decides,
    with its `interaction_id`. The order is total and knows no order of arrival, so the same
    statements always leave the same values:

    - `newest`: the latest as-of, then the latest statement, the more trusted origin, confidence;
    - `most_trusted`: the more trusted origin, then confidence, and then the newest;
    - `most_frequent`: what was stated most often, and then the newest;

    and in the end the value that comes first, byte by byte.
    """
    found = _standing(attributes)
    if any(each.policy == "most_frequent" for each in attributes):
        row = found.c
        times = func.count().over(partition_by=(row.customer_id, row.attribute, row.value))
        found = select(found, times.label("times")).subquery("counted")
    numbered = select(found, _place(found, attributes).label("place")).subquery("numbered")
    columns = [numbered.c[each.name] for each in statement.c]
    return select(*columns).where(numbered.c.place == 1).subquery("current_value")


def _standing(attributes: Sequence[Attribute]) -> Subquery:
    """
    Return the statements of these attributes that fit, and have not been taken back.

    One select has windows of one sort only: with two, SQLite reads the rows of everybody where
    one customer is asked about.
    """
    row: Any = statement.c
    trust = case(*((row.origin == name, rank) for name, rank in TRUST.items()), else_=0)
    wiped = case((and_(row.origin == TAKEN_BACK, row.value == EVERY), row.as_of))
    of_all = func.max(wiped).over(partition_by=(row.customer_id, row.attribute))
    told = (
        select(statement, trust.label("trust"), of_all.label("all_back"))
        .where(row.attribute.in_([each.name for each in attributes]))
        .subquery("told")
    )
    row = told.c
    dropped = case((row.origin == TAKEN_BACK, row.as_of))
    of_it = func.max(dropped).over(partition_by=(row.customer_id, row.attribute, row.value))
    kept = (
        select(told, of_it.label("it_back"))
        .where(or_(row.all_back.is_(None), row.all_back < row.as_of))
        .subquery("kept")
    )
    row = kept.c
    suits = (and_(row.attribute == each.name, fits(each, row.value)) for each in attributes)
    return (
        select(*(row[each.name] for each in statement.c), row.trust)
        .where(
            row.origin != TAKEN_BACK,
            or_(row.it_back.is_(None), row.it_back < row.as_of),
            or_(false(), *suits),
        )
        .subquery("standing")
    )


def _place(found: FromClause, attributes: Sequence[Attribute]) -> ColumnElement[int]:
    """Return the place of a statement among those of its customer and attribute; 1 counts."""
    row = found.c

    def only(policy: str, *columns: str) -> list[ColumnElement[Any]]:
        """Return columns as part of the order of a policy's attributes, the largest first."""
        names = [each.name for each in attributes if each.policy == policy]
        if not names:
            return []
        if len(names) == len(attributes):
            return [row[column].desc() for column in columns]
        is_so = row.attribute.in_(names)
        return [case((is_so, row[column]), else_=0).desc() for column in columns]

    many = [each.name for each in attributes if each.many]
    each_of_many = case((row.attribute.in_(many), row.value), else_=literal(EVERY))
    return func.row_number().over(
        partition_by=(row.customer_id, row.attribute, *((each_of_many,) if many else ())),
        order_by=(
            *only("most_frequent", "times"),
            *only("most_trusted", "trust", "confidence"),
            row.as_of.desc(),
            row.stated_at.desc(),
            row.trust.desc(),
            row.confidence.desc(),
            row.value,
            # Only which of equal statements is named as the reason; an id comes last.
            row.source,
            func.coalesce(row.source_key, ""),
            row.interaction_id,
        ),
    )


def value_of(attribute: Attribute) -> Subquery:
    """Return each customer's value of an attribute, one row each; many are joined by a comma."""
    current = current_values([attribute])
    if not attribute.many:
        return select(current.c.customer_id, current.c.value).subquery(f"value_{attribute.name}")
    joined = func.aggregate_strings(current.c.value, SEPARATOR).over(
        partition_by=current.c.customer_id, order_by=current.c.value, rows=(None, None)
    )
    # The same in every row of a customer.
    return (
        select(current.c.customer_id, joined.label("value"))
        .distinct()
        .subquery(f"value_{attribute.name}")
    )
