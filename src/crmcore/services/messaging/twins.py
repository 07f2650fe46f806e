"""Twins: two customers at one address, which gets a message of one key once."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Select,
    Update,
    bindparam,
    case,
    exists,
    func,
    null,
    or_,
    select,
    update,
)

from crmcore.persistence.customers import identifier
from crmcore.persistence.messages import message
from crmcore.persistence.schema import Whole

TWIN: Final = "twin"
"""The gate that holds back what two customers at one address would get there twice."""

_m = message.c


def share_addresses(mine: ColumnElement[bool]) -> Select[Any]:
    """
    Return the select of those messages whose address another customer has as well.

    They are few, so they are looked for first: what follows is about them alone.
    """
    named = identifier.alias("twin_name")
    others = (
        select(named.c.customer_id)
        .where(named.c.point == _m.point, named.c.customer_id != _m.customer_id)
        .correlate(message)
    )
    return select(_m.message_id).where(
        mine, _m.state == "claimed", _m.handed_at.is_(None), exists(others)
    )


def hold_twins(mine: ColumnElement[bool]) -> Update:
    """
    Return the statement that holds back what another customer at the same address has by now.

    It is for a few messages, as `share_addresses` finds them: databases without statistics may go
    through all messages of a key for each.

    Asked after both were claimed, and committed: so of two, claimed at once, one sees the other.
    One that is only claimed may not go after all; then this one does, later.
    """
    other, named = message.alias("twin"), identifier.alias("twin_name")

    def has(*state: ColumnElement[bool]) -> ColumnElement[bool]:
        return exists(
            select(other.c.message_id)
            .select_from(named.join(other, other.c.customer_id == named.c.customer_id))
            .where(
                named.c.point == _m.point,
                other.c.customer_id != _m.customer_id,
                other.c.plugin == _m.plugin,
                # Not by the index of keys, as one broadcast may have a million messages; at one
                # address there are few customers.
                func.coalesce(other.c.message_key, "") == _m.message_key,
                other.c.point == _m.point,
                *state,
            )
            .correlate(message)
        )

    had = has(other.c.handed_at.is_not(None))
    first = has(other.c.state == "claimed", other.c.message_id < _m.message_id)
    return (
        update(message)
        .where(mine, _m.state == "claimed", _m.handed_at.is_(None), or_(had, first))
        .values(
            state=case((had, "withheld"), else_="planned"),
            gate=TWIN,
            reason="another customer with the same address has it",
            not_before=case((had, _m.not_before), else_=bindparam("again", type_=Whole)),
            settled_at=case((had, bindparam("now", type_=Whole)), else_=null()),
            lease=None,
            leased_until=None,
        )
    )
