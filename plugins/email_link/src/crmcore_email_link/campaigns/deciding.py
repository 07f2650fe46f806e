"""Deciding: campaigns scheduled, started, paused, changed and called off; each once, and noted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from attrs import evolve

from crmcore import Broadcast, Context, TimersDue, to_datetime
from crmcore.errors import ConfigurationError, InputError, NotFoundError
from crmcore_email_link.campaigns.campaign import Campaign
from crmcore_email_link.campaigns.keeping import (
    Kept,
    find_kept,
    keep,
    kept_of,
    take_decision,
    take_turn,
    tried_of,
)
from crmcore_email_link.composing import Composer

CHANNEL: Final = "email"
TIMER: Final = "campaign/"

CANNOT_START: Final = "it cannot start: "
"""How it is noted why a campaign whose time it is has not started."""

_AGAIN: Final = 900_000_000  # microseconds until it is seen whether the shop has mended it
_LAID_DOWN: Final = (
    "segment",
    "purpose",
    "holdout",
    "experiment",
    "late_hours",
    "priority",
    "effect_days",
)
"""
What of a campaign that has started nobody can change: to whom it goes, who gets which, and by what
it is judged.
"""


def start(ctx: Context, composer: Composer, campaign: Campaign) -> Kept:
    """
    Start a campaign, or note that it is to start; the second time, return it as it stands.

    Raises:
        ConfigurationError: If mails to many lack what the law wants in them.
        InputError: If it is another than the one of its key that there is, or cannot go.
    """
    take_decision(ctx, campaign.key)
    take_turn(ctx, campaign.key)
    known = find_kept(ctx, campaign.key)
    if known is not None:
        _refuse_another(known, campaign)
        return known
    _check(ctx, composer, campaign)
    now = ctx.clock.now()
    due = campaign.starts_at
    if due is not None and now > campaign.ends_after(due):
        raise InputError(
            f"campaign {campaign.key!r} was to start at {_shown(due)}, and goes for "
            f"{campaign.late_hours} hours after that, which are over; a later instant is expected"
        )
    kept = Kept(campaign=campaign, entries=(), due=now if due is None else due)
    if due is None or due <= now:
        return _begin(ctx, kept, now)
    _refuse_taken(ctx, campaign.key)
    return _schedule(ctx, kept, now)


def start_due(ctx: Context, event: TimersDue, composer: Callable[[], Composer]) -> None:
    """
    Start the campaigns whose time it is, and note those nobody started in time.

    What one lacks by then, such as its segment, is noted with it, and it is tried again until its
    hours are over.
    """
    now = ctx.clock.now()
    for timer in (*event.timers, *event.skipped):
        if not timer.key.startswith(TIMER):
            continue
        key = timer.key.removeprefix(TIMER)
        take_decision(ctx, key)
        take_turn(ctx, key)
        kept = find_kept(ctx, key)
        if kept is None or kept.last.what != "scheduled" or event.due < kept.due:
            continue
        end = kept.campaign.ends_after(kept.due)
        if now > end:
            why = f"nobody was there to start it before {_shown(end)}"
            keep(ctx, kept.with_entry(now, "missed", None, why))
            continue
        try:
            _check(ctx, composer(), kept.campaign)
        except (ConfigurationError, InputError) as error:
            _put_off(ctx, kept, now, end, f"{CANNOT_START}{error}")
        else:
            _begin(ctx, kept, now)


def pause(ctx: Context, key: str, *, why: str | None = None) -> Kept:
    """Let nothing more of a campaign be handed over until it is resumed; told again it is."""
    _decide(ctx, key)
    take_turn(ctx, key)
    kept = _started(ctx, key, "paused")
    if ctx.find_broadcast(key).paused_at is not None and why is None:
        return kept
    ctx.pause_broadcast(key)
    return _noted(ctx, kept, "paused", why)


def resume(ctx: Context, key: str) -> Kept:
    """Let a campaign go on with whom it has not reached; what could not be written is forgotten."""
    _decide(ctx, key)
    _started(ctx, key, "resumed")
    broadcast = ctx.find_broadcast(key)
    if broadcast.paused_at is None and broadcast.stopped_at is None:
        raise InputError(f"campaign {key!r} is on its way; one that is paused is expected")
    ctx.resume_broadcast(key)
    take_turn(ctx, key)
    kept = evolve(kept_of(ctx, key), unwritten=0, looked=0, tried=tried_of(broadcast))
    return _noted(ctx, kept, "resumed")


def cancel(ctx: Context, key: str, *, why: str | None = None) -> Kept:
    """Call a campaign off: whom it has not reached does not get it any more."""
    _decide(ctx, key)
    kept = kept_of(ctx, key)
    if kept.has_started:
        ctx.stop_broadcast(key)  # it locks customers, who come before our turn
    take_turn(ctx, key)
    kept = kept_of(ctx, key)
    if kept.last.what == "cancelled":
        return kept
    ctx.cancel_timer(f"{TIMER}{key}")
    return _noted(ctx, kept, "cancelled", why)


def edit(ctx: Context, composer: Composer, campaign: Campaign) -> Kept:
    """
    Change a campaign: all of one that is still to start, and what a paused one says.

    Raises:
        InputError: If it is on its way or over, or something else of it changed.
    """
    key = campaign.key
    _decide(ctx, key)
    take_turn(ctx, key)
    kept = kept_of(ctx, key)
    _check(ctx, composer, campaign)
    now = ctx.clock.now()
    if kept.last.what == "scheduled":
        due = campaign.starts_at
        if due is None or due <= now:
            raise InputError(
                f"campaign {key!r} is to start at {_shown(kept.due)}; a later instant than now is "
                "expected, or cancel it and start another"
            )
        ctx.cancel_timer(f"{TIMER}{key}")
        return _schedule(ctx, evolve(kept, campaign=campaign, due=due), now, "edited")
    _started(ctx, key, "edited")
    for name in _LAID_DOWN:
        before, after = getattr(kept.campaign, name), getattr(campaign, name)
        if before != after:
            raise InputError(
                f"{name} of campaign {key!r} is {after!r}, and it has started with {before!r}; "
                "templates, variables and personal can be changed while it is paused"
            )
    if campaign.at is not None and campaign.starts_at != kept.due:
        raise InputError(
            f"campaign {key!r} started at {_shown(kept.due)}, so it cannot start at "
            f"{_shown(campaign.starts_at or 0)}; templates, variables and personal can be changed "
            "while it is paused"
        )
    weights = kept.campaign.split.weights
    if campaign.split.weights != weights:
        raise InputError(
            f"the variants of campaign {key!r} are {dict(campaign.split.weights)}, and it has "
            f"started with {dict(weights)}; each keeps its name and weight"
        )
    ctx.edit_broadcast(key, campaign.content())
    return _noted(ctx, evolve(kept, campaign=evolve(campaign, at=kept.campaign.at)), "edited")


def _decide(ctx: Context, key: str) -> None:
    """Wait for others who decide something of a campaign; one that is not there keeps no note."""
    kept_of(ctx, key)
    take_decision(ctx, key)


def find_broadcast(ctx: Context, key: str) -> Broadcast | None:
    """Return what a campaign started, or None if there is none."""
    try:
        return ctx.find_broadcast(key)
    except NotFoundError:
        return None


def _schedule(ctx: Context, kept: Kept, now: int, what: str = "scheduled") -> Kept:
    hours = kept.campaign.ends_after(kept.due) - kept.due
    ctx.set_timer(f"{TIMER}{kept.campaign.key}", kept.due, catch_up="skip", grace=hours)
    kept = _noted(ctx, kept, what) if what != "scheduled" else kept
    return _noted(ctx, kept, "scheduled", f"to start at {_shown(kept.due)}")


def _put_off(ctx: Context, kept: Kept, now: int, end: int, why: str) -> None:
    """Note why a campaign cannot start, once, and try again while there is time."""
    again = now + _AGAIN
    if again > end:
        keep(ctx, kept.with_entry(now, "missed", None, why))
        return
    key = kept.campaign.key
    ctx.set_timer(f"{TIMER}{key}", again, catch_up="skip", grace=end - again)
    if kept.last.why != why:
        keep(ctx, kept.with_entry(now, "scheduled", None, why))


def _begin(ctx: Context, kept: Kept, now: int) -> Kept:
    """Freeze whom it is for, and plan a message for each."""
    campaign = kept.campaign
    kept = _noted(ctx, kept, "started")  # before, as the guard asks for it
    ctx.broadcast(
        campaign.key,
        ctx.segments.audience(campaign.segment, now),
        purpose=campaign.purpose,  # type: ignore[arg-type]  # one of BULK
        channel=CHANNEL,
        content=campaign.content(),
        priority=campaign.priority,
        not_after=campaign.ends_after(kept.due),
    )
    return kept


def _noted(ctx: Context, kept: Kept, what: str, why: str | None = None) -> Kept:
    kept = kept.with_entry(ctx.clock.now(), what, ctx.actor, why)
    keep(ctx, kept)
    return kept


def _started(ctx: Context, key: str, what: str) -> Kept:
    kept = kept_of(ctx, key)
    if not kept.has_started and kept.last.what in ("cancelled", "missed"):
        raise InputError(
            f"campaign {key!r} was {kept.last.what} at {_shown(kept.last.at)}, so it cannot be "
            f"{what}; one that goes is expected, or start another"
        )
    if not kept.has_started:
        raise InputError(
            f"campaign {key!r} has not started, so it cannot be {what}; one that has is expected"
        )
    return kept


def _check(ctx: Context, composer: Composer, campaign: Campaign) -> None:
    """Refuse what could not go to anybody, before anybody is planned for."""
    if composer.lacks is not None:
        raise ConfigurationError(composer.lacks)
    now = ctx.clock.now()
    for each in campaign.arms:
        composer.catalogue.choose(each.template, None)
    ctx.segments.audience(campaign.segment, now)
    if campaign.personal:
        ctx.segments.measures(tuple(campaign.personal.values()), (), now)
    campaign.starts_at  # noqa: B018  # raises for what is no instant


def _refuse_another(known: Kept, campaign: Campaign) -> None:
    if known.campaign.to_json() != campaign.to_json():
        before, after = known.campaign.to_table(), campaign.to_table()
        names = ", ".join(name for name in after if after[name] != before[name])
        raise InputError(
            f"there is a campaign {campaign.key!r} with another {names}; another key is expected, "
            "or change the one there is while it waits or is paused"
        )


def _refuse_taken(ctx: Context, key: str) -> None:
    if find_broadcast(ctx, key) is not None:
        raise InputError(f"{key!r} is the key of a broadcast of email_link; another is expected")


def _shown(instant: int) -> str:
    return f"{to_datetime(instant):%Y-%m-%d %H:%M} UTC"
