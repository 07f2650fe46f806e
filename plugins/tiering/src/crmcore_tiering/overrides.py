"""Overrides: tiers that staff gave by hand, with a reason, an owner and an end."""

from __future__ import annotations

from datetime import date
from typing import Any, Final, NamedTuple

from attrs import Attribute, field, frozen
from sqlalchemy import (
    ColumnElement,
    FromClause,
    Select,
    bindparam,
    case,
    func,
    select,
)

from crmcore import Erased, payload_text, personal
from crmcore.errors import InputError
from crmcore_tiering.latest import By, Latest
from crmcore_tiering.tables import Whole, Words, override

TIER_OVERRIDDEN: Final = "tier.overridden"
OVERRIDE_ENDED: Final = "tier.override_ended"
OVERRIDE_KINDS: Final = (TIER_OVERRIDDEN, OVERRIDE_ENDED)


def _said(_: object, attribute: Attribute[Any], value: object) -> None:
    if isinstance(value, str) and not value.strip():
        raise InputError(f"{attribute.name} is empty; an override has to say it")


def _a_day(_: object, attribute: Attribute[Any], value: object) -> None:
    try:
        right = isinstance(value, str) and date.fromisoformat(value).isoformat() == value
    except ValueError:
        right = False
    if not right:
        raise InputError(
            f"{attribute.name} is {value!r}; a day such as '2026-12-31' is expected, the last one "
            "that the override is for"
        )


@frozen(kw_only=True)
class TierOverridden:
    """
    Staff gave a customer a tier, which reviews leave alone until the end of a day.

    Attributes:
        tier: The name of one of the shop's tiers.
        reason: Why; it is what the customer would be told.
        owner: Who answers for it, such as `staff:grace`.
        until: The last day it is for, in the shop's zone, such as `2026-12-31`.
    """

    tier: str = field(validator=_said)
    reason: str | Erased = personal(validator=_said)
    owner: str = field(validator=_said)
    until: str = field(validator=_a_day)

    def __str__(self) -> str:
        """Say what was decided and why, as `crm why` shows it."""
        return f"{self.tier} until {self.until}, by {self.owner}: {self.reason}"


@frozen(kw_only=True)
class OverrideEnded:
    """
    Staff ended an override before its time; the next review grades as it would have.

    Attributes:
        reason: Why.
        owner: Who answers for it.
    """

    reason: str | Erased = personal(validator=_said)
    owner: str = field(validator=_said)

    def __str__(self) -> str:
        """Say who ended it and why, as `crm why` shows it."""
        return f"ended by {self.owner}: {self.reason}"


def _told(interactions: FromClause) -> Select[Any]:
    """Return overrides and their ends, one row per interaction."""
    row = interactions.c
    given = row.kind == TIER_OVERRIDDEN

    def of(name: str) -> ColumnElement[str]:
        return case((given, payload_text(row.payload, name)))

    return select(
        row.customer_id,
        row.occurred_at.label("since"),
        of("tier").label("tier"),
        of("until").label("until_day"),
        of("owner").label("owner"),
        row.source_key.label("override_key"),
        row.interaction_id.label("caused_by"),
    ).where(row.kind.in_(OVERRIDE_KINDS))


# Of one instant, the one that lasts longest: an override before its end.
_LATEST: Final = Latest(
    override,
    _told,
    (
        By("since", descending=True),
        By("until_day", descending=True, blank=""),
        By("tier", blank=""),
        By("owner", blank=""),
        By("override_key", blank=""),
    ),
)
OVERRIDES: Final = _LATEST.fold()


def present_overrides(interactions: FromClause) -> Select[Any]:
    """Return the rows of the table of overrides as these interactions alone make them."""
    return _LATEST.of(interactions)


class Overridden(NamedTuple):
    """A customer whose tier staff gave, as it holds at a review."""

    customer_id: int
    tier: str
    caused_by: int
    held: str | None
    since: int | None
    orders: int
    net_minor: int

    def is_misplaced(self, at: int) -> bool:
        """Return whether they have another tier, as the override came to be known late."""
        return self.tier != self.held and (self.since is None or self.since < at)


def in_force(overrides: FromClause, tiers: FromClause, totals: FromClause) -> Select[Any]:
    """
    Return the overrides that hold at the instant `at`, on the day `day`, as rows of `Overridden`.

    With the tier that the customer has: another one, where the override came to be known late.
    """
    row = overrides.c
    return (
        select(
            row.customer_id,
            row.tier,
            row.caused_by,
            tiers.c.tier,
            tiers.c.since,
            func.coalesce(totals.c.orders, 0),
            func.coalesce(totals.c.net_minor, 0),
        )
        .select_from(
            overrides.outerjoin(tiers, tiers.c.customer_id == row.customer_id).outerjoin(
                totals, totals.c.customer_id == row.customer_id
            )
        )
        .where(
            row.since <= bindparam("at", type_=Whole),
            row.until_day >= bindparam("day", type_=Words),
        )
        .order_by(row.customer_id)
    )
