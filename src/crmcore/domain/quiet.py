"""Quiet hours, and days, as a clock on the wall shows them, through every change of the clocks."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

from attrs import field, frozen

from crmcore.domain.clock import DAY, EPOCH, MICROSECOND, SECOND, to_datetime
from crmcore.errors import ConfigurationError, nearest

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: Final[tuple[Weekday, ...]] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

_TIME: Final = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")
_HOUR: Final = 3600 * SECOND
_MIDNIGHT: Final = time()
_LONGEST: Final = 15  # days after which a week with any open moment in it has had one


def _check_time(_: object, attribute: object, value: Any) -> None:
    if not isinstance(value, str) or not _TIME.fullmatch(value):
        name = getattr(attribute, "name", "time")
        raise ConfigurationError(f"{name} is {value!r}; a time such as '21:30' is expected")


def check_among(name: str, values: object, known: Collection[str], *, more: str = "") -> None:
    """Refuse a list that holds anything but one of *known*."""
    if not isinstance(values, list | tuple):
        raise ConfigurationError(f"{name} is {values!r}; a list is expected")
    for each in values:
        if each not in known:
            expected = " or ".join(map(repr, known))
            raise ConfigurationError(
                f"{name} holds {each!r}{nearest(each, known)}; {expected}{more} is expected"
            )


def _check_weekdays(_: object, attribute: object, value: object) -> None:
    check_among("weekdays", value, WEEKDAYS)


@frozen(kw_only=True)
class QuietHours:
    """
    Hours in which customers are left alone, on the clock on their own wall.

    Attributes:
        since: When they begin, such as `21:30`.
        until: When they end. Not after *since*, it is the next day's; the same, a whole day.
        weekdays: On which they begin, such as `["sat", "sun"]`; without any, on all.
        purposes: Of the messages that wait; without any, all but `service`.
    """

    since: str = field(validator=_check_time)
    until: str = field(validator=_check_time)
    weekdays: list[str] = field(factory=list, validator=_check_weekdays)
    purposes: list[str] = field(factory=list)

    @property
    def times(self) -> tuple[time, time]:
        """When they begin and end."""
        return time.fromisoformat(self.since), time.fromisoformat(self.until)

    def holds(self, wall: datetime) -> bool:
        """Return whether they are on while the clock on the wall shows *wall*."""
        since, until = self.times
        shown = wall.time()
        begun = shown >= since and self._begins_on(wall.date())
        if since < until:
            return begun and shown < until
        # They go on beyond midnight, so they may have begun the day before.
        return begun or (shown < until and self._begins_on(wall.date() - timedelta(days=1)))

    def _begins_on(self, day: date) -> bool:
        return not self.weekdays or WEEKDAYS[day.weekday()] in self.weekdays

    def __str__(self) -> str:
        on = f" on {', '.join(self.weekdays)}" if self.weekdays else ""
        return f"{self.since} to {self.until}{on}"


def leaves_no_moment(hours: Iterable[QuietHours]) -> bool:
    """Return whether nothing of a week is left."""
    hours = list(hours)
    days = [date(2024, 1, 1) + timedelta(days=number) for number in range(7)]
    # What is open begins at one of the marks, or lasts all day.
    moments = [datetime.combine(day, mark, tzinfo=UTC) for day in days for mark in _marks(hours)]
    return bool(hours) and all(any(each.holds(wall) for each in hours) for wall in moments)


def _marks(hours: Iterable[QuietHours]) -> set[time]:
    """Return the times of a day at which something may change."""
    return {_MIDNIGHT, *(at for each in hours for at in each.times)}


def quiet_until(hours: Sequence[QuietHours], zone: ZoneInfo, instant: int) -> int | None:
    """
    Return the first instant after *instant* at which none of *hours* is on; None: none is now.

    An instant is quiet if the clock on the wall shows quiet hours then. So hours that a change of
    the clocks skips are not, those that it repeats are quiet twice, and where an end is skipped
    they end with the gap.
    """

    def is_quiet(wall: datetime) -> bool:
        return any(each.holds(wall) for each in hours)

    if not is_quiet(_wall(zone, instant)):
        return None
    return _first_after(zone, instant, _marks(hours), lambda wall: not is_quiet(wall))


def day_bounds(zone: ZoneInfo, instant: int, start_of: Callable[[date], int]) -> tuple[int, int]:
    """
    Return when the day that the clock shows at *instant* began, and when a later one is shown.

    *start_of* gives the first instant of a day.
    """
    day = _wall(zone, instant).date()
    following = start_of(day + timedelta(days=1))
    if following <= instant:  # clocks put back over midnight show the day again
        following = _first_after(zone, instant, {_MIDNIGHT}, lambda wall: wall.date() > day)
    return start_of(day), following


def _wall(zone: ZoneInfo, instant: int) -> datetime:
    return to_datetime(instant).astimezone(zone)


def _offset(zone: ZoneInfo, instant: int) -> int:
    offset = _wall(zone, instant).utcoffset()
    return 0 if offset is None else offset // MICROSECOND


def _first_after(
    zone: ZoneInfo, instant: int, marks: Collection[time], holds: Callable[[datetime], bool]
) -> int:
    """
    Return the first instant after *instant* for which *holds* is true of the clock on the wall.

    What it says changes at the times of *marks* only, and where the clocks are changed.
    """
    last = instant + _LONGEST * DAY
    at = instant
    while at < last:
        at = _next_change(zone, at, marks)
        if holds(_wall(zone, at)):
            return at
    raise ValueError(f"nothing found within {_LONGEST} days")  # settings that do this are refused


def _next_change(zone: ZoneInfo, instant: int, marks: Collection[time]) -> int:
    """Return when the clock on the wall next shows one of *marks*, or is changed."""
    offset = _offset(zone, instant)
    shown = (instant + offset) % DAY
    gaps = [(_in_day(mark) - shown) % DAY or DAY for mark in marks]
    at = instant + min(gaps)
    # Clocks are never changed twice within an hour, so this finds the first change.
    known = instant
    while known < at:
        following = min(known + _HOUR, at)
        if _offset(zone, following) != offset:
            return _bisected(zone, offset, known, following)
        known = following
    return at


def _bisected(zone: ZoneInfo, offset: int, low: int, high: int) -> int:
    """Return the first instant of another offset; *low* has this one, *high* another."""
    first, last = low // SECOND, -(-high // SECOND)  # offsets change at whole seconds
    while last - first > 1:
        middle = (first + last) // 2
        if _offset(zone, middle * SECOND) == offset:
            first = middle
        else:
            last = middle
    return last * SECOND


def _in_day(mark: time) -> int:
    return (datetime.combine(EPOCH.date(), mark, tzinfo=UTC) - EPOCH) // MICROSECOND
