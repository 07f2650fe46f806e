"""Civil days in SQL: what day it is on the shop's calendar, and how dates are counted."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from attrs import define
from sqlalchemy import BigInteger, ColumnElement, Subquery, and_, case, literal, or_, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from crmcore import Calendar
from crmcore_profile.domain import DAY
from crmcore_profile.tables import Whole

SECOND: Final = 1_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_CENTURIES: Final = 36_525 * 4 * DAY
"""A whole number of days that makes every instant positive, as databases divide towards zero."""

_FIRST_YEAR, _LAST_YEAR = 1970, 2100
_STEP: Final = 7 * DAY
"""Clocks are put back and forward again after weeks, so this finds each change."""


@define(eq=False)
class ShopZone:
    """
    The calendar of the shop in which the plugin is; statements ask for it when they are compiled.

    Attributes:
        calendar: UTC until the plugin was started.
    """

    calendar: Calendar = Calendar()


def offset_at(calendar: Calendar, instant: ColumnElement[int]) -> ColumnElement[int]:
    """
    Return what a zone's clock is ahead of UTC at an instant, in microseconds, as SQL.

    The changes of 1970 to 2100 stand in the statement, as a tree: eight comparisons find one.
    Before and after, the first and the last offset hold on.
    """
    changes = changes_of(calendar)
    return _tree(changes, instant, 0, len(changes))


def _tree(
    changes: Sequence[tuple[int, int]], instant: ColumnElement[int], low: int, high: int
) -> ColumnElement[int]:
    if high - low == 1:
        return literal(changes[low][1], Whole, literal_execute=True)
    middle = (low + high) // 2
    since = literal(changes[middle][0], Whole, literal_execute=True)
    return case(
        (instant < since, _tree(changes, instant, low, middle)),
        else_=_tree(changes, instant, middle, high),
    )


def changes_of(calendar: Calendar) -> list[tuple[int, int]]:
    """Return each offset of a zone with the instant since which it holds, both in microseconds."""
    zone = calendar.zone

    def offset(instant: int) -> int:
        found = (_EPOCH + timedelta(microseconds=instant)).astimezone(zone).utcoffset()
        return 0 if found is None else found // timedelta(microseconds=1)

    start, end = (
        (datetime(year, 1, 1, tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)
        for year in (_FIRST_YEAR, _LAST_YEAR)
    )
    found = [(start, offset(start))]
    if zone.key == "UTC":
        return found
    for instant in range(start, end, _STEP):
        known = found[-1][1]
        if offset(instant) == known:
            continue
        low, high = (instant - _STEP) // SECOND, instant // SECOND
        while high - low > 1:  # offsets change at whole seconds
            middle = (low + high) // 2
            low, high = (middle, high) if offset(middle * SECOND) == known else (low, middle)
        found.append((high * SECOND, offset(high * SECOND)))
    return found


class shop_day(FunctionElement[int]):  # noqa: N801 - named as it is called in SQL
    """
    The civil day on which an instant falls in the shop, as a number such as 20240517.

    Traits are made before the application knows its zone, so that is asked when a statement is
    compiled, which is when it first runs.
    """

    type = BigInteger()
    inherit_cache = False

    def __init__(self, instant: ColumnElement[int], zone: ShopZone) -> None:
        super().__init__(instant)
        self.zone = zone


class shop_hour(shop_day):  # noqa: N801 - named as it is called in SQL
    """The hour that the shop's clock shows at an instant, 0 to 23."""

    inherit_cache = False


# PostgreSQL knows zones itself, and takes long to plan a statement with all their changes.


def _shown(element: shop_day, compiler: Any, options: Any) -> str:
    (instant,) = element.clauses
    later = instant + _CENTURIES
    # In days and seconds, as DuckDB multiplies intervals by numbers of 32 bits only.
    days = compiler.process(later // DAY - _CENTURIES // DAY, **options)
    seconds = compiler.process(later % DAY // SECOND, **options)
    since = f"({days}) * INTERVAL '1 day' + ({seconds}) * INTERVAL '1 second'"
    zone = element.zone.calendar.zone.key
    return f"(TIMESTAMP '1970-01-01' + {since}) AT TIME ZONE 'UTC' AT TIME ZONE '{zone}'"


def _seconds(element: shop_day, compiler: Any, options: Any) -> str:
    (instant,) = element.clauses
    ahead = instant + offset_at(element.zone.calendar, instant) + _CENTURIES
    return f"(({compiler.process(ahead, **options)}) / {SECOND} - {_CENTURIES // SECOND})"


@compiles(shop_day)
def _day(element: shop_day, compiler: Any, **options: Any) -> str:
    shown = _shown(element, compiler, options)
    year, month, day = (f"EXTRACT({part} FROM {shown})" for part in ("YEAR", "MONTH", "DAY"))
    return f"CAST({year} * 10000 + {month} * 100 + {day} AS BIGINT)"


@compiles(shop_day, "sqlite")
def _sqlite_day(element: shop_day, compiler: Any, **options: Any) -> str:
    seconds = _seconds(element, compiler, options)
    return f"CAST(strftime('%Y%m%d', {seconds}, 'unixepoch') AS INTEGER)"


@compiles(shop_hour)
def _hour(element: shop_hour, compiler: Any, **options: Any) -> str:
    return f"CAST(EXTRACT(HOUR FROM {_shown(element, compiler, options)}) AS BIGINT)"


@compiles(shop_hour, "sqlite")
def _sqlite_hour(element: shop_hour, compiler: Any, **options: Any) -> str:
    # Counted from long ago, as SQLite divides towards zero.
    since = f"({_seconds(element, compiler, options)} + {_CENTURIES // SECOND})"
    return f"({since} % 86400 / 3600)"


def today_of(now: ColumnElement[int], zone: ShopZone) -> Subquery:
    """Return one row with the year, month and day of the shop's civil day at an instant."""
    shown = select(shop_day(now, zone).label("shown")).subquery("shown").c.shown
    return select(
        (shown // 10_000).label("this_year"),
        (shown // 100 % 100).label("this_month"),
        (shown % 100).label("this_day"),
    ).subquery("today")


# -- dates as years, months and days ---------------------------------------------------------------


def is_leap(year: ColumnElement[int]) -> ColumnElement[bool]:
    """Return the condition that a year has 366 days."""
    return and_(year % 4 == 0, or_(year % 100 != 0, year % 400 == 0))


def days_in_month(year: ColumnElement[int], month: ColumnElement[int]) -> ColumnElement[int]:
    """Return how many days a month has."""
    february = case((is_leap(year), 29), else_=28)
    return case((month == 2, february), (month.in_((4, 6, 9, 11)), 30), else_=31)


def day_number(
    year: ColumnElement[int], month: ColumnElement[int], day: ColumnElement[int]
) -> ColumnElement[int]:
    """
    Return a number of a day such that the next one has the next number.

    Years begin in March here, so that the leap day is their last.
    """
    early = case((month <= 2, 1), else_=0)
    since = year - early
    leaps = since // 4 - since // 100 + since // 400
    of_year = (153 * (month + 12 * early - 3) + 2) // 5 + day
    return 365 * since + leaps + of_year
