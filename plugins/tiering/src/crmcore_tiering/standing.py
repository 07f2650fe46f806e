"""Standing: what a customer's page says of their tier, and how far it is to the next."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import and_, bindparam, select

from crmcore import Context, Facts, Money
from crmcore_tiering.domain import OVERRIDE, percent_of
from crmcore_tiering.method import Method
from crmcore_tiering.tables import Whole, override, tier, tier_change, total, warning
from crmcore_tiering.tiers import Tier
from crmcore_tiering.totals import COUNTED_FROM

_CUSTOMER: Final = bindparam("customer", type_=Whole)

_STANDING: Final = (
    select(
        tier.c.tier,
        tier.c.since,
        tier.c.scheme,
        tier.c.position,
        total.c.net_minor,
        override.c.tier,
        override.c.until_day,
        override.c.owner,
        warning.c.since,
        warning.c.tier,
        warning.c.due_at,
        warning.c.gap_minor,
    )
    .select_from(
        tier.outerjoin(total, total.c.customer_id == tier.c.customer_id)
        .outerjoin(override, override.c.customer_id == tier.c.customer_id)
        .outerjoin(
            warning, and_(warning.c.customer_id == tier.c.customer_id, warning.c.is_open == 1)
        )
    )
    .where(tier.c.customer_id == _CUSTOMER)
)

# All changes of one review carry the same borders, so any row of the latest will do.
_LATEST: Final = (
    select(
        tier_change.c.since,
        tier_change.c.scheme,
        tier_change.c.a_from_minor,
        tier_change.c.b_from_minor,
        tier_change.c.more_from_minor,
    )
    .where(tier_change.c.scheme != OVERRIDE)
    .order_by(tier_change.c.since.desc(), tier_change.c.customer_id.desc())
    .limit(1)
)


def describe(
    ctx: Context, customer_id: int, method: Method, tiers: Mapping[str, Tier]
) -> Mapping[str, Any] | None:
    """
    Return the customer's position when graded, and for Pareto the way to the next tier up.

    The way is in money, measured at the latest review that moved anybody: net revenue with
    which a customer would have stood above the border then. None before the first review.
    """
    found = ctx.execute(_STANDING, customer=customer_id)
    if not found:
        return None
    (row,) = found
    held, since, graded_by, position, net_minor = row[:5]
    day = str(ctx.calendar.day_of(since))
    facts = {"position": _position(graded_by, position, day, method.basis)}
    names = method.borders.tiers
    if method.scheme == "pareto" and held in names[1:]:
        counted = net_minor or 0
        if not method.is_usual:
            counted = _counted(ctx, customer_id, method)
        facts |= _next_tier(ctx, names, names.index(held) - 1, counted, method.basis)
    facts |= _by_staff(ctx, *row[5:8])
    facts |= _warned(ctx, held, since, *row[8:], basis=method.basis)
    if held in tiers and tiers[held].benefits:
        benefits = tiers[held].benefits
        facts["benefits"] = ", ".join(f"{name}: {value}" for name, value in benefits.items())
    return facts


def _position(scheme: str, position: int, day: str, basis: str) -> str:
    if scheme == OVERRIDE:
        return f"given by staff on {day}"
    if scheme == "rfm":
        return f"RFM score {position} of 15 on {day}"
    if scheme == "predicted":
        return (
            f"customers of whom more is expected were to bring {percent_of(position)} % "
            f"of it on {day}"
        )
    return f"customers with more {basis} brought {percent_of(position)} % of it on {day}"


def _next_tier(
    ctx: Context, names: tuple[str, ...], place: int, net_minor: int, basis: str
) -> dict[str, str]:
    """Return what is missing to the tier at *place*, which is the next one up."""
    latest = ctx.execute(_LATEST)
    if not latest:
        return {}
    ((reviewed_at, reviewed_by, a_from, b_from, more),) = latest
    least = [a_from, b_from, *(json.loads(more) if more else ())]
    needed = least[place] if place < len(least) else None
    if reviewed_by != "pareto" or needed is None:
        return {}
    missing = Money(max(0, needed - net_minor), ctx.currency)
    of = "" if basis == "revenue" else f" {basis}"
    return {
        "next_tier": (
            f"{missing} more{of} for {names[place]}, which began at "
            f"{Money(needed, ctx.currency)} in the review of {ctx.calendar.day_of(reviewed_at)}"
        )
    }


def _counted(ctx: Context, customer_id: int, method: Method) -> int:
    """Return what counts for a customer now, by the method's basis and period."""
    now = ctx.clock.now()
    every = ctx.facts_until(now + 1)
    own = Facts(
        select(every.interactions)
        .where(every.interactions.c.customer_id == _CUSTOMER)
        .subquery("own_facts"),
        select(every.lines).where(every.lines.c.customer_id == _CUSTOMER).subquery("own_lines"),
    )
    row = method.totals(own).subquery("totals").c
    values = {COUNTED_FROM: method.counted_from(ctx.calendar, now), "customer": customer_id}
    found = ctx.execute(select(row.net_minor), **values)
    return int(found[0][0]) if found else 0


def _by_staff(
    ctx: Context, name: str | None, until: str | None, owner: str | None
) -> dict[str, str]:
    """Return the override that holds today, if one does."""
    today = str(ctx.calendar.day_of(ctx.clock.now()))
    if name is None or until is None or until < today:
        return {}
    return {"override": f"{name} until {until}, by {owner}; `crm why` has the reason"}


def _warned(
    ctx: Context,
    held: str,
    since: int,
    warned_at: int | None,
    name: str | None,
    due_at: int,
    gap_minor: int | None,
    *,
    basis: str,
) -> dict[str, str]:
    """Return what keeps the tier, and until when, if the customer is warned of losing it."""
    if warned_at is None or name != held or warned_at <= since:
        return {}  # nobody is, or they moved since
    until = ctx.calendar.day_of(due_at - 1)
    if gap_minor is None:
        return {"warning": f"{name} ends after {until}, and money alone does not keep it"}
    amount, day = Money(gap_minor, ctx.currency), ctx.calendar.day_of(warned_at)
    return {"warning": f"{amount} more {basis} by {until} keeps {name}, as measured on {day}"}
