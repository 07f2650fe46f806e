"""Standing: who is in a group, or was, and in which groups somebody is, or was."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Select, bindparam, or_, select

from crmcore import Context, Trait, to_datetime, to_instant
from crmcore_grouping.portable import texts_joined
from crmcore_grouping.tables import Whole, Words, history, member

_AT: Final = bindparam("at", type_=Whole)
_GROUP: Final = bindparam("wanted", type_=Words)
_CUSTOMER: Final = bindparam("customer", type_=Whole)
_lasts: Final = (
    history.c.from_instant <= _AT,
    or_(history.c.to_instant.is_(None), history.c.to_instant > _AT),
)
_present: Final[Select[Any]] = (
    select(member.c.customer_id).where(member.c.group_name == _GROUP).order_by(member.c.customer_id)
)
_past: Final[Select[Any]] = (
    select(history.c.customer_id)
    .where(history.c.group_name == _GROUP, *_lasts)
    .order_by(history.c.customer_id)
)
_theirs: Final[Select[Any]] = (
    select(member.c.group_name, member.c.since)
    .where(member.c.customer_id == _CUSTOMER)
    .order_by(member.c.group_name)
)
_theirs_past: Final[Select[Any]] = (
    select(history.c.group_name)
    .where(history.c.customer_id == _CUSTOMER, *_lasts)
    .order_by(history.c.group_name)
)
_joined: Final = (
    select(
        member.c.customer_id,
        texts_joined(member.c.group_name, member.c.customer_id).label("names"),
    )
    .distinct()
    .subquery("crm_grouping_names")
)

GROUPS: Final[Trait[str]] = Trait(
    "grouping.groups",
    type=str,
    default="",
    table=_joined,
    value=lambda now: _joined.c.names,
    description="the groups a customer is in, by name, with commas between them",
)


def members(ctx: Context, group: str, at: datetime | int | None) -> list[int]:
    """Return who is in a group, or was at *at*, ascending."""
    if at is None:
        return [row[0] for row in ctx.execute(_present, wanted=group)]
    return [row[0] for row in ctx.execute(_past, wanted=group, at=_instant(at))]


def groups_of(ctx: Context, customer: int, at: datetime | int | None) -> list[str]:
    """Return in which groups somebody is, or was at *at*, by name."""
    if at is None:
        return [row[0] for row in ctx.execute(_theirs, customer=customer)]
    return [row[0] for row in ctx.execute(_theirs_past, customer=customer, at=_instant(at))]


def describe(ctx: Context, customer_id: int) -> Mapping[str, Any] | None:
    """Return since which day somebody is in each of their groups; None: they are in none."""
    rows = ctx.execute(_theirs, customer=customer_id)
    return {name: f"since {ctx.calendar.day_of(since)}" for name, since in rows} or None


def _instant(at: datetime | int) -> int:
    return to_instant(to_datetime(at) if type(at) is int else at)  # type: ignore[arg-type]
