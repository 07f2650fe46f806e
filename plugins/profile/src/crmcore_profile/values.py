"""Values: what fits an attribute's type, in Python and as a condition in SQL that says the same."""

from __future__ import annotations

import re
from calendar import isleap
from typing import Final

from sqlalchemy import ColumnElement, and_, case, false, func, or_

from crmcore import Calendar
from crmcore.errors import ConfigurationError, InputError, nearest
from crmcore_profile.attributes import Attribute
from crmcore_profile.domain import LONGEST

_DIGITS: Final = "0123456789"
_LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_FIRST_YEAR, _LAST_YEAR = "1850", "2199"
_MOST_DIGITS: Final = 15
_LONGEST_LANGUAGE: Final = 35  # RFC 5646, 4.4.1
_LONGEST_ZONE: Final = 64

_DATE: Final = re.compile(r"(?:(\d{4})|-)-(\d\d)-(\d\d)\Z", re.ASCII)
_NUMBER: Final = re.compile(rf"-?[0-9]{{1,{_MOST_DIGITS}}}\Z")
_LANGUAGE: Final = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]+)*\Z")
_AREA: Final = re.compile(r"UTC\Z|[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)+\Z")

_EXPECTED: Final = {
    "text": f"text of up to {LONGEST} characters",
    "number": f"a whole number of up to {_MOST_DIGITS} digits",
    "date": "a date such as 2024-05-17",
    "birthday": "a date such as 1984-05-17, or --05-17 where the year is not known",
    "language": "a language such as de or pt-BR",
    "zone": "a time zone such as Europe/Berlin",
}


def checked(attribute: Attribute, value: str) -> str:
    """
    Return *value* if it is one that the attribute can have.

    Raises:
        InputError: Says what was found and what is expected.
    """
    if type(value) is str and has_form(attribute, value):
        if attribute.type != "zone":
            return value
        try:
            Calendar.named(value)
        except ConfigurationError as error:
            raise InputError(f"{attribute.name}: {error}") from error
        return value
    options = attribute.options
    expected = _EXPECTED.get(attribute.type) or " or ".join(map(repr, options))
    raise InputError(
        f"{attribute.name} is {value!r}{nearest(value, options)}; {expected} is expected"
    )


def has_form(attribute: Attribute, value: str) -> bool:
    """Return whether a value is in the form of its attribute's type; `fits` in Python."""
    match attribute.type:
        case "choice":
            return value in attribute.options
        case "number":
            return _NUMBER.match(value) is not None
        case "date":
            return _is_date(value, with_year=True)
        case "birthday":
            return _is_date(value, with_year=False)
        case "language":
            return len(value) <= _LONGEST_LANGUAGE and _LANGUAGE.match(value) is not None
        case "zone":
            return len(value) <= _LONGEST_ZONE and _AREA.match(value) is not None
        case _:
            return value.strip(" ") != "" and len(value) <= LONGEST


def _is_date(value: str, *, with_year: bool) -> bool:
    found = _DATE.match(value)
    if found is None or (with_year and found[1] is None):
        return False
    year, month, day = found[1], int(found[2]), int(found[3])
    if year is not None and not _FIRST_YEAR <= year <= _LAST_YEAR:
        return False
    is_short = year is not None and not isleap(int(year))
    days = {2: 28 if is_short else 29, 4: 30, 6: 30, 9: 30, 11: 30}.get(month, 31)
    return 1 <= month <= 12 and 1 <= day <= days


# -- in SQL --------------------------------------------------------------------------------------
# Of constructs only that SQLite and PostgreSQL understand alike, and that never raise.


def fits(attribute: Attribute, value: ColumnElement[str]) -> ColumnElement[bool]:
    """Return the condition that a column holds a value in the form of the attribute's type."""
    match attribute.type:
        case "choice":
            return value.in_(attribute.options) if attribute.options else false()
        case "number":
            digits = func.ltrim(func.substr(value, 1, 1), "-").concat(func.substr(value, 2))
            return and_(_only(digits, _DIGITS), func.length(digits).between(1, _MOST_DIGITS))
        case "date":
            return _fits_date(value)
        case "birthday":
            return or_(_fits_date(value), _fits_day_of_year(value))
        case "language":
            return _fits_language(value)
        case "zone":
            return _fits_zone(value)
        case _:
            return and_(func.trim(value) != "", func.length(value) <= LONGEST)


def _only(value: ColumnElement[str], letters: str) -> ColumnElement[bool]:
    """Return the condition that no other letters than these occur."""
    return func.ltrim(value, letters) == ""


def _fits_date(value: ColumnElement[str]) -> ColumnElement[bool]:
    year = func.substr(value, 1, 4)
    fourth = [f"{number:02}" for number in range(0, 100, 4)]
    of_century = func.substr(value, 3, 2)
    # Divisible by 4, but of whole centuries only by 400; in text, so that nothing is converted.
    is_leap = and_(
        of_century.in_(fourth), or_(of_century != "00", func.substr(value, 1, 2).in_(fourth))
    )
    return and_(
        func.length(value) == 10,
        _only(year, _DIGITS),
        func.length(year) == 4,
        year >= _FIRST_YEAR,
        year <= _LAST_YEAR,
        func.substr(value, 5, 1) == "-",
        _fits_month_and_day(func.substr(value, 6), case((is_leap, "29"), else_="28")),
    )


def _fits_day_of_year(value: ColumnElement[str]) -> ColumnElement[bool]:
    return and_(
        func.length(value) == 7,
        func.substr(value, 1, 2) == "--",
        _fits_month_and_day(func.substr(value, 3), "29"),
    )


def _fits_month_and_day(
    value: ColumnElement[str], february: ColumnElement[str] | str
) -> ColumnElement[bool]:
    month, day = func.substr(value, 1, 2), func.substr(value, 4, 2)
    last = case((month == "02", february), (month.in_(("04", "06", "09", "11")), "30"), else_="31")
    return and_(
        month.in_([f"{number:02}" for number in range(1, 13)]),
        func.substr(value, 3, 1) == "-",
        _only(day, _DIGITS),
        day >= "01",
        day <= last,
    )


def _fits_language(value: ColumnElement[str]) -> ColumnElement[bool]:
    third, fourth = func.substr(value, 3, 1), func.substr(value, 4, 1)
    ends = third.in_(("", "-"))
    return and_(
        func.length(value).between(2, _LONGEST_LANGUAGE),
        _only(value, _LETTERS + _DIGITS + "-"),
        _only(func.substr(value, 1, 2), _LETTERS),
        or_(ends, and_(_only(third, _LETTERS), fourth.in_(("", "-")))),
        *_parted(value, "-"),
    )


def _fits_zone(value: ColumnElement[str]) -> ColumnElement[bool]:
    named = and_(
        func.length(value) <= _LONGEST_ZONE,
        func.replace(value, "/", "") != value,
        _only(value, _LETTERS + _DIGITS + "_+-/"),
        _only(func.substr(value, 1, 1), _LETTERS),
        *_parted(value, "/"),
    )
    return or_(value == "UTC", named)


def _parted(value: ColumnElement[str], by: str) -> list[ColumnElement[bool]]:
    """
    Return the conditions that no part of a text is empty, but perhaps the first.

    Without LIKE, whose patterns make SQLite prepare a statement anew each time it is run.
    """
    last = func.substr(value, func.length(value), 1)
    return [func.replace(value, by + by, "") == value, last != by]
