"""History: the tiers that were decided, folded from the ledger's own rows into tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Select,
    Table,
    Text,
    UpdateBase,
    and_,
    cast,
    func,
    or_,
    select,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.expression import ColumnClause, literal_column
from sqlalchemy.sql.functions import FunctionElement

from crmcore import Facts, Fold
from crmcore.hooks.fold import Insert
from crmcore_tiering.domain import SOURCE, TIER_CHANGED
from crmcore_tiering.tables import Whole, tier, tier_change


class json_field(FunctionElement[str]):  # noqa: N801 - named as it is called in SQL
    """The field of a JSON object that stands in a column of text, as text or number."""

    type = Text()
    inherit_cache = True


@compiles(json_field, "sqlite")
def _sqlite(element: json_field, compiler: Any, **options: Any) -> str:
    column, name = element.clauses
    return f"json_extract({compiler.process(column, **options)}, '$.{name.name}')"


@compiles(json_field, "postgresql")
def _postgresql(element: json_field, compiler: Any, **options: Any) -> str:
    column, name = element.clauses
    field = f"{compiler.process(column, **options)}::json ->> '{name.name}'"
    return f'(({field}) COLLATE "C")'


def _decided(interactions: FromClause) -> Select[Any]:
    """Return the decided tiers, one row per interaction."""
    row = interactions.c

    def text(name: str) -> ColumnElement[str]:
        field: ColumnClause[str] = literal_column(name)
        return json_field(row.payload, field)

    def whole(name: str) -> ColumnElement[int]:
        return cast(text(name), Whole)

    return select(
        row.customer_id,
        row.occurred_at.label("since"),
        text("to_tier").label("tier"),
        text("from_tier").label("from_tier"),
        text("scheme").label("scheme"),
        whole("position").label("position"),
        whole("a_from_minor").label("a_from_minor"),
        whole("b_from_minor").label("b_from_minor"),
        row.caused_by,
        row.source_key,
    ).where(row.kind == TIER_CHANGED, row.source == SOURCE)


def _latest(interactions: FromClause, names: Sequence[str], *, of_each: int) -> Select[Any]:
    """
    Return the columns *names* of the latest decided tier for each value of the first *of_each*.

    These are the customer, or the customer and the instant. Only customers who were merged have
    two tiers of one instant: the better one stays, and the rest is for a total order.
    """
    decided = _decided(interactions).subquery("decided")
    row = decided.c
    place = func.row_number().over(
        partition_by=[row[name] for name in names[:of_each]],
        order_by=(row.since.desc(), row.tier, row.position, row.source_key),
    )
    numbered = select(decided, place.label("place")).subquery("numbered")
    return select(*(numbered.c[name] for name in names)).where(numbered.c.place == 1)


def present_tiers(interactions: FromClause) -> Select[Any]:
    """Return the rows of the table of present tiers as these interactions alone make them."""
    return _latest(interactions, tier.c.keys(), of_each=1)


def _replaces(new: Any, old: Any) -> ColumnElement[bool]:
    return or_(
        new.since > old.since,
        and_(new.since == old.since, new.tier < old.tier),
        and_(new.since == old.since, new.tier == old.tier, new.position < old.position),
    )


def _fold_into(table: Table) -> Fold:
    names = [column.name for column in table.columns]
    key = [column.name for column in table.primary_key.columns]

    def build(facts: Facts, insert: Insert) -> UpdateBase:
        new = insert(table).from_select(names, _latest(facts.interactions, names, of_each=len(key)))
        statement: UpdateBase = new.on_conflict_do_update(
            index_elements=key,
            set_={name: new.excluded[name] for name in names if name not in key},
            where=_replaces(new.excluded, table.c),
        )
        return statement

    return Fold(build)


PRESENT_TIERS: Final = _fold_into(tier)
TIER_CHANGES: Final = _fold_into(tier_change)
