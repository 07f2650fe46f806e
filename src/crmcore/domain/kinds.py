"""The kinds of interactions every shop has; plugins register more."""

from __future__ import annotations

from typing import Final

from attrs import frozen

from crmcore.domain.consent import CONSENT_KINDS
from crmcore.domain.feedback import MESSAGE_KINDS
from crmcore.domain.kind import Kind, personal
from crmcore.domain.structuring import Erased
from crmcore.domain.task import TASK_KINDS


@frozen(kw_only=True)
class Searched:
    query: str
    result_count: int | None = None


@frozen(kw_only=True)
class ProductViewed:
    product: str
    variant: str | None = None


@frozen(kw_only=True)
class CartChanged:
    cart: str
    reason: str | None = None


@frozen(kw_only=True)
class WishlistChanged:
    product: str
    operation: str


@frozen(kw_only=True)
class ShareMade:
    object: str
    medium: str | None = None


@frozen(kw_only=True)
class CheckoutStarted:
    checkout: str
    cart: str | None = None


@frozen(kw_only=True)
class PaymentFailed:
    order: str
    reason: str | None = None


@frozen(kw_only=True)
class Order:
    """An order or what became of it; the shop's number stands in `order`, if it has one."""

    order: str | None = None
    quantity: int | None = None
    note: str | Erased | None = personal(default=None)


@frozen(kw_only=True)
class OrderUndone:
    """A refund, return or cancellation; *order* names the order it undoes."""

    order: str | None = None
    reason: str | None = None


@frozen(kw_only=True)
class Shipment:
    order: str | None = None
    carrier: str | None = None
    promised_on: str | None = None


@frozen(kw_only=True)
class AccountRegistered:
    method: str | None = None


@frozen(kw_only=True)
class ServiceOpened:
    case: str
    topic: str | None = None
    text: str | Erased | None = personal(default=None)


@frozen(kw_only=True)
class CallEnded:
    direction: str
    duration_seconds: int | None = None


@frozen(kw_only=True)
class StageRefused:
    """A change of stage that a guard refused, and why."""

    lifecycle: str
    subject: str
    from_stage: str
    to_stage: str
    evidence: str
    reasons: list[str]


STAGE_REFUSED: Final = "stage.refused"

# Aliases are the event names of Segment's e-commerce specification, version 2, so that a shop's
# existing trackers work unchanged.
CORE_KINDS: Final = (
    Kind(
        "catalog.searched",
        payload=Searched,
        aliases=("Products Searched",),
        description="Somebody searched the shop.",
    ),
    Kind(
        "product.viewed",
        payload=ProductViewed,
        aliases=("Product Viewed",),
        description="Somebody looked at a product.",
    ),
    Kind(
        "wishlist.changed",
        payload=WishlistChanged,
        description="Something was put on a wish list, or taken from it.",
    ),
    Kind(
        "share.made",
        payload=ShareMade,
        aliases=("Product Shared",),
        description="Somebody told others of something in the shop.",
    ),
    Kind(
        "account.registered",
        payload=AccountRegistered,
        aliases=("Signed Up",),
        description="Somebody opened an account.",
    ),
    Kind(
        "cart.changed",
        payload=CartChanged,
        aliases=("Cart Viewed",),
        description="A cart was filled, changed or looked at.",
    ),
    Kind(
        "checkout.started",
        payload=CheckoutStarted,
        aliases=("Checkout Started",),
        description="Somebody began to check out.",
    ),
    Kind(
        "payment.failed",
        payload=PaymentFailed,
        description="A payment did not go through.",
    ),
    Kind(
        "order.placed",
        payload=Order,
        aliases=("Order Completed",),
        sign=1,
        description="An order was placed; its amount adds to what the customer spent.",
    ),
    Kind(
        "order.shipped",
        payload=Shipment,
        follows=True,
        description="An order was sent on its way.",
    ),
    Kind(
        "order.delivered",
        payload=Shipment,
        follows=True,
        description="An order arrived.",
    ),
    Kind(
        "order.cancelled",
        payload=OrderUndone,
        aliases=("Order Cancelled",),
        sign=-1,
        follows=True,
        description="An order was called off; its amount is taken away again.",
    ),
    Kind(
        "order.refunded",
        payload=OrderUndone,
        aliases=("Order Refunded",),
        sign=-1,
        follows=True,
        description="Money was paid back for an order or a part of it.",
    ),
    Kind(
        "order.returned",
        payload=OrderUndone,
        follows=True,
        description="Goods came back; see also refunds.",
    ),
    Kind(
        "service.opened",
        payload=ServiceOpened,
        description="A customer asked for something, or complained.",
    ),
    Kind(
        "call.ended",
        payload=CallEnded,
        description="A customer and the shop spoke on the phone.",
    ),
    Kind(
        STAGE_REFUSED,
        payload=StageRefused,
        description="A guard kept a customer in their stage.",
    ),
    *CONSENT_KINDS,
    *MESSAGE_KINDS,
    *TASK_KINDS,
)
"""In the order in which they happen within one instant, which decides between equal times."""

RANKS: Final = {kind.name: place for place, kind in enumerate(CORE_KINDS)}
"""Those places. Kinds of plugins come after them: no place changes when another plugin joins."""
