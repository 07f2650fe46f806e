"""Categories: what customers spend most on."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Select, UpdateBase, cast, func, select

from crmcore import Facts, Fold, Trait
from crmcore.hooks.fold import Insert
from crmcore_profile.contribution import PAID
from crmcore_profile.tables import Whole, category


def categories_of(facts: Facts) -> Select[Any]:
    """Return the rows of the table of categories as these facts alone make them."""
    line, row = facts.lines.c, facts.interactions.c
    bought = (
        select(
            row.customer_id,
            func.coalesce(line.category, "").label("category"),
            func.coalesce(line.amount_base_minor, 0).label("net_minor"),
        )
        .select_from(
            facts.lines.join(facts.interactions, row.interaction_id == line.interaction_id)
        )
        .where(row.kind.in_(PAID))
        .subquery("bought")
    )
    found = bought.c
    return select(
        found.customer_id, found.category, cast(func.sum(found.net_minor), Whole)
    ).group_by(found.customer_id, found.category)


def _add(facts: Facts, insert: Insert) -> UpdateBase:
    table = category.c
    new = insert(category).from_select(list(table.keys()), categories_of(facts))
    statement: UpdateBase = new.on_conflict_do_update(
        index_elements=[table.customer_id, table.category],
        set_={"net_minor": table.net_minor + new.excluded.net_minor},
    )
    return statement


CATEGORIES: Final = Fold(_add)
"""Adds a batch's lines to what was spent on their category."""


def category_trait() -> Trait[str]:
    """Return the trait of the category with the largest net revenue, if it has any."""
    row = category.c
    place = func.row_number().over(
        partition_by=row.customer_id, order_by=(row.net_minor.desc(), row.category)
    )
    found = select(row.customer_id, row.category, place.label("place")).where(
        row.category != "", row.net_minor > 0
    )
    numbered = found.subquery("numbered")
    table = (
        select(numbered.c.customer_id, numbered.c.category)
        .where(numbered.c.place == 1)
        .subquery("liked_category")
    )
    return Trait(
        "profile.category",
        type=str,
        default="",
        table=table,
        value=lambda now: table.c.category,
        description="the category they spend most on",
    )
