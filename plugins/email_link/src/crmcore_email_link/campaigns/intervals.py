"""Intervals: between which bounds the difference of two groups lies, at a level of confidence."""

from __future__ import annotations

from math import sqrt
from statistics import NormalDist
from typing import Final

from attrs import field, frozen

from crmcore.errors import InputError

FEWEST: Final = 30
"""Of how many customers in each group a mean is taken to be distributed normally."""


@frozen
class Interval:
    """
    A difference, and the bounds between which it lies.

    Attributes:
        difference: The first group's figure less the second's.
        low: The lower bound.
        high: The upper bound.
    """

    difference: float
    low: float
    high: float

    @property
    def tells(self) -> bool:
        """Whether it tells which group has more: nought is not between the bounds."""
        return self.low > 0 or self.high < 0


@frozen
class Counted:
    """
    How many of a group did something.

    Attributes:
        did: How many did.
        size: How many there are.
    """

    did: int = field()
    size: int = field()

    def __attrs_post_init__(self) -> None:
        if not 0 <= self.did <= self.size:
            raise InputError(
                f"{self.did} of {self.size} did it; a number from 0 up to the group's is expected"
            )

    @property
    def share(self) -> float:
        """Which part of the group did; 0 of nobody."""
        return self.did / self.size if self.size else 0.0

    def wilson(self, level: float) -> tuple[float, float]:
        """
        Return the bounds of the share (Wilson 1927), which never leave 0 to 1.

        Of nobody nothing is known.
        """
        if not self.size:
            return 0.0, 1.0
        z, share = _quantile(level), self.share
        middle = share + z * z / (2 * self.size)
        width = z * sqrt(share * (1 - share) / self.size + z * z / (4 * self.size**2))
        scale = 1 + z * z / self.size
        # Rounding may pass the bounds by a last digit.
        return max(0.0, (middle - width) / scale), min(1.0, (middle + width) / scale)


@frozen
class Summed:
    """
    What a group brought, as sums of which a mean and a variance follow.

    Attributes:
        size: How many customers there are.
        total: Their amounts together.
        squares: The squares of each one's amount together.
    """

    size: int
    total: float
    squares: float

    @property
    def mean(self) -> float:
        """What a customer brought; 0 of nobody."""
        return self.total / self.size if self.size else 0.0

    @property
    def variance(self) -> float:
        """The unbiased variance of what a customer brought; 0 of one or nobody."""
        if self.size < 2:
            return 0.0
        return max(0.0, (self.squares - self.total * self.mean) / (self.size - 1))


def difference_of_shares(one: Counted, other: Counted, *, level: float = 0.95) -> Interval:
    """
    Return how much more of one group did something than of another.

    The interval is the hybrid of two score intervals, without continuity correction (Newcombe
    1998, Statistics in Medicine 17, 873-890, method 10): right for small groups and rare orders,
    where the usual one says too much.
    """
    (low, high), (other_low, other_high) = one.wilson(level), other.wilson(level)
    difference = one.share - other.share
    below = sqrt((one.share - low) ** 2 + (other_high - other.share) ** 2)
    above = sqrt((high - one.share) ** 2 + (other.share - other_low) ** 2)
    return Interval(difference, max(-1.0, difference - below), min(1.0, difference + above))


def difference_of_means(one: Summed, other: Summed, *, level: float = 0.95) -> Interval | None:
    """
    Return how much more a customer of one group brought than of another; None: too few to tell.

    The variances need not be alike (Welch 1947), and the mean of each group is taken as normal,
    which asks for groups of 30 at least.
    """
    if min(one.size, other.size) < FEWEST:
        return None
    difference = one.mean - other.mean
    width = _quantile(level) * sqrt(one.variance / one.size + other.variance / other.size)
    return Interval(difference, difference - width, difference + width)


def _quantile(level: float) -> float:
    if not 0 < level < 1:
        raise InputError(f"the level is {level!r}; a number between 0 and 1 is expected, as 0.95")
    return NormalDist().inv_cdf((1 + level) / 2)
