"""Demotions: who falls into a worse tier at once, who is warned first, and who stays for now."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import date, timedelta
from typing import Final, NamedTuple

from attrs import frozen

from crmcore import Calendar
from crmcore_tiering.grading import Grading
from crmcore_tiering.tiers import Borders

FIRST_DAY: Final = date(1970, 1, 1)


def next_review(calendar: Calendar, instant: int, *, every_days: int) -> int:
    """
    Return the first review after *instant*: the start of a civil day.

    Days are counted from 1970-01-01, so that reviews do not depend on when a shop started.
    """
    passed = (calendar.day_of(instant) - FIRST_DAY).days // every_days
    return calendar.start_of(FIRST_DAY + timedelta(days=(passed + 1) * every_days))


class Open(NamedTuple):
    """A warning that nothing has become of yet."""

    customer_id: int
    since: int
    due_at: int
    tier: str


@frozen
class Outcome:
    """
    What a review makes of those whose tier would change, and of those warned before.

    Attributes:
        moves: They change tier.
        warned: They would fall, and are warned first.
        kept: They were warned, and do not fall.
    """

    moves: list[Grading]
    warned: list[Grading]
    kept: list[Open]


@frozen(kw_only=True)
class Demotions:
    """
    How quickly a customer may fall.

    Attributes:
        dwell_days: How long a tier is kept at least.
        grace_days: How long a customer is warned before; 0: not at all.
        every_days: Days between reviews; 0: none but those asked for.
    """

    dwell_days: int = 0
    grace_days: int = 0
    every_days: int = 0

    def due_at(self, calendar: Calendar, at: int) -> int:
        """Return the review that decides about those warned at an instant."""
        over = calendar.start_of(calendar.day_of(at) + timedelta(days=self.grace_days))
        if not self.every_days:
            return over
        return next_review(calendar, over - 1, every_days=self.every_days)

    def sorted(
        self,
        gradings: Iterable[Grading],
        warnings: Mapping[int, Open],
        *,
        borders: Borders,
        calendar: Calendar,
        at: int,
        overridden: Collection[int],
    ) -> Outcome:
        """Return what becomes of each, at the instant of a review."""
        dwelt = calendar.start_of(calendar.day_of(at) - timedelta(days=self.dwell_days))
        outcome = Outcome([], [], [])
        touched = set(overridden)
        for grading in gradings:
            who = grading.customer_id
            if who in overridden:
                continue
            touched.add(who)
            if not borders.is_worse(grading.to_tier, grading.from_tier):
                outcome.moves.append(grading)
            elif self.dwell_days and (grading.since or 0) > dwelt:
                continue
            elif not self.grace_days or (who in warnings and warnings[who].due_at <= at):
                outcome.moves.append(grading)
            elif who not in warnings:
                outcome.warned.append(grading)
        outcome.kept.extend(
            each
            for each in warnings.values()
            if each.due_at <= at and each.since < at and each.customer_id not in touched
        )
        return outcome
