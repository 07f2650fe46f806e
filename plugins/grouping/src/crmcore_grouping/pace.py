"""Pace: how far a customer has been looked at, and what is to be looked at next."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

from attrs import define, field
from sqlalchemy import bindparam, select

from crmcore import Context
from crmcore_grouping.domain import Grid
from crmcore_grouping.groups import ALL, FLIP, Groups
from crmcore_grouping.portable import is_listed, listed
from crmcore_grouping.tables import look

_looked: Final = select(look.c.customer_id, look.c.looked_at, look.c.flips_at).where(
    is_listed(look.c.customer_id, bindparam("customers"))
)
NEVER: Final = -(2**63)


@define
class Pace:
    """
    How far a customer has been looked at.

    Attributes:
        looked_at: The instant of the last look; `NEVER` before the first.
        flips_at: The fixed instant at which time alone may change a group; None: there is none.
        slots: What led to a look, by the fixed instant after it was recorded.
    """

    looked_at: int
    flips_at: int | None
    slots: dict[int, set[str]] = field(factory=dict)

    @property
    def due(self) -> int | None:
        """The instant of the next look, as far as anybody knows."""
        ahead = [*self.slots, *([] if self.flips_at is None else [self.flips_at])]
        return min(ahead, default=None)

    def add(self, slot: int, key: str) -> None:
        """Note what is to be looked at."""
        if slot > self.looked_at:
            self.slots.setdefault(slot, set()).add(key)

    def take(self, at: int) -> set[str]:
        """
        Return what is to be looked at at an instant, which is not ahead any more.

        Several things together are everything, as one statement costs less than two.
        """
        keys = self.slots.pop(at, set())
        if self.flips_at == at:
            keys.add(FLIP)
        self.looked_at, self.flips_at = at, None
        return {ALL} if len(keys) > 1 else keys


def paces(
    ctx: Context,
    groups: Groups,
    grid: Grid,
    customers: Collection[int],
    asked: Iterable[tuple[int, str]],
    at: int,
) -> dict[int, Pace]:
    """
    Return how far customers have been looked at, and what was recorded for them since.

    What they missed stands in the ledger, so it does not matter who was told of it. *asked* says
    what else is to be looked at, and of whom, at *at*; who is looked at for everything has
    nothing to catch up with.
    """
    found = {
        customer: Pace(looked_at, flips_at)
        for customer, looked_at, flips_at in ctx.execute(_looked, customers=listed(customers))
    }
    for customer in customers:
        found.setdefault(customer, Pace(NEVER, None))
    for customer, key in asked:
        if key == ALL and found[customer].looked_at < at:
            found[customer] = Pace(at - grid.step, None)
        found[customer].add(at, key)
    since = min(each.looked_at for each in found.values())
    for customer, kind, recorded in ctx.segments.recorded(customers, since):
        led_to = groups.key_of(kind)
        if led_to is not None and recorded >= found[customer].looked_at:
            found[customer].add(grid.after(recorded), led_to)
    return found
