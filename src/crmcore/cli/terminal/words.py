"""Values as people write them: numbers, shares, money, days."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from crmcore.domain.clock import Calendar, to_datetime
from crmcore.domain.money import Money


def number(value: float) -> str:
    """Return a number with its thousands apart; three decimals, unless it is whole."""
    return f"{value:,}" if isinstance(value, int) else f"{value:,.3f}"


def percent(ratio: float) -> str:
    """Return a ratio from 0 to 1 as percent."""
    return f"{ratio * 100:.1f} %"


def share(part: int, whole: int) -> str:
    """Return *part* of *whole* as percent; nothing of nothing is 0 %."""
    return percent(part / whole if whole else 0.0)


def plural(count: int, one: str, many: str | None = None) -> str:
    """Return the count with its noun, such as `1 row` and `1,024 rows`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def readable(name: str) -> str:
    """Return a name of a figure, stage or setting as words."""
    return name.removesuffix("_minor").replace("_", " ")


def day(moment: datetime | None) -> str:
    """Return the day, such as `1 January 1997`."""
    return f"{moment.day} {moment:%B %Y}" if moment else "never"


def figure(name: str, value: Any, currency: str) -> str:
    """
    Return a figure as its name says it is to be read.

    `_minor` is money in minor units, `_at` an instant, `_rate` and a share are ratios.
    """
    if value is None:
        return "none"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if name.endswith("_minor") and isinstance(value, int):
        return str(Money(value, currency))
    if name.endswith("_at") and isinstance(value, int):
        return str(to_datetime(value).date())
    if isinstance(value, float) and (name.endswith("_rate") or name.startswith("share_")):
        return percent(value)
    return number(value)


def figures(values: Mapping[str, Any], currency: str) -> str:
    """Return figures in one line, those without a value left out."""
    return ", ".join(
        f"{readable(name)} {figure(name, value, currency)}"
        for name, value in values.items()
        if value is not None
    )


def moment(instant: int, calendar: Calendar) -> str:
    """Return an instant with the shop's zone: the day alone if it is when the day begins."""
    at = to_datetime(instant).astimezone(calendar.zone)
    if calendar.start_of(at.date()) == instant:
        return str(at.date())
    return f"{at:%Y-%m-%d %H:%M %Z}"
