"""Standing: what a customer's page says of their tier, and how far it is to the next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import bindparam, select

from crmcore import Context, Money
from crmcore_tiering.domain import MILLION, Scheme
from crmcore_tiering.tables import Whole, tier, tier_change, total

_CUSTOMER: Final = bindparam("customer", type_=Whole)

_STANDING: Final = (
    select(tier.c.tier, tier.c.since, tier.c.scheme, tier.c.position, total.c.net_minor)
    .join_from(tier, total, total.c.customer_id == tier.c.customer_id)
    .where(tier.c.customer_id == _CUSTOMER)
)

# All changes of one review carry the same borders, so any row of the latest will do.
_LATEST: Final = (
    select(
        tier_change.c.since,
        tier_change.c.scheme,
        tier_change.c.a_from_minor,
        tier_change.c.b_from_minor,
    )
    .order_by(tier_change.c.since.desc(), tier_change.c.customer_id.desc())
    .limit(1)
)


def describe(ctx: Context, customer_id: int, scheme: Scheme) -> Mapping[str, Any] | None:
    """
    Return the customer's position when graded, and for Pareto the way to the next tier up.

    The way is in money, measured at the latest review that moved anybody: net revenue with
    which a customer would have stood above the border then. None before the first review.
    """
    found = ctx.execute(_STANDING, customer=customer_id)
    if not found:
        return None
    ((held, since, graded_by, position, net_minor),) = found
    facts = {"position": _position(graded_by, position, str(ctx.calendar.day_of(since)))}
    if scheme == "pareto" and held != "A":
        ((reviewed_at, reviewed_by, a_from, b_from),) = ctx.execute(_LATEST)
        above, needed = ("A", a_from) if held == "B" else ("B", b_from)
        if reviewed_by == "pareto" and needed is not None:
            missing = Money(max(0, needed - net_minor), ctx.currency)
            day = ctx.calendar.day_of(reviewed_at)
            facts["next_tier"] = (
                f"{missing} more for {above}, which began at {Money(needed, ctx.currency)} "
                f"in the review of {day}"
            )
    return facts


def _position(scheme: str, position: int, day: str) -> str:
    if scheme == "rfm":
        return f"RFM score {position} of 15 on {day}"
    percent = f"{position // (MILLION // 100)}.{position // (MILLION // 1000) % 10}"
    return f"customers with more revenue brought {percent} % of it on {day}"
