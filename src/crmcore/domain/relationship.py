"""The default lifecycle: how a shop's relationship with a customer goes on (R3)."""

from __future__ import annotations

from typing import Final

from attrs import field, frozen

from crmcore.domain.lifecycle import ANY, PREVIOUS, AtLeast, AtMost, Edge, Lifecycle, Stage
from crmcore.domain.settings import whole

RELATIONSHIP: Final = "relationship"

_INTENT = ("catalog.searched", "product.viewed", "wishlist.changed", "share.made")
_CART = ("cart.changed", "checkout.started")
_CONTACT = ("account.registered", "service.opened", "call.ended")

STAGES: Final = (
    Stage("anonymous", "pre-sale", "seen, not known yet"),
    Stage("known", "pre-sale", "has an account or spoke with the shop"),
    Stage("engaged", "pre-sale", "looks at products again and again"),
    Stage("shopping", "in-sale", "has an open cart or checkout"),
    Stage("ordering", "in-sale", "waits for an order"),
    Stage("new", "post-sale", "got the first order"),
    Stage("repeat", "post-sale", "got more than one"),
    Stage("loyal", "post-sale", "got many"),
    Stage("at_risk", "post-sale", "quiet for longer than is good"),
    Stage("lapsed", "post-sale", "quiet for so long that they may have left"),
)

_days = whole(least=1)
_orders = whole(least=2)


@frozen(kw_only=True)
class RelationshipSettings:
    """
    The numbers of the default lifecycle: `[relationship]` in crm.toml. All are whole days but two.

    A day count runs from the customer's last sign of life to the next midnight of the shop's zone.

    Attributes:
        engaged_after_views: How many searches, looks at products, wishes and shares make a
            customer `engaged`.
        engaged_quiet_days: After how many quiet days they are no longer that.
        cart_quiet_days: After how many quiet days a cart counts as left.
        delivery_assumed_days: After how many quiet days an order is taken as received.
        loyal_from_orders: How many orders make a customer `loyal`, 2 or more.
        at_risk_quiet_days: After how many quiet days a buyer is `at_risk`.
        lapsed_quiet_days: After how many further days, beyond those, they have `lapsed`.
    """

    engaged_after_views: int = field(default=3, validator=_days)
    engaged_quiet_days: int = field(default=60, validator=_days)
    cart_quiet_days: int = field(default=7, validator=_days)
    delivery_assumed_days: int = field(default=14, validator=_days)
    loyal_from_orders: int = field(default=5, validator=_orders)
    at_risk_quiet_days: int = field(default=90, validator=_days)
    lapsed_quiet_days: int = field(default=90, validator=_days)


def relationship(settings: RelationshipSettings | None = None) -> Lifecycle:
    """Return the default lifecycle with these numbers."""
    numbers = settings or RelationshipSettings()
    loyal = numbers.loyal_from_orders
    received = (
        ("loyal", AtLeast("orders", loyal)),
        ("repeat", AtLeast("orders", 2)),
        ("new", AtMost("orders", 1)),
    )
    assumed = numbers.delivery_assumed_days
    return Lifecycle(
        RELATIONSHIP,
        stages=STAGES,
        counters={
            "orders": {"order.placed": 1, "order.cancelled": -1},
            "intents": dict.fromkeys(_INTENT, 1),
        },
        listens={"order.shipped", "order.returned", "order.refunded", "payment.failed"},
        edges=(
            Edge(source=ANY, target="ordering", on={"order.placed"}, reason="placed an order"),
            Edge(
                source="ordering",
                target=PREVIOUS,
                on={"order.cancelled"},
                reason="called the order off",
            ),
            *(
                Edge(
                    source="ordering",
                    target=stage,
                    on={"order.delivered"},
                    when=when,
                    reason="received the order",
                )
                for stage, when in received
            ),
            *(
                Edge(
                    source="ordering",
                    target=stage,
                    quiet_days=assumed,
                    when=when,
                    reason=f"no word for {assumed} days, so the order is taken as received",
                )
                for stage, when in received
            ),
            *(
                Edge(source=stage.name, target="shopping", on=_CART, reason="opened a cart")
                for stage in STAGES
                if stage.phase != "in-sale"
            ),
            Edge(
                source="shopping",
                target=PREVIOUS,
                quiet_days=numbers.cart_quiet_days,
                reason=f"left the cart for {numbers.cart_quiet_days} days",
            ),
            *(
                Edge(
                    source=stage,
                    target="engaged",
                    on=_INTENT,
                    when=AtLeast("intents", numbers.engaged_after_views),
                    reason="looks at products again and again",
                )
                for stage in ("anonymous", "known")
            ),
            Edge(source="anonymous", target="known", on=_CONTACT, reason="became known"),
            Edge(
                source="engaged",
                target="known",
                quiet_days=numbers.engaged_quiet_days,
                reason=f"quiet for {numbers.engaged_quiet_days} days",
            ),
            *(
                Edge(
                    source=stage,
                    target="at_risk",
                    quiet_days=numbers.at_risk_quiet_days,
                    reason=f"quiet for {numbers.at_risk_quiet_days} days",
                )
                for stage in ("new", "repeat", "loyal")
            ),
            Edge(
                source="at_risk",
                target="lapsed",
                quiet_days=numbers.lapsed_quiet_days,
                reason=f"quiet for {numbers.lapsed_quiet_days} days more",
            ),
        ),
    )
