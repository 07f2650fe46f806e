"""Folding: what the ledger tells of tracking, taken into the plugin's tables."""

from __future__ import annotations

from typing import Final

from crmcore import Context, CustomersRecompute, InteractionsRecorded
from crmcore_email_link.tracking.consents import CONSENT_KINDS, SAID
from crmcore_email_link.tracking.hits import HIT_KINDS, HITS
from crmcore_email_link.tracking.tables import TRACKING_TABLES

TRACKING_KINDS: Final = (*CONSENT_KINDS, *HIT_KINDS)

_SAYING: Final = frozenset(kind.name for kind in CONSENT_KINDS)
_HITTING: Final = frozenset(kind.name for kind in HIT_KINDS)


def fold_tracking(ctx: Context, event: InteractionsRecorded) -> None:
    """Take a batch into the tables; one that tells nothing of tracking pays a look at its kinds."""
    if not event.kinds.isdisjoint(_SAYING):
        ctx.fold(SAID, event)
    if not event.kinds.isdisjoint(_HITTING):
        ctx.fold(HITS, event)


def refold_tracking(ctx: Context, event: CustomersRecompute) -> None:
    """Make the rows of some customers anew."""
    for each in TRACKING_TABLES:
        ctx.clear(each.table, event)
    for fold in (SAID, HITS):
        ctx.fold(fold, event)
