"""Warnings: who is told that a tier is in danger, how much keeps it, and until when."""

from __future__ import annotations

from typing import Any, Final

from attrs import frozen
from sqlalchemy import FromClause, Select, and_, case, literal, or_, select

from crmcore import payload_text, payload_whole
from crmcore_tiering.domain import SOURCE
from crmcore_tiering.latest import By, Latest
from crmcore_tiering.tables import warning

TIER_WARNED: Final = "tier.warned"
TIER_KEPT: Final = "tier.kept"


@frozen(kw_only=True)
class TierWarned:
    """
    A customer would fall into a worse tier, and has time to do something about it.

    Attributes:
        tier: What they have.
        to_tier: What they would have now.
        gap_minor: How much more, all others as they are, would have kept the tier, to the minor
            unit; None where money alone does not.
        due_at: The review that decides, in microseconds.
        until: The last day before it, in the shop's zone, as ISO text.
        reviewed_at: Microseconds UTC.
        net_minor: What counted for them.
        basis: Of what `gap_minor` is: `revenue` or `margin`.
    """

    tier: str
    to_tier: str
    gap_minor: int | None
    due_at: int
    until: str
    reviewed_at: int
    net_minor: int
    basis: str

    def __str__(self) -> str:
        """Say what the numbers mean, as `crm why` shows it."""
        needed = (
            "money alone does not keep it"
            if self.gap_minor is None
            else f"{self.gap_minor} more {self.basis} in minor units keeps it"
        )
        return f"{self.tier} would become {self.to_tier} after {self.until}; {needed}"


@frozen(kw_only=True)
class TierKept:
    """
    A customer who had been warned has kept the tier.

    Attributes:
        tier: What they have.
        warned_at: When they were warned, in microseconds.
        due_at: The review that was to decide.
        reviewed_at: The one that did.
    """

    tier: str
    warned_at: int
    due_at: int
    reviewed_at: int

    def __str__(self) -> str:
        """Say what happened, as `crm why` shows it."""
        return f"{self.tier} is kept after a warning"


def _told(interactions: FromClause) -> Select[Any]:
    row = interactions.c
    return select(
        row.customer_id,
        row.occurred_at.label("since"),
        case((row.kind == TIER_WARNED, 1), else_=0).label("is_open"),
        payload_text(row.payload, "tier").label("tier"),
        payload_whole(row.payload, "due_at").label("due_at"),
        payload_whole(row.payload, "gap_minor").label("gap_minor"),
    ).where(or_(row.kind == TIER_WARNED, row.kind == TIER_KEPT), row.source == SOURCE)


_LATEST: Final = Latest(
    warning,
    _told,
    (
        By("since", descending=True),
        By("is_open"),
        By("due_at", descending=True),
        By("tier"),
        By("gap_minor", blank=-1),
    ),
)
WARNINGS: Final = _LATEST.fold()


def present_warnings(interactions: FromClause) -> Select[Any]:
    """Return the rows of the table of warnings as these interactions alone make them."""
    return _LATEST.of(interactions)


def open_warnings(warnings: FromClause, tiers: FromClause) -> Select[Any]:
    """Return the customers who are warned of losing the tier they have: id, when, due, tier."""
    row = warnings.c
    return (
        select(row.customer_id, row.since, row.due_at, row.tier)
        .join_from(
            warnings,
            tiers,
            and_(
                tiers.c.customer_id == row.customer_id,
                tiers.c.tier == row.tier,
                tiers.c.since < row.since,
            ),
        )
        .where(row.is_open == literal(1))
        .order_by(row.customer_id)
    )
