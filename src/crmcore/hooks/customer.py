"""Where plugins say how customers are known, and what they know of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from attrs import frozen

from crmcore.domain.identity import Scheme
from crmcore.hooks.markers import hookspec

if TYPE_CHECKING:
    from crmcore.hooks.context import Context


@frozen
class CustomerAsked:
    """
    Somebody looks at a customer.

    Attributes:
        customer_id: Whom they look at.
    """

    customer_id: int


class CustomerHooks:
    """Where plugins say how customers are known, and what they know of them."""

    @hookspec
    def register_identifiers(self) -> Iterable[Scheme]:
        """
        Contribute schemes by which customers are known, such as a loyalty card's number.

        Called once, at start. Raising stops the start.
        """

    @hookspec
    def describe_customer(self, ctx: Context, event: CustomerAsked) -> Mapping[str, Any] | None:
        """
        Return labelled facts for the customer's page, beyond the plugin's traits.

        Called when a customer is shown. If the plugin raises, its part is shown as missing.
        """
