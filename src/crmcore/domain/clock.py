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
ONE_DAY = timedelta(days=1)
SECOND = 1_000_000
DAY = 86_400 * SECOND
"""Microseconds in a day of 24 hours."""
FIRST = (datetime(1900, 1, 1, tzinfo=UTC) - EPOCH) // MICROSECOND
"""The earliest instant that is accepted."""
LAST = (datetime(2200, 1, 1, tzinfo=UTC) - EPOCH) // MICROSECOND
"""The latest one. Days can be counted from either without leaving the years 1 to 9999."""


def to_instant(moment: datetime) -> int:
    """
    Return *moment* as microseconds since 1970 UTC.

    Raises:
        InstantError: If *moment* is no datetime, lies before 1900 or after 2200-01-01 UTC, or has
            no zone; guessing one would move a customer's orders.
    """
    if not isinstance(moment, datetime):
        raise InstantError(f"{moment!r} is not an instant; an aware datetime is expected")
    try:
        instant = (moment - EPOCH) // MICROSECOND
    except TypeError as error:
        raise InstantError(
            f"{moment.isoformat()} has no time zone; give an aware datetime, "
            "such as one with tzinfo=UTC"
        ) from error
    if not FIRST <= instant <= LAST:
        raise InstantError(
            f"{moment.isoformat()} is out of range; an instant from 1900-01-01 to 2200-01-01 UTC "
            "is expected"
        )
    return instant


def check_happened(moment: datetime, now: int) -> datetime:
    """
    Return *moment*, unless it lies more than a day ahead of the instant *now*.

    A day is left to clocks that differ, and to what was written down in another zone.

    Raises:
        InstantError: If it does: what is told of as having happened cannot be yet to come.
    """
    if to_instant(moment) > now + DAY:
        raise InstantError(
            f"{moment.isoformat()} lies more than a day ahead of {to_datetime(now):%Y-%m-%d %H:%M} "
            "UTC, which is now; an instant at which it has happened is expected"
        )
    return moment


def to_datetime(instant: int) -> datetime:
    """Return the instant as an aware datetime in UTC."""
    try:
        return EPOCH + timedelta(microseconds=instant)
    except OverflowError as error:
        raise _out_of_range(f"{instant} microseconds since 1970") from error


def _out_of_range(found: object) -> InstantError:
    return InstantError(f"{found} is out of range; a day within the years 1 to 9999 is expected")


class Clock(Protocol):
    """What tells the time. All time in crmcore comes from one of these."""

    def now(self) -> int:
        """Return the present instant, in microseconds."""


@frozen
class SystemClock:
    """The machine's clock."""

    def now(self) -> int:
        """Return the present instant, in microseconds."""
        return (datetime.now(UTC) - EPOCH) // MICROSECOND


@define
class VirtualClock:
    """
    A clock that stands until it is moved, and never moves back.

    Attributes:
        instant: Where it stands, in microseconds.
    """

    instant: int = 0

    def now(self) -> int:
        """Return the instant at which it stands, in microseconds."""
        return self.instant

    def advance_to(self, instant: int) -> None:
        """Move on to *instant*; an earlier one leaves the clock where it is."""
        self.instant = max(self.instant, instant)


@lru_cache(maxsize=65_536)
def _start_of(day: date, zone: ZoneInfo) -> int:
    midnight = datetime.combine(day, time.min)
    # Of a midnight that comes twice, this is the first; of one in a gap, it lies behind the gap.
    start = (midnight.replace(tzinfo=zone) - EPOCH) // MICROSECOND

    def has_come(instant: int) -> bool:
        return to_datetime(instant).astimezone(zone).replace(tzinfo=None) >= midnight

    if to_datetime(start).astimezone(zone).replace(tzinfo=None) == midnight:
        return start
    low, high = (start - 2 * DAY) // SECOND, -(-start // SECOND)  # offsets change at whole seconds
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if has_come(middle * SECOND) else (middle, high)
    return high * SECOND


@frozen
class Calendar:
    """
    Civil days in one time zone.

    A day starts at the first instant at which a clock on the wall shows it. Where there is no
    midnight, that is when the gap ends; where there are two, the first. A day that was skipped
    altogether starts with the next.

    Attributes:
        zone: Whose clock on the wall counts.
    """

    zone: ZoneInfo = field(default=ZoneInfo("UTC"))

    @classmethod
    def named(cls, name: str) -> Calendar:
        """Return the calendar of an IANA zone, such as `Europe/Berlin`."""
        try:
            return cls(ZoneInfo(name))
        except (ZoneInfoNotFoundError, TypeError, ValueError, OSError) as error:
            hint = nearest(name, available_timezones())
            raise ConfigurationError(f"unknown time zone {name!r}{hint}") from error

    def day_of(self, instant: int) -> date:
        """Return the civil day on which *instant* falls."""
        try:
            return to_datetime(instant).astimezone(self.zone).date()
        except OverflowError as error:
            raise _out_of_range(f"{instant} microseconds since 1970") from error

    def start_of(self, day: date) -> int:
        """Return the first instant of *day*, which is never later than any other of it."""
        try:
            return _start_of(day, self.zone)
        except OverflowError as error:
            raise _out_of_range(day) from error

    def midnight_after(self, instant: int, *, days: int) -> int:
        """
        Return the first start of a day with *days* whole days passed since *instant*.

        The days are counted from the first start of a day at or after *instant*, so a later
        instant never has an earlier midnight.
        """
        if self.zone.key == "UTC":
            return instant + -instant % DAY + days * DAY  # a remainder is cheaper than a quotient
        day = self.day_of(instant)
        try:
            # A second turn, as clocks put back show a day again that had started before.
            while _start_of(day, self.zone) < instant:
                day += ONE_DAY
            return _start_of(day + timedelta(days=days), self.zone)
        except OverflowError as error:
            raise _out_of_range(f"{days} days after {to_datetime(instant)}") from error
