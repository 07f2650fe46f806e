"""Statements: every value that was stated, and what was taken back, folded from the ledger."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    FromClause,
    Select,
    UpdateBase,
    and_,
    case,
    func,
    or_,
    select,
)

from crmcore import Facts, Fold, payload_text, payload_whole
from crmcore.hooks.fold import Insert
from crmcore_profile.attributes import ZONE
from crmcore_profile.domain import CONFIDENCE, EVERY, ORIGINS, TAKEN_BACK, WITHDRAWN
from crmcore_profile.tables import statement

ZONE_CHANGED: Final = "customer.zone_changed"
"""How the core is told where a customer lives, for quiet hours; the profile believes it."""

STATING: Final = frozenset({*ORIGINS, WITHDRAWN, ZONE_CHANGED})


def statements_of(interactions: FromClause) -> Select[Any]:
    """Return the rows of the table of statements as these interactions alone make them."""
    row = interactions.c
    origin = case(
        *((row.kind == kind, name) for kind, name in ORIGINS.items()),
        (row.kind == WITHDRAWN, TAKEN_BACK),
        else_="observed",
    )
    unsaid = case(
        *((row.kind == kind, CONFIDENCE[name]) for kind, name in ORIGINS.items()), else_=100
    )
    as_of = payload_whole(row.payload, "as_of")
    return select(
        row.customer_id,
        row.interaction_id,
        case((row.kind == ZONE_CHANGED, ZONE), else_=payload_text(row.payload, "attribute")),
        origin,
        case(
            (row.kind == ZONE_CHANGED, payload_text(row.payload, "zone")),
            else_=func.coalesce(payload_text(row.personal, "value"), EVERY),
        ),
        func.coalesce(payload_whole(row.payload, "confidence"), unsaid),
        # Nothing is known from the future: a date that is wrong must not stand for years.
        case((as_of < row.occurred_at, as_of), else_=row.occurred_at),
        row.occurred_at,
        row.source,
        row.source_key,
    ).where(
        or_(
            row.kind == ZONE_CHANGED,
            # What was erased has no personal part; it takes nothing back either.
            and_(row.kind.in_((*ORIGINS, WITHDRAWN)), row.personal.is_not(None)),
        )
    )


def _add(facts: Facts, insert: Insert) -> UpdateBase:
    names = list(statement.c.keys())
    new = insert(statement).from_select(names, statements_of(facts.interactions))
    added: UpdateBase = new.on_conflict_do_nothing()
    return added


STATEMENTS: Final = Fold(_add)
"""Adds a batch's statements, each under its interaction."""
