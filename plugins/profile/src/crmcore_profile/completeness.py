"""Completeness: how much of what the shop wants to know is known, and still fresh."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Subquery, case, func, select

from crmcore import Trait
from crmcore_profile.attributes import Attribute
from crmcore_profile.current import current_values
from crmcore_profile.domain import DAY


def known_since(attributes: Sequence[Attribute]) -> Subquery:
    """Return one row per customer, with the latest as-of of each attribute's current value."""
    current = current_values(attributes)
    mine = current.c.customer_id
    # Windows, not groups: so a database looks at one customer's rows only, if one is asked about.
    found = select(
        mine,
        *(
            func.max(case((current.c.attribute == each.name, current.c.as_of)))
            .over(partition_by=mine)
            .label(each.name)
            for each in attributes
        ),
    )
    return found.distinct().subquery("known_since")


def completeness_trait(attributes: Sequence[Attribute]) -> Trait[int] | None:
    """Return the trait; None where nothing weighs anything."""
    weighty = [each for each in attributes if each.weight]
    if not weighty:
        return None
    whole = sum(each.weight for each in weighty)
    known = known_since(weighty)

    def percent(now: ColumnElement[int]) -> ColumnElement[Any]:
        points = [
            case((is_fresh(known.c[each.name], each, now), each.weight), else_=0)
            for each in weighty
        ]
        found: ColumnElement[Any] = points[0]
        for each in points[1:]:
            found = found + each
        return found * 100 // whole

    return Trait(
        "profile.completeness",
        type=int,
        default=0,
        table=known,
        value=percent,
        description="how much of what matters is known and fresh, 0 to 100",
    )


def is_fresh(
    as_of: ColumnElement[int], attribute: Attribute, now: ColumnElement[int]
) -> ColumnElement[bool]:
    """Return the condition that a value is known, and has not grown stale at an instant."""
    if not attribute.stale_after_days:
        return as_of.is_not(None)
    # Of what is not known this is NULL, which is not true.
    return as_of > now - attribute.stale_after_days * DAY
