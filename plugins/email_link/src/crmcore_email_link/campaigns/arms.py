"""Arms: who gets which variant of a campaign, and who none; drawn once, and never again."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any, Final

from attrs import field, frozen
from sqlalchemy import ColumnElement, case, literal

from crmcore.hooks import PRIME, Arm
from crmcore_email_link.tables import Words

HELD_OUT: Final = "held out"
"""The arm of those who get nothing."""


@frozen
class Split:
    """
    How customers are parted, by a hash of an experiment's name and of each of them.

    Whoever has an arm keeps it in each campaign of the experiment: a larger holdout takes in more
    and lets nobody go, and who is held out says nothing of which variant they would get.

    Attributes:
        experiment: Its name; another parts them anew.
        holdout: The share that gets nothing, from 0 up to 1.
        weights: Of each variant by its name, in order.
    """

    experiment: str
    holdout: float = 0.0
    weights: Sequence[tuple[str, int]] = (("all", 1),)
    _out: Arm = field(init=False, repr=False, eq=False)
    _which: Arm = field(init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "_out", Arm.of(f"email_link/{self.experiment}/holdout"))
        object.__setattr__(self, "_which", Arm.of(f"email_link/{self.experiment}/variant"))

    @property
    def below(self) -> int:
        """Who has a place below it is held out."""
        return int(self.holdout * PRIME)

    @property
    def bounds(self) -> list[tuple[int, str]]:
        """The place below which each variant's customers stand, in order."""
        whole = sum(weight for _, weight in self.weights)
        ends = accumulate(weight for _, weight in self.weights)
        names = (name for name, _ in self.weights)
        return [(end * PRIME // whole, name) for end, name in zip(ends, names, strict=True)]

    def variant_of(self, bucket: int) -> str:
        """Return which variant a customer gets, if any, by their bucket."""
        place = self._which.place(bucket)
        return next(name for end, name in self.bounds if place < end)

    def arm_of(self, bucket: int) -> str:
        """Return a customer's arm: a variant's name, or `HELD_OUT`."""
        return HELD_OUT if self._out.place(bucket) < self.below else self.variant_of(bucket)

    def is_held_out(self, bucket: ColumnElement[int]) -> ColumnElement[bool]:
        """Return the condition that says so in a statement."""
        return _place(self._out, bucket) < self.below

    def variant(self, bucket: ColumnElement[int]) -> ColumnElement[str]:
        """Return what says in a statement which variant a customer gets."""
        place = _place(self._which, bucket)
        *some, (_, last) = self.bounds
        if not some:
            return literal(last, Words)
        found = ((place < end, literal(name, Words)) for end, name in some)
        return case(*found, else_=literal(last, Words))


def _place(arm: Arm, bucket: ColumnElement[int]) -> ColumnElement[Any]:
    return (bucket * arm.factor + arm.offset) % PRIME
