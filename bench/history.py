"""History: the orders of an invented shop, the same in every run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import islice
from random import Random

from attrs import Factory, field, frozen

from crmcore import Crm, Draft, Identifier, Line, VirtualClock
from crmcore.domain.clock import EPOCH, to_instant

START = EPOCH + timedelta(days=365 * 50)
LENGTH = timedelta(weeks=78)


@frozen(kw_only=True)
class History:
    """
    Orders of one line each, in time order, by customers who differ in how often they buy.

    Attributes:
        newcomers: Whether every order is the first one of a customer of its own.
        first: The number of the first order, so that two histories share no key.
        starts_at: When it begins.
        pace: From one order to the next.
    """

    customers: int
    interactions: int
    newcomers: bool = False
    first: int = 0
    starts_at: datetime = START
    pace: timedelta = field(
        default=Factory(lambda self: LENGTH / self.interactions, takes_self=True)
    )

    def drafts(self) -> Iterator[Draft]:
        """Yield the orders, one by one, so that none of them waits in memory."""
        random = Random(self.first)
        for number in range(self.first, self.first + self.interactions):
            # Few buy much and many buy little: the square of an even spread.
            buyer = int(self.customers * random.random() ** 2)
            product = int(1_000 * random.random() ** 2)
            quantity = 1 + int(3 * random.random())
            name = f"order-{number}" if self.newcomers else f"buyer-{buyer}"
            yield Draft(
                "order.placed",
                identifiers=(Identifier("email", f"{name}@example.com"),),
                occurred_at=self.starts_at + (number - self.first) * self.pace,
                lines=(
                    Line(
                        product=f"P{product:04}",
                        category=f"category-{product % 20}",
                        quantity=quantity,
                        amount_minor=quantity * (500 + 7 * product),
                        key="1",
                    ),
                ),
                payload={"order": str(number), "quantity": quantity},
                source="shop",
                source_key=f"order-{number}",
                subject=f"order:{number}",
            )

    def batches(self, size: int) -> Iterator[list[Draft]]:
        """Yield the orders in lists of *size*."""
        drafts = self.drafts()
        while batch := list(islice(drafts, size)):
            yield batch

    def clock(self) -> VirtualClock:
        """Return a clock that stands where the history begins."""
        return VirtualClock(to_instant(self.starts_at))

    def following(self, interactions: int, *, newcomers: bool) -> History:
        """Return what comes next, at the same pace."""
        return History(
            customers=self.customers,
            interactions=interactions,
            newcomers=newcomers,
            first=self.first + self.interactions,
            starts_at=self.ends_at(),
            pace=self.pace,
        )

    def ends_at(self) -> datetime:
        return self.starts_at + self.interactions * self.pace


def advance(clock: VirtualClock, batch: Sequence[Draft]) -> None:
    """Move the clock to the last order of *batch*, as if it were recorded when it happened."""
    last = batch[-1].occurred_at
    if last is not None:
        clock.advance_to(to_instant(last))


def load(crm: Crm, clock: VirtualClock, history: History, *, size: int = 5_000) -> None:
    """Record *history* in bulk; what falls due on the way happens."""
    for batch in history.batches(size):
        advance(clock, batch)
        crm.run_due()
        crm.record_many(batch)
