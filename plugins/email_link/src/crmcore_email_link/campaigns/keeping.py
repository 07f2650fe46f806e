"""Keeping: what the shop decided of each campaign, when and why, beside the messages themselves."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal

from attrs import evolve, frozen
from sqlalchemy import bindparam, select

from crmcore import Broadcast, Context
from crmcore.errors import NotFoundError, nearest
from crmcore_email_link.campaigns.campaign import Campaign
from crmcore_email_link.reading import Execute, setting
from crmcore_email_link.tables import Words

Standing = Literal["scheduled", "missed", "sending", "paused", "locked", "cancelled", "sent"]

TRIED: Final = ("accepted", "failed", "unknown", "handed")
"""The states of mails that somebody tried to write and to hand over."""

NOTE: Final = "campaign/"
_TURN: Final = "turn/"
_DECISION: Final = "decision/"
_PREFIX: Final = "note:email_link:"

_s = setting.c
_noted: Final = (
    select(_s.setting, _s.setting_value)
    .where(_s.setting >= bindparam("low", type_=Words), _s.setting < bindparam("high", type_=Words))
    .order_by(_s.setting)
)


@frozen(kw_only=True)
class Entry:
    """
    Something that was decided of a campaign.

    Attributes:
        at: When, in microseconds.
        what: `scheduled`, `started`, `missed`, `paused`, `locked`, `resumed`, `edited` or
            `cancelled`.
        actor: Who, where the shop said so.
        why: Why, where there is something to say.
    """

    at: int
    what: str
    actor: str | None = None
    why: str | None = None


@frozen(kw_only=True)
class Kept:
    """
    A campaign with what was decided of it.

    Attributes:
        campaign: As it is to be sent by now.
        entries: What was decided, in order.
        due: When it is to start, in microseconds.
        unwritten: How many mails could not be written since it was last let go.
        looked: At how many of those the share was last looked at.
        tried: How many mails had been tried when it was last let go.
    """

    campaign: Campaign
    entries: tuple[Entry, ...]
    due: int
    unwritten: int = 0
    looked: int = 0
    tried: int = 0

    @property
    def last(self) -> Entry:
        """What was decided last."""
        return self.entries[-1]

    @property
    def has_started(self) -> bool:
        """Whether its audience was frozen."""
        return any(each.what == "started" for each in self.entries)

    def standing(self, now: int, broadcast: Broadcast | None) -> Standing:
        """Return where it stands, *broadcast* being what it started."""
        if self.last.what in ("cancelled", "missed"):
            return self.last.what  # type: ignore[return-value]
        if broadcast is None:
            # Nobody looked in time; whoever looks later notes it.
            return "missed" if now > self.campaign.ends_after(self.due) else "scheduled"
        if broadcast.stopped_at is not None:
            return "cancelled"
        if broadcast.paused_at is not None:
            return "locked" if self.last.what == "locked" else "paused"
        return "sending" if broadcast.pending else "sent"

    def with_entry(self, at: int, what: str, actor: str | None, why: str | None = None) -> Kept:
        """Return it with something more that was decided."""
        return evolve(self, entries=(*self.entries, Entry(at=at, what=what, actor=actor, why=why)))

    def to_json(self) -> str:
        """Return it as it is noted."""
        return json.dumps(
            {
                "campaign": self.campaign.to_table(),
                "entries": [[each.at, each.what, each.actor, each.why] for each in self.entries],
                "due": self.due,
                "unwritten": self.unwritten,
                "looked": self.looked,
                "tried": self.tried,
            },
            ensure_ascii=False,
        )

    @classmethod
    def from_json(cls, text: str) -> Kept:
        """Return what `to_json` wrote."""
        found: Mapping[str, Any] = json.loads(text)
        names = ("at", "what", "actor", "why")
        return cls(
            campaign=Campaign.of_table(found["campaign"]),
            entries=tuple(
                Entry(**dict(zip(names, each, strict=True))) for each in found["entries"]
            ),
            due=found["due"],
            unwritten=found["unwritten"],
            looked=found["looked"],
            tried=found["tried"],
        )


def find_kept(ctx: Context, key: str) -> Kept | None:
    """Return a campaign, or None if there is none of that key."""
    text = ctx.find_note(f"{NOTE}{key}")
    return None if text is None else Kept.from_json(text)


def kept_of(ctx: Context, key: str) -> Kept:
    """Return a campaign; raises `NotFoundError` if there is none."""
    found = find_kept(ctx, key)
    if found is None:
        known = [name for name, _ in notes_below(ctx.execute, NOTE)]
        raise NotFoundError(f"no campaign has the key {key!r}{nearest(key, known)}")
    return found


def keep(ctx: Context, kept: Kept) -> None:
    """Note a campaign as it stands."""
    ctx.set_note(f"{NOTE}{kept.campaign.key}", kept.to_json())


def take_turn(ctx: Context, name: str) -> None:
    """Wait for whoever else is about to decide something of it, so that both see each other's."""
    ctx.set_note(f"{_TURN}{name}", str(ctx.clock.now()))


def take_decision(ctx: Context, key: str) -> None:
    """
    Wait for whoever else decides something of a campaign.

    It comes before all that is locked for it: its turn, which deliveries take as well, comes
    before the broadcast's row for some decisions and after it for others.
    """
    ctx.set_note(f"{_DECISION}{key}", str(ctx.clock.now()))


def all_kept(execute: Execute) -> list[Kept]:
    """Return every campaign, the latest first."""
    found = [Kept.from_json(text) for _, text in notes_below(execute, NOTE)]
    return sorted(found, key=lambda each: (-each.due, each.campaign.key))


def tried_of(broadcast: Broadcast) -> int:
    """Return how many mails of a broadcast were tried."""
    return sum(count for state, count in broadcast.states.items() if state in TRIED)


def notes_below(execute: Execute, start: str) -> Iterator[tuple[str, str]]:
    low = f"{_PREFIX}{start}"
    high = f"{low[:-1]}{chr(ord(low[-1]) + 1)}"
    for name, text in execute(_noted, low=low, high=high):
        yield name.removeprefix(low), text
