"""Contacts: on which channel and at which hour customers come to the shop by themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Select,
    Subquery,
    Table,
    UpdateBase,
    and_,
    case,
    func,
    literal,
    select,
    union_all,
)

from crmcore import Facts, Fold, Trait, payload_text
from crmcore.hooks.fold import Insert
from crmcore_profile.attributes import Attribute
from crmcore_profile.civil import ShopZone, shop_hour
from crmcore_profile.current import current_values
from crmcore_profile.domain import DAY
from crmcore_profile.tables import Whole, channel, hour

CALL: Final = "call.ended"
PHONE: Final = "phone"

# What customers do of their own accord. Machines open mails, so opening one tells nothing.
OF_THEIR_OWN: Final = frozenset(
    "account.registered call.ended cart.changed catalog.searched checkout.started "
    "message.clicked order.placed product.viewed profile.declared service.opened share.made "
    "wishlist.changed".split()
)

WEEK: Final = 7 * DAY
_FIRST: Final = -25_567 * DAY
"""1900-01-01, the earliest instant there is, so that weeks are counted up from 0."""

UNIT: Final = 2**30
"""The weight of a contact in a customer's latest week."""

STEPS: Final = 16
"""Into how many a half-life is divided."""

_LONGEST: Final = 30
"""Half-lives, after which a contact weighs nothing."""

UNKNOWN_HOUR: Final = -1


def _contacts(interactions: FromClause, **told: ColumnElement[Any]) -> Subquery:
    """Return the customer of each contact, with what else is *told* of it."""
    row = interactions.c
    direction = func.coalesce(payload_text(row.payload, "direction"), "")
    return (
        select(row.customer_id, *(each.label(name) for name, each in told.items()))
        .where(row.kind.in_(sorted(OF_THEIR_OWN)), ~and_(row.kind == CALL, direction == "outbound"))
        .subquery("contact")
    )


def channels_of(interactions: FromClause) -> Select[Any]:
    """Return the rows of the table of channels as these interactions alone make them."""
    row = interactions.c
    contact = _contacts(
        interactions,
        channel=func.coalesce(row.channel, case((row.kind == CALL, PHONE))),
        week=(row.occurred_at - _FIRST) // WEEK,
    ).c
    key = (contact.customer_id, contact.channel, contact.week)
    return select(*key, func.count()).where(contact.channel != "").group_by(*key)


def hours_of(interactions: FromClause, zone: ShopZone) -> Select[Any]:
    """Return the rows of the table of hours as these interactions alone make them."""
    shown = shop_hour(interactions.c.occurred_at, zone)
    contact = _contacts(interactions, shown=shown).c
    key = (contact.customer_id, contact.shown)
    return select(*key, func.count()).group_by(*key)


def _adding(table: Table, rows_of: Callable[[FromClause], Select[Any]]) -> Fold:
    key = [column.name for column in table.primary_key.columns]

    def build(facts: Facts, insert: Insert) -> UpdateBase:
        new = insert(table).from_select(list(table.c.keys()), rows_of(facts.interactions))
        statement: UpdateBase = new.on_conflict_do_update(
            index_elements=key,
            set_={"contacts": table.c.contacts + new.excluded.contacts},
        )
        return statement

    return Fold(build)


CHANNELS: Final = _adding(channel, channels_of)
"""Adds a batch's contacts to those of their channel and week."""


def hours_fold(zone: ShopZone) -> Fold:
    """Return the fold that adds a batch's contacts to those of their hour in the shop's zone."""
    return _adding(hour, lambda interactions: hours_of(interactions, zone))


# -- which is preferred ----------------------------------------------------------------------------


def weight_of(age_weeks: ColumnElement[int], half_life_days: int) -> ColumnElement[int]:
    """
    Return what a contact weighs that is so many weeks older than the customer's latest one.

    Half as much for each half-life, which is divided into sixteen steps: in whole numbers, so
    that all databases find the same. What is older than thirty half-lives weighs nothing.
    """
    steps = age_weeks * 7 * STEPS // half_life_days
    part = case(
        *((steps % STEPS == n, round(UNIT * 2 ** (-n / STEPS))) for n in range(1, STEPS)),
        else_=UNIT,
    )
    halved = case(*((steps // STEPS == n, 2**n) for n in range(_LONGEST)), else_=4 * UNIT)
    return part // halved


def learned_channels(half_life_days: int) -> Subquery:
    """Return the channel each customer comes by most, of late, with its share in percent."""
    # Windows throughout, no groups: a database then looks at the rows of a customer who is asked
    # about, and not at everybody's.
    row = channel.c
    latest = func.max(row.week).over(partition_by=row.customer_id)
    dated = select(channel, (latest - row.week).label("age_weeks")).subquery("dated")
    weight = dated.c.contacts * weight_of(dated.c.age_weeks, half_life_days)
    each = (dated.c.customer_id, dated.c.channel)
    weighed = select(
        *each,
        func.sum(weight).over(partition_by=each).label("weight"),
        func.max(dated.c.week).over(partition_by=each).label("week"),
    ).subquery("weighed")
    place = func.row_number().over(
        partition_by=weighed.c.customer_id,
        order_by=(weighed.c.weight.desc(), weighed.c.week.desc(), weighed.c.channel),
    )
    numbered = select(weighed, place.label("place")).subquery("numbered")
    return (
        select(numbered.c.customer_id, numbered.c.channel)
        .where(numbered.c.place == 1)
        .subquery("learned_channel")
    )


def channel_trait(preferred: Attribute | None, half_life_days: int) -> Trait[str]:
    """Return the trait of the channel a customer likes: as they said, or else as they do."""
    learned = learned_channels(half_life_days)
    found = select(learned.c.customer_id, learned.c.channel, literal(2, Whole).label("preference"))
    table = learned
    if preferred is not None:
        said = current_values([preferred])
        declared = select(said.c.customer_id, said.c.value, literal(1, Whole)).where(
            said.c.origin == "declared"
        )
        both = union_all(found, declared).subquery("told")
        place = func.row_number().over(partition_by=both.c.customer_id, order_by=both.c.preference)
        numbered = select(both, place.label("place")).subquery("placed")
        table = (
            select(numbered.c.customer_id, numbered.c.channel)
            .where(numbered.c.place == 1)
            .subquery("liked_channel")
        )
    return Trait(
        "profile.channel",
        type=str,
        default="",
        table=table,
        value=lambda now: table.c.channel,
        description="the channel they asked for, or else come by most, of late",
    )


def hour_trait() -> Trait[int]:
    """Return the trait of the hour at which a customer comes most often; the earliest of equals."""
    row = hour.c
    place = func.row_number().over(
        partition_by=row.customer_id, order_by=(row.contacts.desc(), row.hour_of_day)
    )
    numbered = select(row.customer_id, row.hour_of_day, place.label("place")).subquery("numbered")
    table = (
        select(numbered.c.customer_id, numbered.c.hour_of_day)
        .where(numbered.c.place == 1)
        .subquery("liked_hour")
    )
    return Trait(
        "profile.hour",
        type=int,
        default=UNKNOWN_HOUR,
        table=table,
        value=lambda now: table.c.hour_of_day,
        description="the hour of day, 0 to 23 in the shop's zone, of most contacts; -1: unknown",
    )
