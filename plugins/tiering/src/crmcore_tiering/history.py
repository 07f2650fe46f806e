"""History: the tiers that were decided, folded from the ledger's own rows into tables."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Select,
    and_,
    case,
    cast,
    func,
    literal,
    null,
    or_,
    select,
)

from crmcore import payload_text, payload_whole
from crmcore_tiering.domain import OVERRIDE, SOURCE, TIER_CHANGED
from crmcore_tiering.latest import By, Latest
from crmcore_tiering.overrides import TIER_OVERRIDDEN
from crmcore_tiering.tables import Whole, Words, tier, tier_change


def _decided(interactions: FromClause) -> Select[Any]:
    """Return the decided tiers, one row per interaction: by a review, or by staff."""
    row = interactions.c
    by_staff = row.kind == TIER_OVERRIDDEN

    def text(name: str) -> ColumnElement[str]:
        return payload_text(row.payload, name)

    def whole(name: str) -> ColumnElement[int]:
        return payload_whole(row.payload, name)

    return select(
        row.customer_id,
        row.occurred_at.label("since"),
        case((by_staff, text("tier")), else_=text("to_tier")).label("tier"),
        # What staff had before them depends on what came first, which a fold must not ask.
        case((by_staff, literal(OVERRIDE)), else_=text("from_tier")).label("from_tier"),
        case((by_staff, literal(OVERRIDE)), else_=text("scheme")).label("scheme"),
        case((by_staff, 0), else_=whole("position")).label("position"),
        # Of one instant, what staff say goes before what a review found.
        case((by_staff, -1), else_=func.coalesce(whole("place"), 0)).label("place"),
        case((by_staff, cast(null(), Whole)), else_=whole("a_from_minor")).label("a_from_minor"),
        case((by_staff, cast(null(), Whole)), else_=whole("b_from_minor")).label("b_from_minor"),
        case((by_staff, cast(null(), Words)), else_=text("more_from_minor")).label(
            "more_from_minor"
        ),
        case((by_staff, row.interaction_id), else_=row.caused_by).label("caused_by"),
        case((by_staff, row.source_key)).label("override_key"),
    ).where(or_(by_staff, and_(row.kind == TIER_CHANGED, row.source == SOURCE)))


# Only customers who were merged have two tiers of one instant: the better one stays.
_ORDER: Final = (
    By("since", descending=True),
    By("place"),
    By("tier"),
    By("position"),
    By("override_key", blank=""),
    By("caused_by", blank=0),
)
_PRESENT: Final = Latest(tier, _decided, _ORDER)


def present_tiers(interactions: FromClause) -> Select[Any]:
    """Return the rows of the table of present tiers as these interactions alone make them."""
    return _PRESENT.of(interactions)


PRESENT_TIERS: Final = _PRESENT.fold()
TIER_CHANGES: Final = Latest(tier_change, _decided, _ORDER).fold()
