"""Holding out: who gets nothing of a campaign, so that one can see what it brings about."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sqlalchemy import func, select

from crmcore import Context, Hold, MessagesProposed
from crmcore_email_link.campaigns.keeping import find_kept
from crmcore_email_link.reading import customer

REASON: Final = "held out of experiment "
"""What the record says of them, before the experiment's name."""


def held_out(ctx: Context, event: MessagesProposed) -> Iterator[Hold]:
    """
    Name those who are held out, as their message is about to go and not before.

    So every gate has asked of them what it asks of the others, and the two can be compared.
    """
    if not event.is_claim or event.plugin != "email_link" or event.key is None:
        return
    kept = find_kept(ctx, event.key)
    if kept is None or not kept.campaign.holdout:
        return
    split = kept.campaign.split
    bucket = func.coalesce(customer.c.bucket, 0)
    proposed = event.customers.c.customer_id
    rows = ctx.execute(
        select(proposed)
        .join(customer, customer.c.customer_id == proposed)
        .where(split.is_held_out(bucket))
    )
    reason = f"{REASON}{split.experiment!r}"
    for (held,) in rows:
        yield Hold(held, reason=reason)
