"""Where plugins answer for what they know of a customer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from attrs import frozen

from crmcore.hooks.markers import hookspec

if TYPE_CHECKING:
    from crmcore.hooks.context import Context


@frozen
class CustomerAsked:
    """Somebody looks at a customer."""

    customer_id: int


class CustomerHooks:
    """Where plugins answer for what they know of a customer."""

    @hookspec
    def describe_customer(self, ctx: Context, event: CustomerAsked) -> Mapping[str, Any] | None:
        """
        Return labelled facts for the customer's page, beyond the plugin's traits.

        Called when a customer is shown. If the plugin raises, its part is shown as missing.
        """
