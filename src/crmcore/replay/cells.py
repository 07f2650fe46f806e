"""Cells: what stands in one column of one row, read as text, as a number or as an instant."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation
from functools import lru_cache
from typing import Literal
from zoneinfo import ZoneInfo

from attrs import frozen

from crmcore.domain.clock import EPOCH
from crmcore.errors import InputError, InstantError, MoneyError

Rounding = Literal["refuse", "half_even"]
TIMES_SINCE_1970 = {"unix": 1_000_000, "unix_ms": 1_000}
"""Names that stand in place of a format for counts since 1970 UTC, with microseconds in each."""

_LARGEST = 2**63 - 1  # what a 64-bit column holds
# Wide enough that no product of two numbers of 30 digits is rounded before it is looked at.
_EXACT = Context(prec=80)


def text_of(cell: object) -> str | None:
    """
    Return the cell's text without blanks around it; None if it is empty.

    A float that is a whole number reads like one (`13085.0` is `13085`: tables hold whole
    numbers as floats where some cells are empty), and NaN is an empty cell.

    Raises:
        InputError: If the cell holds a list or a table.
    """
    if type(cell) is str:
        return cell.strip() or None
    if cell is None or cell != cell:
        return None
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() else repr(cell)
    if isinstance(cell, Decimal):
        return format(cell, "f")
    if isinstance(cell, (datetime, date, time)):
        return cell.isoformat()
    if isinstance(cell, (list, dict, tuple)):
        shown = json.dumps(cell, default=str)[:40]
        raise InputError(f"{shown} is not a single value; name one of its fields, with a dot")
    if isinstance(cell, bytes):  # as older programs write text into Parquet
        try:
            cell = cell.decode()
        except UnicodeDecodeError:
            raise InputError(f"{cell[:20]!r} is not UTF-8 text") from None
    return str(cell).strip() or None


@frozen(kw_only=True)
class Numbers:
    """How numbers are written; those that are not text are taken through their decimal text."""

    decimal_mark: str = "."
    thousands_mark: str = ""

    def decimal(self, cell: object) -> Decimal | None:
        """Return the number exactly as written, never through a float; None for an empty cell."""
        text = text_of(cell)
        if text is None:
            return None
        try:
            number = Decimal(self._plain(text) if type(cell) is str else text)
        except InvalidOperation:
            raise MoneyError(f"{text!r} is not a number") from None
        if number.adjusted() > 30 or not number.is_finite():
            raise MoneyError(f"{text!r} is not a number that can be recorded")
        return number

    def whole(self, cell: object) -> int | None:
        """Return the whole number; None for an empty cell."""
        if type(cell) is int:
            return cell
        number = self.decimal(cell)
        if number is None:
            return None
        whole = int(number)
        if whole != number:
            raise InputError(f"{text_of(cell)!r} is not a whole number")
        return whole

    def _plain(self, text: str) -> str:
        """Return the text with a full stop for the decimal mark, and no other mark."""
        if self.thousands_mark:
            text = text.replace(self.thousands_mark, "")
        if self.decimal_mark != ".":
            # A full stop that is neither mark is a mistake, not a decimal point.
            text = text.replace(".", "?").replace(self.decimal_mark, ".")
        return text


def multiply(quantity: Decimal | int, price: Decimal) -> Decimal:
    """Return the exact product."""
    return _EXACT.multiply(quantity, price)


def minor_units(number: Decimal, *, places: int, rounding: Rounding, currency: str) -> int:
    """
    Return an amount in major units as minor units, of which there are 10 to the *places*.

    Raises:
        MoneyError: If it is finer than the minor unit and *rounding* says to refuse that.
    """
    exact = number.scaleb(places, _EXACT)
    minor = int(exact)
    if minor != exact:
        if rounding == "refuse":
            raise MoneyError(
                f"{number} is finer than the minor unit of {currency}; "
                'round = "half_even" in the mapping rounds it'
            )
        minor = int(exact.to_integral_value(ROUND_HALF_EVEN))
    if abs(minor) > _LARGEST:
        raise MoneyError(f"{number} {currency} does not fit in 64 bits")
    return minor


def _naive_or_aware(text: str, pattern: str | None) -> datetime:
    if pattern is None:
        return datetime.fromisoformat(text)
    return datetime.strptime(text, pattern)  # noqa: DTZ007 - the zone, if missing, comes after


def check_pattern(pattern: str | None) -> None:
    """Refuse with a `ValueError` what is not a format of a whole date."""
    if pattern is None or pattern in TIMES_SINCE_1970:
        return
    if "%Z" in pattern:
        # Python accepts a zone's abbreviation and then ignores it.
        raise ValueError("'%Z' cannot be read, as CST is three zones; use '%z', or zone")
    sample = datetime(2001, 2, 3, 4, 5, 6, tzinfo=UTC)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python 3.13 warns of a day without a year; so do we
            read = _naive_or_aware(sample.strftime(pattern), pattern)
    except ValueError:
        raise ValueError(f"{pattern!r} is not a format of times, such as '%d/%m/%Y'") from None
    if read.date() != sample.date():
        raise ValueError(f"{pattern!r} does not say year, month and day")


def instant_parser(pattern: str | None, zone: ZoneInfo | None) -> Callable[[object], datetime]:
    """
    Return what turns a cell that is not empty into an aware datetime in UTC.

    Args:
        pattern: As in `strptime`; `unix` or `unix_ms`; None for ISO 8601.
        zone: Of times that have none. A time that its clocks skip or show twice is read with
            the offset in force before the change (fold=0).
    """

    def aware(moment: datetime, shown: object) -> datetime:
        if moment.tzinfo is None:
            if zone is None:
                raise InstantError(
                    f"the time {str(shown)!r} has no time zone; "
                    'set zone in the mapping, such as zone = "Europe/Berlin"'
                )
            moment = moment.replace(tzinfo=zone)
        try:
            # In UTC, as two times of one zone compare by the clock's face, even over a change.
            return moment.astimezone(UTC)
        except OverflowError:
            raise InstantError(f"the time {str(shown)!r} is out of range") from None

    @lru_cache(maxsize=65_536)
    def from_text(text: str) -> datetime:
        if pattern in TIMES_SINCE_1970:
            return _since_1970(text, TIMES_SINCE_1970[pattern])
        try:
            moment = _naive_or_aware(text, pattern)
        except ValueError:
            raise InstantError(_not_a_time(text, pattern)) from None
        return aware(moment, text)

    def parse(cell: object) -> datetime:
        if type(cell) is str:
            return from_text(cell)
        if isinstance(cell, datetime):
            return aware(cell, cell)
        if isinstance(cell, date):
            return aware(datetime.combine(cell, time.min), cell)
        return from_text(text_of(cell) or "")

    return parse


def _since_1970(text: str, microseconds: int) -> datetime:
    try:
        return EPOCH + timedelta(microseconds=round(Decimal(text) * microseconds))
    except (InvalidOperation, ValueError, OverflowError):
        unit = "seconds" if microseconds == 1_000_000 else "milliseconds"
        raise InstantError(f"{text!r} is not a count of {unit} since 1970") from None


def _not_a_time(text: str, pattern: str | None) -> str:
    if pattern is not None:
        return f"{text!r} is not a time of the form {pattern!r}"
    if text.isdecimal() and len(text) > 8:
        return f'{text!r} is not a time in ISO 8601; set format, such as format = "unix"'
    return f'{text!r} is not a time in ISO 8601; set format, such as format = "%d/%m/%Y %H:%M"'
