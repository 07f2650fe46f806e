"""Families: groups of kinds that segments know by a name of their own, such as `orders`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Self

from attrs import field, frozen

from crmcore.domain.feedback import MESSAGE_KINDS

PLACED: Final = "order.placed"
CANCELLED: Final = "order.cancelled"
REFUNDED: Final = "order.refunded"


@frozen(kw_only=True)
class Family:
    """
    What counts as one of some facts.

    Attributes:
        counted: Kinds, and what each adds to the count: 1, or -1 for what undoes another.
        summed: Kinds whose amounts are added up, with the sign they have in the ledger.
        marked: Kinds whose instants are first and last, and that sequences are made of.
        channel: On which they happened; None: on any, or none.
    """

    name: str = field(kw_only=False)
    counted: Mapping[str, int]
    summed: frozenset[str]
    marked: frozenset[str]
    channel: str | None = None

    @classmethod
    def of(cls, name: str, kinds: Iterable[str], *, channel: str | None = None) -> Self:
        """Return the family in which each of *kinds* counts as one."""
        kinds = frozenset(kinds)
        return cls(
            name,
            counted=dict.fromkeys(sorted(kinds), 1),
            summed=kinds,
            marked=kinds,
            channel=channel,
        )

    @property
    def kinds(self) -> frozenset[str]:
        """All kinds that have to do with it."""
        return frozenset(self.counted) | self.summed | self.marked


def _of_messages() -> Iterable[Family]:
    for kind in MESSAGE_KINDS:
        verb = kind.name.partition(".")[2]
        yield Family.of(f"messages.{verb}", [kind.name])
        yield Family.of(f"emails.{verb}", [kind.name], channel="email")


FAMILIES: Final = {
    family.name: family
    for family in (
        # As tiering counts them: placed less cancelled; and money less cancelled and refunded.
        Family(
            "orders",
            counted={PLACED: 1, CANCELLED: -1},
            summed=frozenset({PLACED, CANCELLED, REFUNDED}),
            marked=frozenset({PLACED}),
        ),
        Family.of("cancellations", [CANCELLED]),
        Family.of("refunds", [REFUNDED]),
        Family.of("returns", ["order.returned"]),
        Family.of("views", ["product.viewed"]),
        Family.of("searches", ["catalog.searched"]),
        Family.of("carts", ["cart.changed"]),
        Family.of("checkouts", ["checkout.started"]),
        Family.of("calls", ["call.ended"]),
        Family.of("messages", ["message.sent"]),
        Family.of("emails", ["message.sent"], channel="email"),
        *_of_messages(),
    )
}
