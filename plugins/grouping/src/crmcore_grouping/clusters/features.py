"""Features: measures of customers as numbers that can be compared with one another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

from crmcore import Measured, MeasuredColumn
from crmcore.errors import InputError

Numbers = NDArray[np.float64]

MOST_CATEGORIES: Final = 20


@frozen(eq=False)
class Feature:
    """
    One number of each customer.

    Attributes:
        column: The measure it is made of.
        category: The value of which it says whether a customer has it; None: it is the number.
        scaled: Of each customer. A number goes by its logarithm, as what customers do and spend is
            spread over orders of magnitude; both are in standard deviations from the mean.
        values: Of each customer, as they were measured; for a category 1 or 0.
        is_one_of_many: Whether it is one of three categories or more.
    """

    column: MeasuredColumn
    category: str | bool | None
    scaled: Numbers = field(repr=False)
    values: NDArray[Any] = field(repr=False)
    is_one_of_many: bool = False


@frozen(eq=False)
class Features:
    """
    Features of those customers of whom everything is known.

    Attributes:
        customers: Their ids, of shape (n,).
        each: At least one, in the order of the measures.
        left_out: How many customers there were of whom something is not known.
        incomplete: The names of the measures that are not known of them.
        currency: Of the amounts among them.
    """

    customers: NDArray[np.int64]
    each: Sequence[Feature]
    left_out: int
    incomplete: Sequence[str]
    currency: str

    @property
    def scaled(self) -> Numbers:
        """The scaled numbers, of shape (n, features)."""
        return np.stack([feature.scaled for feature in self.each], axis=1)


def features_of(measured: Measured) -> Features:
    """
    Return measures as features; what is the same for everybody sets nobody apart and is left out.

    Raises:
        InputError: If a measure has too many categories, or all is the same for everybody.
    """
    complete = [row for row in measured.rows if None not in row]
    each = []
    for place, column in enumerate(measured.columns, 1):
        for feature in _features(column, [row[place] for row in complete]):
            each.append(feature)
    if not each:
        names = ", ".join(column.name for column in measured.columns)
        raise InputError(
            f"{names}: the same for each of {len(complete):,} customers, so nothing sets them "
            "apart; other measures are expected"
        )
    return Features(
        np.array([row[0] for row in complete], dtype=np.int64),
        each,
        len(measured.rows) - len(complete),
        [
            column.name
            for place, column in enumerate(measured.columns, 1)
            if any(row[place] is None for row in measured.rows)
        ],
        measured.currency,
    )


def _features(column: MeasuredColumn, found: list[Any]) -> Iterator[Feature]:
    if column.type in (int, float):
        # Whole numbers beyond 2**53 lose digits, which no border of a cluster depends on.
        values = np.array(found, dtype=np.float64)
        scaled = _standardised(np.sign(values) * np.log1p(np.abs(values)))
        if scaled is not None:
            yield Feature(column, None, scaled, values)
        return
    categories = sorted(set(found))
    if len(categories) > MOST_CATEGORIES:
        raise InputError(
            f"{column.name} has {len(categories):,} different values; at most {MOST_CATEGORIES} "
            "are expected"
        )
    # Of two categories, one says it all.
    for category in categories[1:] if len(categories) == 2 else categories:
        values = np.array([value == category for value in found], dtype=np.float64)
        scaled = _standardised(values)
        if scaled is not None:
            yield Feature(column, category, scaled, values, len(categories) > 2)


def _standardised(values: Numbers) -> Numbers | None:
    """Return values in standard deviations from their mean; None: they are all the same."""
    if not len(values) or np.ptp(values) == 0:
        return None
    scaled: Numbers = (values - values.mean()) / values.std()
    return scaled
