"""Consent: what a customer agreed to, told from everything they ever said about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Literal, get_args

from attrs import frozen

from crmcore.domain.kind import Kind, personal
from crmcore.domain.structuring import Erased

Purpose = Literal["service", "care", "news", "promotion", "survey"]
"""What a message is for. `service` is what somebody has to be told, such as that a parcel left."""
PURPOSES: Final[tuple[Purpose, ...]] = get_args(Purpose)

Basis = Literal["contract", "opt_out", "opt_in", "double_opt_in"]
"""
Why a message of some purpose may be sent: as something owed; until somebody objects; since they
agreed; since they agreed and confirmed it by their contact point.
"""

Effect = Literal[
    "given", "confirmed", "imported", "requested", "withdrawn", "refused", "expired", "merged"
]
WIDENING: Final = frozenset({"given", "confirmed"})
NARROWING: Final = frozenset({"withdrawn", "refused", "expired", "merged"})
"""`merged` is what a merge makes of the narrower of two answers."""

ANY: Final = "*"

REACHES: Final[Mapping[str, str]] = {"email": "email", "sms": "phone", "phone": "phone"}
"""
The schemes of identifiers that well-known channels reach, so that consent can be recorded before
anybody delivers on them. A plugin that registers a channel says what it reaches.
"""


@frozen(kw_only=True)
class ConsentGiven:
    """
    A customer agreed to messages of one purpose, on one channel, to one contact point.

    Attributes:
        wording: Which text they were shown, and in which version, such as `newsletter/3`.
        language: Of that text, as a BCP 47 tag.
        mechanism: How: `form`, `double_opt_in`, `counter`, `phone`, `import`.
        evidence: What proves it, such as an address of the network; the law wants it kept.
    """

    purpose: str
    channel: str
    wording: str | None = None
    language: str | None = None
    mechanism: str | None = None
    point: str | Erased | None = personal(default=None)
    evidence: str | Erased | None = personal(default=None)


@frozen(kw_only=True)
class ConsentWithdrawn:
    """A customer said no, to one purpose or channel or point, or where nothing is said to all."""

    purpose: str = ANY
    channel: str = ANY
    mechanism: str | None = None
    reason: str | None = None
    point: str | Erased | None = personal(default=None)


@frozen(kw_only=True)
class BrakeSet:
    """
    For a while nothing but service goes to a customer: an open complaint, mourning.

    Attributes:
        until: When it ends by itself: an instant such as `2026-11-22T09:00:00+01:00`, or a day,
            such as `2026-11-22`, when that begins in the shop's zone.
    """

    brake: str
    until: str | None = None


@frozen(kw_only=True)
class BrakeLifted:
    """A brake that was set is no longer on."""

    brake: str


@frozen(kw_only=True)
class ZoneChanged:
    """A customer lives by the clocks of a zone, an IANA name such as `Europe/Berlin`."""

    zone: str


CONSENT_KINDS: Final = (
    Kind("consent.requested", payload=ConsentGiven, description="Asked to be confirmed."),
    Kind(
        "consent.given",
        payload=ConsentGiven,
        description="A customer agreed to messages of a purpose, on a channel.",
    ),
    Kind(
        "consent.confirmed",
        payload=ConsentGiven,
        description="Confirmed by the contact point itself: the second half of a double opt-in.",
    ),
    Kind(
        "consent.imported",
        payload=ConsentGiven,
        follows=True,
        description="From another system's list; it never widens what was said here.",
    ),
    Kind(
        "consent.withdrawn",
        payload=ConsentWithdrawn,
        follows=True,
        description="A customer took back what they had agreed to, or objected.",
    ),
    Kind(
        "consent.refused",
        payload=ConsentWithdrawn,
        follows=True,
        description="A customer was asked, and said no.",
    ),
    Kind(
        "consent.expired",
        payload=ConsentWithdrawn,
        follows=True,
        description="What a customer agreed to holds no longer.",
    ),
    Kind(
        "brake.set",
        payload=BrakeSet,
        follows=True,
        description="Something holds messages back, such as an open complaint or mourning.",
    ),
    Kind(
        "brake.lifted",
        payload=BrakeLifted,
        follows=True,
        description="It holds them back no longer.",
    ),
    Kind(
        "customer.zone_changed",
        payload=ZoneChanged,
        follows=True,
        description="A customer lives by another clock.",
    ),
)


@frozen(kw_only=True)
class ConsentEntry:
    """One thing that was said of consent, by whomever; instants in microseconds."""

    effect: Effect
    point: str
    channel: str
    purpose: str
    occurred_at: int
    recorded_at: int
    interaction_id: int = 0

    def covers(self, point: str, channel: str, purpose: str) -> bool:
        """Return whether it says anything of messages like this."""
        return (
            self.point in (ANY, point)
            and self.channel in (ANY, channel)
            and self.purpose in (ANY, purpose)
        )


Standing = Literal["none", "requested", "imported", "given", "confirmed", "withdrawn"]


def standing_of(
    entries: Iterable[ConsentEntry],
    point: str,
    channel: str,
    purpose: str,
    *,
    as_of: int | None = None,
) -> Standing:
    """
    Return where consent stands, from what had been recorded by *as_of* (None: all).

    What happened later wins, and of two things at one instant the no. What was imported counts
    only where nobody ever said no.
    """
    said = [
        entry
        for entry in entries
        if entry.covers(point, channel, purpose) and (as_of is None or entry.recorded_at <= as_of)
    ]

    def last(*effects: str) -> int | None:
        return max((e.occurred_at for e in said if e.effect in effects), default=None)

    no, confirmed = last(*NARROWING), last("confirmed")
    yes = last(*WIDENING)
    if yes is not None and (no is None or yes > no):
        since = confirmed is not None and (no is None or confirmed > no)
        return "confirmed" if since else "given"
    if no is not None:
        return "withdrawn"
    if last("imported") is not None:
        return "imported"
    return "requested" if last("requested") is not None else "none"


def decisive(
    entries: Iterable[ConsentEntry], point: str, channel: str, purpose: str, standing: Standing
) -> ConsentEntry | None:
    """Return the entry that made consent stand so: the latest of those that say it."""
    says = {
        "confirmed": {"confirmed"},
        "given": WIDENING,
        "withdrawn": NARROWING,
        "imported": {"imported"},
        "requested": {"requested"},
        "none": set[str](),
    }[standing]
    found = [e for e in entries if e.effect in says and e.covers(point, channel, purpose)]
    return max(found, key=lambda e: (e.occurred_at, e.recorded_at, e.interaction_id), default=None)


def allows(standing: Standing, basis: Basis) -> bool:
    """Return whether consent that stands so lets a message go that may be sent on *basis*."""
    if basis == "contract":
        return True
    if basis == "opt_out":
        return standing != "withdrawn"
    if basis == "opt_in":
        return standing in ("given", "confirmed", "imported")
    return standing == "confirmed"
