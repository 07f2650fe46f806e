"""Retention: for how long the personal part of each kind of interaction is kept."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from typing import Final

from attrs import field, frozen

from crmcore.errors import ConfigurationError, nearest

_PERIOD: Final = re.compile(r"([1-9][0-9]{0,4}) (days?|months?|years?)")
_EXPECTED: Final = "a period such as '90 days', '24 months' or '3 years' is expected"


@frozen
class Period:
    """A length of civil time: whole days, or whole months."""

    days: int = 0
    months: int = 0

    @classmethod
    def parsed(cls, text: object) -> Period:
        """Return the period that is written as `24 months`; raises a `ConfigurationError`."""
        found = _PERIOD.fullmatch(text) if isinstance(text, str) else None
        if found is None:
            raise ConfigurationError(f"{text!r} found; {_EXPECTED}")
        number = int(found[1])
        if found[2].startswith("day"):
            return cls(days=number)
        return cls(months=number * (12 if found[2].startswith("year") else 1))

    def before(self, day: date) -> date:
        """
        Return the day that lies so long before *day*.

        >>> Period.parsed("1 month").before(date(2024, 3, 31))
        datetime.date(2024, 2, 29)
        """
        if not self.months:
            return day - timedelta(days=self.days)
        months = day.year * 12 + day.month - 1 - self.months
        year, month = divmod(months, 12)
        following = date(year + (month + 1) // 12, (month + 1) % 12 + 1, 1)
        last = (following - timedelta(days=1)).day
        return date(year, month + 1, min(day.day, last))


def _checked(_: object, __: object, keep: object) -> None:
    if not isinstance(keep, Mapping):
        raise ConfigurationError(f"{keep!r} found; a table of kinds and periods is expected")
    for name, period in keep.items():
        try:
            Period.parsed(period)
        except ConfigurationError as error:
            raise ConfigurationError(f"retention of {name!r}: {error}") from error


@frozen
class RetentionSettings:
    """
    `[retention]` in crm.toml: for how long personal values of interactions are kept.

    Attributes:
        keep: By kind, or by the beginning of kinds, such as `catalog.*`, or `*` for all: a
            period such as `90 days` or `24 months`, from when it happened. Of several that fit,
            the longest name counts.
    """

    keep: Mapping[str, str] = field(factory=dict, validator=_checked)

    def by_kind(self, kinds: Iterable[str]) -> dict[str, Period]:
        """
        Return the period of each kind that has one.

        Raises:
            ConfigurationError: If a name fits no kind.
        """
        known = sorted(kinds)
        found: dict[str, tuple[int, Period]] = {}
        for name, period in self.keep.items():
            fitting = [kind for kind in known if fits(name, kind)]
            if not fitting:
                raise ConfigurationError(
                    f"retention of {name!r}: there is no such kind{nearest(name, known)}"
                )
            for kind in fitting:
                if kind not in found or len(name) > found[kind][0]:
                    found[kind] = len(name), Period.parsed(period)
        return {kind: period for kind, (_, period) in found.items()}


def fits(name: str, kind: str) -> bool:
    """Return whether a kind is meant by a name that may end in `*`."""
    return kind == name or (name.endswith("*") and kind.startswith(name[:-1]))
