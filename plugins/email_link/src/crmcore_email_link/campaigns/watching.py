"""Watching: a campaign of which too many mails cannot be written is locked until somebody looks."""

from __future__ import annotations

from collections import Counter
from typing import Final

from attrs import evolve

from crmcore import Context, DeliveriesChanged
from crmcore_email_link.campaigns.deciding import find_broadcast
from crmcore_email_link.campaigns.keeping import find_kept, keep, take_turn, tried_of
from crmcore_email_link.delivering import UNWRITTEN

FEWEST: Final = 10
"""As many have to have failed, as one or two say nothing of the rest."""

_GROWTH: Final = 1.25  # counting a large broadcast takes time, so it is not counted for each batch


def watch(ctx: Context, event: DeliveriesChanged, percent: int) -> None:
    """
    Lock the campaigns of which more than *percent* of the mails tried could not be written.

    Each that cannot be is on record by itself, with the reason; this is for all of them.
    """
    found: Counter[str] = Counter()
    for change in event.changes:
        message = change.message
        if message.state == "failed" and (message.reason or "").startswith(UNWRITTEN):
            found[message.key] += message.plugin == "email_link"
    for key, count in sorted(found.items()):
        if count:
            _add(ctx, key, count, percent)


def _add(ctx: Context, key: str, count: int, percent: int) -> None:
    take_turn(ctx, key)
    kept = find_kept(ctx, key)
    if kept is None:
        return
    kept = evolve(kept, unwritten=kept.unwritten + count)
    if kept.unwritten >= max(FEWEST, kept.looked * _GROWTH):
        kept = evolve(kept, looked=kept.unwritten)
        broadcast = find_broadcast(ctx, key)
        if broadcast is not None and broadcast.paused_at is None and broadcast.stopped_at is None:
            tried = tried_of(broadcast) - kept.tried
            if kept.unwritten * 100 > percent * tried:
                ctx.pause_broadcast(key)
                why = (
                    f"{kept.unwritten:,} mails could not be written, of {tried:,} that were tried; "
                    f"more than {percent} % are too many"
                )
                kept = kept.with_entry(ctx.clock.now(), "locked", None, why)
    keep(ctx, kept)
