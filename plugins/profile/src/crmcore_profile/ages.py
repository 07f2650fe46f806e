"""Ages: what follows from dates of birth at an instant, so that nobody has to grow them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Subquery,
    case,
    cast,
    func,
    literal,
    select,
)

from crmcore import Trait
from crmcore_profile.attributes import Attribute
from crmcore_profile.civil import ShopZone, day_number, days_in_month, is_leap, today_of
from crmcore_profile.current import current_values
from crmcore_profile.tables import Whole, Words

LeapDay = Literal["feb28", "mar1"]

EXPECTED: Final = "expected"
"""The group of a child that is to be born."""

UNKNOWN: Final = -1


def _born(current: FromClause) -> Subquery:
    """Return dates of birth as years (NULL: not known), months and days."""
    value = current.c.value
    has_year = func.length(value) == 10
    day_of_year = func.substr(value, case((has_year, 6), else_=3))
    return select(
        current.c.customer_id,
        case((has_year, cast(func.substr(value, 1, 4), Whole))).label("birth_year"),
        cast(func.substr(day_of_year, 1, 2), Whole).label("birth_month"),
        cast(func.substr(day_of_year, 4, 2), Whole).label("birth_day"),
    ).subquery("born")


def _months(born: FromClause, today: FromClause, leap_day: LeapDay) -> ColumnElement[int]:
    """
    Return how many whole months have passed since a date of birth; NULL without its year.

    A month that has no such day ends the last one, or with `mar1` the next one begins with it.
    """
    row, now = born.c, today.c
    is_reached = now.this_day >= row.birth_day
    if leap_day == "feb28":
        last = days_in_month(now.this_year, now.this_month)
        is_reached = is_reached | (now.this_day == last)
    passed = (now.this_year - row.birth_year) * 12 + now.this_month - row.birth_month
    months: ColumnElement[int] = passed - case((is_reached, 0), else_=1)
    return months


def band_names(starts: Sequence[int]) -> list[str]:
    """Return the names of age bands, each from one age to the year before the next begins."""
    lows = [0, *starts]
    return [
        *(f"{low}-{high - 1}" for low, high in zip(lows, starts, strict=False)),
        f"{lows[-1]}+",
    ]


def age_traits(
    attribute: Attribute, bands: Sequence[int], leap_day: LeapDay, zone: ShopZone
) -> list[Trait[Any]]:
    """Return the traits that follow from a customer's own birthday."""
    born = _born(current_values([attribute]))

    def band(now: ColumnElement[int]) -> ColumnElement[Any]:
        today = today_of(now, zone)
        months = _months(born, today, leap_day)
        names = band_names(bands)
        found = case(
            (months.is_(None), literal("", Words)),
            (months < 0, ""),
            *((months < 12 * end, name) for end, name in zip(bands, names, strict=False)),
            else_=names[-1],
        )
        return select(found).select_from(today).correlate(born).scalar_subquery()

    def days_left(now: ColumnElement[int]) -> ColumnElement[Any]:
        today = today_of(now, zone)
        this = today.c
        at = day_number(this.this_year, this.this_month, this.this_day)
        in_this, in_next = (
            _birthday_in(born, this.this_year + later, leap_day) - at for later in (0, 1)
        )
        left = case((in_this >= 0, in_this), else_=in_next)
        return select(left).select_from(today).correlate(born).scalar_subquery()

    return [
        Trait(
            "profile.age_band",
            type=str,
            default="",
            table=born,
            value=band,
            description="the band of the customer's age in years, such as 25-34",
        ),
        Trait(
            "profile.birthday_next_days",
            type=int,
            default=UNKNOWN,
            table=born,
            value=days_left,
            description="days until the next birthday; 0 on the day itself, -1 if not known",
        ),
    ]


def _birthday_in(
    born: FromClause, year: ColumnElement[int], leap_day: LeapDay
) -> ColumnElement[int]:
    """Return the number of the day on which a birthday is kept in a year."""
    row = born.c
    day: ColumnElement[int] = row.birth_day
    if leap_day == "feb28":
        on_leap_day = (row.birth_month == 2) & (row.birth_day == 29) & ~is_leap(year)
        day = case((on_leap_day, 28), else_=day)
    # Without a correction, 29 February of a common year has the number of 1 March.
    return day_number(year, row.birth_month, day)


def child_traits(
    attribute: Attribute, groups: Mapping[str, int], leap_day: LeapDay, zone: ShopZone
) -> list[Trait[Any]]:
    """Return the traits that follow from the dates of birth of a customer's children."""
    names = sorted(groups, key=groups.__getitem__)
    starts = [groups[name] for name in names]

    def group_of(born: FromClause, now: ColumnElement[int]) -> ColumnElement[Any]:
        today = today_of(now, zone)
        months = _months(born, today, leap_day)
        told = case(
            (months < 0, literal(EXPECTED, Words)),
            *((months < end, name) for end, name in zip(starts[1:], names, strict=False)),
            else_=names[-1],
        )
        return select(told).select_from(today).correlate(born).scalar_subquery()

    def trait(name: str, born: FromClause, description: str) -> Trait[str]:
        return Trait(
            f"profile.{name}",
            type=str,
            default="",
            table=born,
            value=lambda now: group_of(born, now),
            description=description,
        )

    youngest, oldest = _one_child(attribute, func.max), _one_child(attribute, func.min)
    return [
        trait("life_stage", youngest, "the age group of the youngest child, such as toddler"),
        trait("oldest_child", oldest, "the age group of the oldest child"),
    ]


def _one_child(attribute: Attribute, which: Callable[[Any], Any]) -> Subquery:
    """Return the birth of one of each customer's children, who has the first or the last date."""
    current = current_values([attribute])
    # A window, no group: so a database looks at one customer's rows only, if asked about one.
    date = which(current.c.value).over(partition_by=current.c.customer_id)
    found = select(current.c.customer_id, date.label("value")).distinct()
    return _born(found.subquery("one_child"))
