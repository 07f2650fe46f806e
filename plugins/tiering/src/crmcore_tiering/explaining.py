"""Explaining: what a review decides about a customer, with the numbers that made it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from attrs import frozen

from crmcore import Context
from crmcore_tiering.demotions import Demotions, Open
from crmcore_tiering.domain import MILLION, OVERRIDE, UNGRADED, Cuts, Rules, TierChanged
from crmcore_tiering.grading import Grading
from crmcore_tiering.method import DEFAULTS, Method, Moment
from crmcore_tiering.overrides import Overridden
from crmcore_tiering.warned import TierKept, TierWarned


@frozen
class Told:
    """
    What is decided about one customer.

    Attributes:
        payload: As it goes on record.
        caused_by: The interaction that led to it.
    """

    customer_id: int
    payload: Any
    caused_by: int | None

    def row(self, at: int) -> dict[str, Any]:
        """Return the columns that the tables of tiers and of their changes keep of a move."""
        told: TierChanged = self.payload
        more = told.more_from_minor
        return {
            "customer_id": self.customer_id,
            "since": at,
            "tier": told.to_tier,
            "from_tier": told.from_tier,
            "scheme": told.scheme,
            "position": told.position,
            "place": told.place,
            "override_key": None,
            "a_from_minor": told.a_from_minor,
            "b_from_minor": told.b_from_minor,
            # As the database finds it in the ledger.
            "more_from_minor": None if more is None else json.dumps(more, separators=(",", ":")),
            "caused_by": self.caused_by,
        }

    def warning(self, at: int) -> dict[str, Any]:
        """Return what the table of warnings keeps of a warning, or of a tier that was kept."""
        told: TierWarned | TierKept = self.payload
        is_open = isinstance(told, TierWarned)
        return {
            "customer_id": self.customer_id,
            "since": at,
            "is_open": 1 if is_open else 0,
            "tier": told.tier,
            "due_at": told.due_at,
            "gap_minor": told.gap_minor if isinstance(told, TierWarned) else None,
        }


@frozen
class Explaining:
    """Explains what one review decides."""

    method: Method
    demotions: Demotions
    moment: Moment

    def moves(
        self, ctx: Context, moves: Iterable[Grading], causes: Mapping[int, int]
    ) -> list[Told]:
        """Return what goes on record of those who change tier."""
        moves = list(moves)
        rules: Rules | None = self.method.rules(self.demotions)
        if rules == DEFAULTS.get(self.method.scheme):
            rules = None
        cuts = self.method.cuts(ctx, self.moment) if moves else None
        return [
            Told(
                each.customer_id,
                self._change(each, rules, cuts),
                causes.get(each.customer_id),
            )
            for each in moves
        ]

    def _change(self, grading: Grading, rules: Rules | None, cuts: Cuts | None) -> TierChanged:
        evidence = grading._asdict()
        del evidence["customer_id"], evidence["since"]
        evidence["more_from_minor"] = list(grading.more_from_minor) or None
        borders = self.method.borders
        return TierChanged(
            scheme=self.method.scheme,
            position=position_of(grading),
            border=borders.passed(grading.from_tier, grading.to_tier),
            reviewed_at=self.moment.at,
            place=borders.tiers.index(grading.to_tier),
            rules=rules,
            cuts=cuts,
            **evidence,
        )

    def misplaced(self, overridden: Iterable[Overridden]) -> list[Told]:
        """Return what goes on record of those whose override was not known in time."""
        tiers = self.method.borders.tiers
        return [
            Told(
                each.customer_id,
                TierChanged(
                    from_tier=each.held or UNGRADED,
                    to_tier=each.tier,
                    scheme=OVERRIDE,
                    position=0,
                    border=None,
                    orders=each.orders,
                    net_minor=each.net_minor,
                    customers=0,
                    reviewed_at=self.moment.at,
                    place=tiers.index(each.tier) if each.tier in tiers else len(tiers),
                ),
                each.caused_by,
            )
            for each in overridden
        ]

    def warned(
        self, ctx: Context, warned: Iterable[Grading], causes: Mapping[int, int]
    ) -> list[Told]:
        """Return what goes on record of those who are warned."""
        warned = list(warned)
        if not warned:
            return []
        gaps = self.method.gaps(ctx, self.moment)
        due_at = self.demotions.due_at(ctx.calendar, self.moment.at)
        return [
            Told(
                each.customer_id,
                TierWarned(
                    tier=each.from_tier,
                    to_tier=each.to_tier,
                    gap_minor=gaps.get(each.customer_id),
                    due_at=due_at,
                    until=str(ctx.calendar.day_of(due_at - 1)),
                    reviewed_at=self.moment.at,
                    net_minor=each.net_minor,
                    basis=self.method.basis,
                ),
                causes.get(each.customer_id),
            )
            for each in warned
        ]

    def kept(self, kept: Iterable[Open], causes: Mapping[int, int]) -> list[Told]:
        """Return what goes on record of those who were warned and have kept their tier."""
        return [
            Told(
                each.customer_id,
                TierKept(
                    tier=each.tier,
                    warned_at=each.since,
                    due_at=each.due_at,
                    reviewed_at=self.moment.at,
                ),
                causes.get(each.customer_id),
            )
            for each in kept
        ]


def position_of(grading: Grading) -> int:
    """Return where a customer stands: a score, or a share in parts per million."""
    if grading.above_minor is None or grading.revenue_minor is None:
        return (grading.recency or 0) + (grading.frequency or 0) + (grading.monetary or 0)
    if grading.revenue_minor == 0:
        return MILLION
    return grading.above_minor * MILLION // grading.revenue_minor
