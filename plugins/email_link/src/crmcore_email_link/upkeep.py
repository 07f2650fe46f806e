"""Upkeep: who is known only by a sign-up that nobody confirmed is forgotten."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Select, bindparam, case, func, select

from crmcore import Crm
from crmcore_email_link.reading import customer, interaction
from crmcore_email_link.tables import Whole

_OF_SIGN_UPS: Final = (
    "consent.requested",
    "consent.expired",
    "consent.withdrawn",
    "message.sent",
    "message.failed",
    "message.unknown",
    "message.delivered",
    "message.bounced",
    "message.complained",
    "email_link.blocked",
    "email_link.reported",
)
_i: Final = interaction.c
_expired: Final = select(_i.customer_id).where(
    _i.kind == "consent.expired", _i.source == "plugin:email_link"
)
_unconfirmed: Final = (
    select(_i.customer_id)
    .select_from(interaction.join(customer, customer.c.customer_id == _i.customer_id))
    .where(
        _i.customer_id.in_(_expired),
        customer.c.erased_at.is_(None),
        customer.c.merged_into.is_(None),
    )
    .group_by(_i.customer_id)
    .having(func.sum(case((_i.kind.in_(_OF_SIGN_UPS), 0), else_=1)) == 0)
    .order_by(_i.customer_id)
)
_one: Final = _unconfirmed.where(_i.customer_id == bindparam("owner", type_=Whole))


def forget_unconfirmed(crm: Crm) -> int:
    """
    Erase those of whom nothing is on record but a sign-up that expired; returns how many.

    Their address was given by whoever asked, and they never answered, so the shop has no reason to
    keep it; nor that of who said no at once, beyond the hash by which nothing goes there. An
    erasure reads everything again to verify itself, which no timer can wait for: call it once a
    day, as `crm email forget` does.
    """
    forgotten = 0
    for (each,) in _read(crm, _unconfirmed):
        # Again, as they may have ordered something while others were erased.
        if _read(crm, _one, owner=each):
            crm.erase(each, reason="a sign-up that nobody confirmed", actor="plugin:email_link")
            forgotten += 1
    return forgotten


def _read(crm: Crm, statement: Select[Any], **values: int) -> Sequence[tuple[Any, ...]]:
    with crm.runtime.database.begin(read_only=True) as connection:
        return connection.execute(statement, **values)
