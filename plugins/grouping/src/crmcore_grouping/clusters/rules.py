"""Rules: the way to a cluster as the text of a segment."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from decimal import ROUND_CEILING, Decimal
from typing import Final

import numpy as np

from crmcore import Money
from crmcore_grouping.clusters.features import Feature, Features
from crmcore_grouping.clusters.thresholds import Leaf, Split

APART: Final = 0.5  # standard deviations from the mean of all


def rule_of(leaf: Leaf, features: Features, among: str | None = None) -> str:
    """
    Return the text of a segment that holds for the points of a leaf, and those like them.

    *among* is what holds for all customers who were looked at; None: nothing in particular.
    """
    last: dict[tuple[int, bool], Split] = {}
    for split in leaf.splits:  # later ones are narrower
        last[split.feature, split.is_low] = split
    asked = {features.each[split.feature].column.name for split in leaf.splits}
    # Who was left out is in no cluster: nothing compares with what is not known.
    known = [f"{name} >= 0" for name in features.incomplete if name not in asked]
    # Where somebody has one value of a trait, that it is no other goes without saying.
    had = {
        features.each[split.feature].column.name
        for split in last.values()
        if features.each[split.feature].category is not None and not split.is_low
    }
    conditions = [
        _condition(split, features)
        for _, split in sorted(last.items())
        if not (split.is_low and features.each[split.feature].column.name in had)
    ]
    return " and ".join([*([among] if among else []), *conditions, *known])


def _condition(split: Split, features: Features) -> str:
    feature = features.each[split.feature]
    name = feature.column.name
    if feature.category is not None:
        value = json.dumps(feature.category, ensure_ascii=False)
        return f"{name} {'!=' if split.is_low else '=='} {value}"
    border = between(*_measured(split, feature), is_whole=feature.column.type is int)
    sign = "<=" if split.is_low else ">"
    if feature.column.unit == "minor":
        # Segments have no separators of thousands.
        amount = str(Money(int(border), features.currency)).replace(",", "")
        return f"{name} {sign} {amount}"
    return f"{name} {sign} {_literal(border, feature)}"


def _measured(split: Split, feature: Feature) -> tuple[float, float]:
    """Return the measured values next to a threshold, below and above."""
    is_below = feature.scaled <= split.at
    return float(feature.values[is_below].max()), float(feature.values[~is_below].min())


def between(low: float, high: float, *, is_whole: bool) -> Decimal:
    """Return the roundest number from *low* to less than *high*, which people remember best."""
    least, limit = Decimal(repr(low)), Decimal(repr(high))
    for power in range(18, -1 if is_whole else -12, -1):
        for digit in (1, 5):
            # Halves of a power, as in 5, 50 and 500, come before the next smaller power.
            step = Decimal(digit).scaleb(power if digit == 1 else power - 1)
            if is_whole and step < 1:
                continue
            rounded = (least / step).to_integral_value(ROUND_CEILING) * step
            if least <= rounded < limit:
                return rounded
    return least


def _literal(number: Decimal, feature: Feature) -> str:
    if feature.column.type is int:
        return f"{int(number)}"
    digits = f"{number:f}"
    return digits if "." in digits else f"{digits}.0"


def label_of(leaf: Leaf, features: Features) -> str:
    """Return what sets a cluster apart from all customers, in a few words; most of all first."""
    told: list[tuple[float, str]] = []
    for feature in features.each:
        distance = float(feature.scaled[leaf.points].mean()) if leaf.points.any() else 0.0
        # That a value is rare among them says little where there are several.
        if distance > 0 or not feature.is_one_of_many:
            told.append((-abs(distance), _apart(feature, leaf, distance, features.currency)))
    told.sort()
    return "; ".join([text for far, text in told if -far >= APART][:3] or [told[0][1]])


def _apart(feature: Feature, leaf: Leaf, distance: float, currency: str) -> str:
    name, values = feature.column.name, feature.values[leaf.points]
    if feature.category is not None:
        value = json.dumps(feature.category, ensure_ascii=False)
        return f"{name} {value}: {values.mean():.0%}"
    middle = shown(float(np.median(values)), feature, currency)
    return f"{name} {'high' if distance > 0 else 'low'}, about {middle}"


def shown(value: float, feature: Feature, currency: str) -> str:
    """Return a measured number as people read it, with its unit."""
    if feature.column.unit == "minor":
        return str(Money(round(value), currency))
    if feature.column.type is int:
        return f"{round(value):,}"
    return f"{value:,.2f}"


def centre_of(leaf: Leaf, features: Sequence[Feature]) -> Mapping[str, float]:
    """Return the median of each number among a leaf's points, and the share of each category."""
    found: dict[str, float] = {}
    for feature in features:
        values = feature.values[leaf.points]
        name = feature.column.name
        if feature.category is None:
            found[name] = float(np.median(values)) if len(values) else math.nan
        else:
            value = json.dumps(feature.category, ensure_ascii=False)
            found[f"{name} == {value}"] = float(values.mean()) if len(values) else math.nan
    return found
