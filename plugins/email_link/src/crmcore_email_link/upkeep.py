"""Upkeep: who is known only by a sign-up that nobody confirmed is forgotten."""

from __future__ import annotations

from typing import Final

from sqlalchemy import case, func, select

from crmcore import Crm
from crmcore_email_link.reading import customer, interaction

_OF_SIGN_UPS: Final = (
    "consent.requested",
    "consent.expired",
    "message.sent",
    "message.failed",
    "message.unknown",
    "message.delivered",
    "message.bounced",
    "email_link.blocked",
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


def forget_unconfirmed(crm: Crm) -> int:
    """
    Erase those of whom nothing is on record but a sign-up that expired; returns how many.

    Their address was given by whoever asked, and they never answered, so the shop has no reason to
    keep it. A timer cannot erase anybody: call it once a day, from whatever calls the worker.
    """
    with crm.begin() as tx:
        found = [row[0] for row in tx.connection.execute(_unconfirmed)]
    for each in found:
        crm.erase(each, reason="a sign-up that nobody confirmed", actor="plugin:email_link")
    return len(found)
