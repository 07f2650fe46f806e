"""Contacts: how many messages of marketing a tier is sent, at what they cost the shop."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Select,
    Text,
    and_,
    bindparam,
    case,
    column,
    func,
    or_,
    select,
    table,
)

from crmcore import Context, Hold, MessagesProposed
from crmcore_tiering.tables import Whole, Words, tier
from crmcore_tiering.tiers import Tier

MARKETING: Final = ("news", "promotion")
"""What is capped. Service, care and surveys never are: a tier takes no right from anybody."""

_DAY: Final = 86_400_000_000  # microseconds
_RECEIVED: Final = ("claimed", "handed", "accepted", "unknown")
_WAITING: Final = ("planned", "deferred")
_LAST: Final = 2**62  # after every message: this one is not there yet

# The core's table, by the columns that tell who was sent what; it is read, and never written.
_message: Final = table(
    "crm_message",
    column("message_id", Whole),
    column("customer_id", Whole),
    column("plugin", Text()),
    column("message_key", Text()),
    column("purpose", Text()),
    column("state", Text()),
    column("planned_at", Whole),
    column("not_before", Whole),
    column("handed_at", Whole),
)


def capped(tiers: Iterable[Tier]) -> list[Tier]:
    """Return the tiers that are sent fewer messages than others."""
    return [each for each in tiers if each.most_contacts >= 0]


def holds(ctx: Context, event: MessagesProposed, tiers: Iterable[Tier]) -> Iterator[Hold]:
    """Yield those whose tier has had its share of marketing; nobody, for any other purpose."""
    if event.purpose not in MARKETING:
        return
    for each in tiers:
        rows = ctx.execute(_had(event, each), **_values(event, each))
        for customer, free_at in rows:
            reason = (
                f"tier {each.name} gets at most {each.most_contacts} messages of news and "
                f"promotions in {each.contact_days} days"
            )
            later = None if each.most_contacts == 0 else max(free_at or 0, event.at + 1)
            yield Hold(int(customer), reason=reason, not_before=later)


def _values(event: MessagesProposed, of: Tier) -> Mapping[str, Any]:
    return {
        "tiering_tier": of.name,
        "tiering_since": event.at - of.contact_days * _DAY,
        "tiering_until": event.at,
        "tiering_key": event.key or "",
        "tiering_plugin": event.plugin or "",
    }


def _had(event: MessagesProposed, of: Tier) -> Select[Any]:
    """Return the customers of a tier with no message left, and when one is."""
    asked = select(event.customers.c.customer_id)
    in_tier = tier.c.tier == bindparam("tiering_tier", type_=Words)
    if of.most_contacts == 0:
        when = bindparam("tiering_until", type_=Whole)
        return select(tier.c.customer_id, when).where(in_tier, tier.c.customer_id.in_(asked))
    in_tier &= _message.c.customer_id.in_(asked)
    numbered = _contacts().where(in_tier).subquery("numbered")
    # Of the latest that many, the first one to be over frees a place.
    return select(numbered.c.customer_id, numbered.c.counted_at + of.contact_days * _DAY).where(
        numbered.c.number == of.most_contacts
    )


def _contacts() -> Select[Any]:
    """
    Return what counts for the cap, numbered for each customer, the latest first.

    That is what they had within the days of the cap, and what is to go now and was planned before
    this message: it takes its place first.
    """
    row, mine, when = _message.c, _message.alias("mine"), bindparam("tiering_until", type_=Whole)
    own = (
        select(func.min(mine.c.message_id))
        .where(mine.c.customer_id == row.customer_id, _is_this(mine.c))
        .correlate(_message)
        .scalar_subquery()
    )
    received_at = func.coalesce(row.handed_at, row.planned_at)
    had = and_(row.state.in_(_RECEIVED), received_at > bindparam("tiering_since", type_=Whole))
    waits = and_(
        row.state.in_(_WAITING), row.not_before <= when, row.message_id < func.coalesce(own, _LAST)
    )
    counted_at = case((had, received_at), else_=when)
    number = func.row_number().over(
        partition_by=row.customer_id, order_by=(counted_at.desc(), row.message_id.desc())
    )
    return (
        select(row.customer_id, counted_at.label("counted_at"), number.label("number"))
        .join_from(_message, tier, tier.c.customer_id == row.customer_id)
        .where(row.purpose.in_(MARKETING), ~_is_this(row), or_(had, waits))
    )


def _is_this(row: Any) -> ColumnElement[bool]:
    """Return the condition that a message is the one that is asked about."""
    return and_(
        row.message_key == bindparam("tiering_key", type_=Words),
        row.plugin == bindparam("tiering_plugin", type_=Words),
    )
