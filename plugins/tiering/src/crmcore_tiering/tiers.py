"""Tiers: the grades a shop has, what each brings its customers, and the borders between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

import attrs
from attrs import Attribute, define, field, frozen

from crmcore import whole
from crmcore.errors import ConfigurationError, InputError, nearest
from crmcore_tiering.domain import OVERRIDE, UNGRADED

Benefit = str | int | float | bool

LETTERS: Final = ("A", "B", "C")
"""What tiers are called where the shop does not say."""


def _is_text(_: object, attribute: Attribute[Any], value: object) -> None:
    if not isinstance(value, str):
        raise ConfigurationError(f"{attribute.name} is {value!r}; text is expected")


def _are_benefits(_: object, attribute: Attribute[Any], value: object) -> None:
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"{attribute.name} is {value!r}; a table is expected")
    for name, each in value.items():
        if not isinstance(name, str) or not isinstance(each, str | int | float):
            raise ConfigurationError(
                f"{attribute.name} has {name!r}: {each!r}; texts, numbers, true or false are "
                "expected"
            )


@define(kw_only=True)
class Tier:
    """
    One of the shop's tiers, as `[[plugins.tiering.tiers]]` says it, best first.

    Attributes:
        name: What customers and staff call it.
        percent: Pareto and predicted: it goes on until this share of the revenue is reached. The
            last tier, which takes everybody else, has none.
        score: RFM: the score, 3 to 15, from which it begins; the last tier has none.
        benefits: What it brings, by the shop's own keys: texts, numbers, true or false.
        cost_minor: What the benefits cost for a customer and year, in minor units.
        most_contacts: How many messages of marketing, news and promotions, a customer may get
            within `contact_days`; -1: no fewer than others.
        contact_days: See there.
    """

    name: str = field(validator=_is_text)
    percent: int = field(default=0, validator=whole(least=0, most=100))
    score: int = field(default=0, validator=whole(least=0, most=15))
    benefits: dict[str, Benefit] = field(factory=dict, validator=_are_benefits)
    cost_minor: int = field(default=0, validator=whole(least=0))
    most_contacts: int = field(default=-1, validator=whole(least=-1))
    contact_days: int = field(default=30, validator=whole(least=1, most=3650))


def as_tiers(given: object) -> Any:
    """
    Return tiers that code may also give as tables, as they stand in crm.toml.

    Raises:
        ConfigurationError: If one is neither, or has a field that there is not.
    """
    if not isinstance(given, list | tuple):
        raise ConfigurationError(f"tiers is {given!r}; a list of Tier is expected")
    return [_as_tier(place, each) for place, each in enumerate(given)]


def _as_tier(place: int, given: object) -> Tier:
    if isinstance(given, Tier):
        return given
    known = [each.name for each in attrs.fields(Tier)]
    if not isinstance(given, Mapping) or "name" not in given:
        raise ConfigurationError(f"tiers[{place}] is {given!r}; a Tier with a name is expected")
    for name in given:
        if name not in known:
            raise ConfigurationError(
                f"tiers[{place}] has no field {name!r}{nearest(name, known)}; {', '.join(known)} "
                "expected"
            )
    return Tier(**given)


@frozen(kw_only=True)
class Borders:
    """
    Where tiers end, and the band that keeps customers near a border from flapping.

    Attributes:
        tiers: The names, best first.
        plain: Between each tier and the next. Pareto: percent of the revenue; RFM: the score.
        lenience: What is added to a border for customers who are above it, and taken off for
            those below: the band, with the sign of the direction that is worse.
    """

    tiers: tuple[str, ...]
    plain: tuple[int, ...]
    lenience: int

    def up(self, tier: str) -> int:
        """Return the border that a customer from below must pass to enter *tier*."""
        return self.plain[self.tiers.index(tier)] - self.lenience

    def down(self, tier: str) -> int:
        """Return the border that a customer from above must pass to fall into *tier*."""
        return self.plain[self.tiers.index(tier) - 1] + self.lenience

    def is_worse(self, tier: str, than: str) -> bool:
        """Return whether a tier is worse than one that the shop still has."""
        return than in self.tiers and self.tiers.index(tier) > self.tiers.index(than)

    def passed(self, from_tier: str, to_tier: str) -> int | None:
        """Return the last border passed; None for a first grading, or a tier there is no more."""
        if from_tier not in self.tiers:
            return None
        worse = self.is_worse(to_tier, from_tier)
        return self.down(to_tier) if worse else self.up(to_tier)

    def met(self, held: str | None, number: int) -> int:
        """Return the border after tier *number*, as a customer who holds the tier *held* meets."""
        if held not in self.tiers:
            return self.plain[number]
        above = self.tiers.index(held) <= number
        return self.plain[number] + (self.lenience if above else -self.lenience)


def check_tiers(tiers: Sequence[Tier]) -> None:
    """
    Refuse tiers that nobody could tell apart, or that say what cannot be.

    Raises:
        ConfigurationError: Names the tier, what was found and what is expected.
    """
    if len(tiers) == 1:
        raise ConfigurationError(f"tiers has only {tiers[0].name!r}; two or more are expected")
    names = [tier.name for tier in tiers]
    for place, tier in enumerate(tiers):
        if not tier.name.strip() or tier.name in (UNGRADED, OVERRIDE):
            raise ConfigurationError(
                f"tiers[{place}].name is {tier.name!r}; a name of its own is expected"
            )
        if tier.name in names[:place]:
            raise ConfigurationError(f"tiers[{place}].name is {tier.name!r}, as another's is")


def check_borders(
    tiers: Sequence[Tier], name: str, borders: Borders, *, least: int, most: int
) -> None:
    """
    Refuse borders that are out of order, or too near to one another for the band.

    Args:
        tiers: The shop's own.
        name: Of the setting that the borders stand in: `percent`, which rises from tier to tier,
            or `score`, which falls.
        borders: What is checked.
        least: The least position there is.
        most: The greatest one.
    """
    last, band = tiers[-1], abs(borders.lenience)
    if getattr(last, name):
        raise ConfigurationError(
            f"tiers[{len(tiers) - 1}].{name} is {getattr(last, name)}, but the last tier takes "
            "everybody else; none is expected"
        )
    rising = borders.plain if name == "percent" else borders.plain[::-1]
    steps = (least, *rising, most)
    gaps = [after - before for before, after in pairwise(steps)]
    # A band on each side of a border, but none at the ends, where there is nothing beyond.
    if gaps[0] <= band or gaps[-1] < band or any(gap <= 2 * band for gap in gaps[1:-1]):
        told = ", ".join(f"{tier.name} {getattr(tier, name)}" for tier in tiers[:-1])
        order = "rise" if name == "percent" else "fall"
        raise ConfigurationError(
            f"tiers with the {name} {told} and band_{name} {band} do not fit: from {least} to "
            f"{most}, they must {order} from tier to tier, and their bands must neither touch nor "
            "stick out"
        )


def find_tier(tiers: Mapping[str, Tier], name: object) -> Tier:
    """Return a tier by its name; raises an `InputError` with the nearest if there is none."""
    if not isinstance(name, str) or name not in tiers:
        raise InputError(
            f"there is no tier {name!r}{nearest(name, list(tiers))}; {', '.join(tiers)} expected"
        )
    return tiers[name]
