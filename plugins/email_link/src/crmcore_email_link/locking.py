"""Locking: a message's customer, or who has an address, so that meanwhile nobody changes them."""

from __future__ import annotations

from typing import Final

from sqlalchemy import bindparam, select

from crmcore import Context
from crmcore_email_link.reading import Owner, Sent, customer, find_owner, find_sent
from crmcore_email_link.tables import Whole

_NONE: Final = "none"  # no timer is called so; that of a customer is cancelled under their lock
_erased: Final = select(customer.c.erased_at).where(
    customer.c.customer_id == bindparam("owner", type_=Whole)
)


def locked_message(ctx: Context, number: int) -> Sent | None:
    """
    Return a message, its customer locked, whoever that is by now; None: they are forgotten.

    What is read of it from here on stays true until the transaction ends.
    """
    sent = find_sent(ctx.execute, number)
    while sent is not None:
        ctx.cancel_timer(_NONE, sent.customer_id)
        again = find_sent(ctx.execute, number)
        if again is not None and again.customer_id == sent.customer_id:
            is_erased = ctx.execute(_erased, owner=again.customer_id) != [(None,)]
            return None if is_erased else again
        sent = again
    return None


def locked_owner(ctx: Context, address: str) -> Owner | None:
    """Return who has an address, locked, so that two who ask at once are one after the other."""
    owner = find_owner(ctx.execute, address)
    while owner is not None:
        ctx.cancel_timer(_NONE, owner.customer_id)
        again = find_owner(ctx.execute, address)
        if again == owner:
            return owner
        owner = again
    return None
