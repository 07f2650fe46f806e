"""What if: who would move under other settings, and what that would cost; nothing is written."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from attrs import frozen

from crmcore import Context
from crmcore_tiering.reviews import Reviews
from crmcore_tiering.tiers import Tier


@frozen(kw_only=True)
class Mover:
    """
    A customer who would change tier.

    Attributes:
        from_tier: `none` for who has none yet.
        net_minor: What counts for them.
    """

    customer_id: int
    from_tier: str
    to_tier: str
    net_minor: int


@frozen(kw_only=True)
class Move:
    """
    Everyone who would move from one tier to another.

    Attributes:
        customers: How many they are.
        net_minor: What counts for them together.
        cost_minor: What the benefits of the new tier cost for them in a year, less those of the old
            one; below zero where that saves something.
    """

    from_tier: str
    to_tier: str
    customers: int
    net_minor: int
    cost_minor: int


@frozen(kw_only=True)
class WhatIf:
    """
    What a review by other settings would do.

    Attributes:
        at: The instant it is for, in microseconds.
        movers: Who would change tier, by id.
        moves: The same by tiers, the most customers first.
    """

    at: int
    movers: tuple[Mover, ...]
    moves: tuple[Move, ...]

    @property
    def cost_minor(self) -> int:
        """What the benefits would cost in a year beyond what they cost now."""
        return sum(move.cost_minor for move in self.moves)

    def __str__(self) -> str:
        """Say it in a line for each pair of tiers."""
        if not self.moves:
            return "Nobody would change tier."
        return "\n".join(
            f"{move.customers} from {move.from_tier} to {move.to_tier}, with {move.net_minor} "
            f"minor units of net revenue; benefits {move.cost_minor:+} a year"
            for move in self.moves
        )


def what_if(
    ctx: Context, reviews: Reviews, tiers: Mapping[str, Tier], at: int, *, is_past: bool
) -> WhatIf:
    """
    Return who would change tier in a review at an instant: at once, with nobody warned before.

    In the past, everyone has the tier they had then, and what was recorded by then counts.
    """
    moment = reviews.moment(
        ctx, at, recorded_before=at + 1, late=is_past or ctx.has_debt, as_of=is_past
    )
    by_staff = {each.customer_id for each in reviews.overridden(ctx, moment)}
    movers = tuple(
        Mover(
            customer_id=each.customer_id,
            from_tier=each.from_tier,
            to_tier=each.to_tier,
            net_minor=each.net_minor,
        )
        for each in reviews.method.gradings(ctx, moment)
        if each.customer_id not in by_staff
    )
    grouped: dict[tuple[str, str], list[Mover]] = defaultdict(list)
    for mover in movers:
        grouped[mover.from_tier, mover.to_tier].append(mover)

    def cost_of(tier: str) -> int:
        return tiers[tier].cost_minor if tier in tiers else 0

    moves = [
        Move(
            from_tier=old,
            to_tier=new,
            customers=len(those),
            net_minor=sum(each.net_minor for each in those),
            cost_minor=(cost_of(new) - cost_of(old)) * len(those),
        )
        for (old, new), those in grouped.items()
    ]
    moves.sort(key=lambda move: (-move.customers, move.from_tier, move.to_tier))
    return WhatIf(at=at, movers=movers, moves=tuple(moves))
