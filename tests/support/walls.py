"""Clocks on the wall, read minute by minute: a model of quiet hours and days to compare with."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

from crmcore.domain.clock import SECOND

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HOUR = 3600 * SECOND
# Twenty zones: of whole, half and quarter hours, with changes at midnight, of half an hour, over
# midnight, of a whole day, in the month of fasting, and without any.
ZONES = (
    "Europe/Berlin",
    "Europe/London",
    "Europe/Dublin",
    "Europe/Lisbon",
    "Europe/Moscow",
    "Europe/Istanbul",
    "America/New_York",
    "America/St_Johns",
    "America/Sao_Paulo",
    "America/Havana",
    "America/Santiago",
    "America/Caracas",
    "Africa/Casablanca",
    "Africa/Cairo",
    "Asia/Tehran",
    "Asia/Gaza",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Pacific/Chatham",
)
Rule = tuple[str, str, tuple[str, ...]]
"""Since when, until when, and on which days of the week; without any, on all."""

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def wall_of(zone: ZoneInfo, instant: int) -> datetime:
    """Return what the clock on the wall shows, without its zone."""
    return (EPOCH + timedelta(microseconds=instant)).astimezone(zone).replace(tzinfo=None)


def is_quiet(rules: Sequence[Rule], wall: datetime) -> bool:
    """Return whether it is quiet by the rules, written anew here."""
    minute = wall.hour * 60 + wall.minute
    today, yesterday = DAYS[wall.weekday()], DAYS[wall.weekday() - 1]
    for since, until, days in rules:
        low = int(since[:2]) * 60 + int(since[3:])
        high = int(until[:2]) * 60 + int(until[3:])
        on_today, on_yesterday = not days or today in days, not days or yesterday in days
        if low < high:
            quiet = on_today and low <= minute < high
        else:
            quiet = (on_today and minute >= low) or (on_yesterday and minute < high)
        if quiet:
            return True
    return False


@cache
def transitions(name: str) -> tuple[int, ...]:
    """Return every instant from 2000 to 2037 at which a zone's clocks are changed."""
    zone = ZoneInfo(name)

    def offset(instant: int) -> timedelta | None:
        return (EPOCH + timedelta(microseconds=instant)).astimezone(zone).utcoffset()

    found = []
    start = (datetime(2000, 1, 1, tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)
    end = (datetime(2038, 1, 1, tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)
    before = offset(start)
    for hour in range(start, end, 6 * HOUR):
        after = offset(hour + 6 * HOUR)
        if after != before:
            at = hour
            for step in (HOUR, 60 * SECOND, SECOND):  # ever closer to the first second of it
                while offset(at + step) == before:
                    at += step
            found.append(at + SECOND)
        before = after
    return tuple(found)


def first_not_quiet(zone: ZoneInfo, rules: Sequence[Rule], instant: int) -> int | None:
    """
    Return the first instant after *instant* that is not quiet, found by walking.

    Rules and changes are at whole minutes, so states change at whole minutes of the wall; those
    are walked one by one, and the instant itself is the first step's start.
    """
    if not is_quiet(rules, wall_of(zone, instant)):
        return None
    minute = -(-instant // (60 * SECOND)) * 60 * SECOND
    minute += 60 * SECOND if minute == instant else 0
    while is_quiet(rules, wall_of(zone, minute)):
        minute += 60 * SECOND
    return minute


def next_day(zone: ZoneInfo, instant: int) -> int:
    """Return the first instant after *instant* at which the wall shows a later day."""
    day: date = wall_of(zone, instant).date()
    minute = instant - instant % (60 * SECOND) + 60 * SECOND
    while wall_of(zone, minute).date() <= day:
        minute += 60 * SECOND
    return minute


def first_of_day(zone: ZoneInfo, instant: int) -> int:
    """Return the first instant at which the wall shows the day that it shows at *instant*."""
    day = wall_of(zone, instant).date()
    minute = instant - instant % (60 * SECOND) - 26 * HOUR
    while wall_of(zone, minute).date() != day:
        minute += 60 * SECOND
    return minute
