"""Clocks and calendars: instants are integer microseconds since 1970-01-01 UTC."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from attrs import define, field, frozen

from crmcore.errors import ConfigurationError, InstantError, nearest

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
DAY = 86_400_000_000
"""Microseconds in a day of 24 hours."""


def to_instant(moment: datetime) -> int:
    """
    Return *moment* as microseconds since 1970 UTC.

    Raises:
        InstantError: If *moment* has no zone; guessing one would move a customer's orders.
    """
    if moment.tzinfo is None:
        raise InstantError(
            f"{moment.isoformat()} has no time zone; give an aware datetime, "
            "such as one with tzinfo=UTC"
        )
    return (moment - EPOCH) // MICROSECOND


def to_datetime(instant: int) -> datetime:
    """Return the instant as an aware datetime in UTC."""
    return EPOCH + timedelta(microseconds=instant)


class Clock(Protocol):
    """What tells the time. All time in crmcore comes from one of these."""

    def now(self) -> int:
        """Return the present instant, in microseconds."""


@frozen
class SystemClock:
    """The machine's clock."""

    def now(self) -> int:
        return (datetime.now(UTC) - EPOCH) // MICROSECOND


@define
class VirtualClock:
    """A clock that stands until it is moved, and never moves back."""

    instant: int = 0

    def now(self) -> int:
        return self.instant

    def advance_to(self, instant: int) -> None:
        """Move on to *instant*; an earlier one leaves the clock where it is."""
        self.instant = max(self.instant, instant)


@lru_cache(maxsize=65_536)
def _start_of(day: date, zone: ZoneInfo) -> int:
    return to_instant(datetime.combine(day, time.min, tzinfo=zone))


@frozen
class Calendar:
    """Civil days in one time zone. Where midnight does not exist, the day starts when it ends."""

    zone: ZoneInfo = field(default=ZoneInfo("UTC"))

    @classmethod
    def named(cls, name: str) -> Calendar:
        """Return the calendar of an IANA zone, such as `Europe/Berlin`."""
        try:
            return cls(ZoneInfo(name))
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            hint = nearest(name, available_timezones())
            raise ConfigurationError(f"unknown time zone {name!r}{hint}") from error

    def day_of(self, instant: int) -> date:
        """Return the civil day on which *instant* falls."""
        return to_datetime(instant).astimezone(self.zone).date()

    def start_of(self, day: date) -> int:
        """Return the instant at which *day* starts."""
        return _start_of(day, self.zone)

    def midnight_after(self, instant: int, *, days: int) -> int:
        """Return the first start of a day with *days* whole days passed since *instant*."""
        if self.zone.key == "UTC":
            return -(-(instant + days * DAY) // DAY) * DAY
        day = self.day_of(instant)
        exact = self.start_of(day) == instant
        return self.start_of(day + timedelta(days=days if exact else days + 1))
