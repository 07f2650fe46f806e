"""Counting: where the messages of a campaign stand just after it was planned."""

from __future__ import annotations

from typing import Final

from sqlalchemy import bindparam, case, func, literal, select

from crmcore_email_link.campaigns.arms import HELD_OUT
from crmcore_email_link.campaigns.campaign import Campaign
from crmcore_email_link.reading import Execute, customer, message
from crmcore_email_link.tables import Words

_m: Final = message.c
_WITHHELD: Final = "withheld by "
_LATER: Final = "later, by "


def gates_of(execute: Execute, campaign: Campaign) -> dict[str, int]:
    """
    Return how many messages go in which variant, are held out, wait, or do not go, the most first.

    Args:
        execute: Runs the statement.
        campaign: One that was planned.
    """
    split = campaign.split
    bucket = func.coalesce(customer.c.bucket, 0)
    what = case(
        (_m.state == "withheld", literal(_WITHHELD, Words).concat(_m.gate)),
        (_m.gate.is_not(None), literal(_LATER, Words).concat(_m.gate)),
        (split.is_held_out(bucket), literal(HELD_OUT, Words)),
        else_=split.variant(bucket),
    )
    rows = execute(
        select(what, func.count())
        .select_from(message)
        .join(customer, customer.c.customer_id == _m.customer_id)
        .where(
            _m.plugin == literal("email_link", Words),
            _m.message_key == bindparam("key_of", type_=Words),
        )
        .group_by(what),
        key_of=campaign.key,
    )
    return dict(sorted(rows, key=lambda row: (-row[1], row[0])))
