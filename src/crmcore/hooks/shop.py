"""What only the shop can answer; it does so by being a plugin itself."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from attrs import frozen

from crmcore.hooks.markers import hookspec

if TYPE_CHECKING:
    from crmcore.hooks.context import Context


@frozen(kw_only=True)
class ExchangeRateWanted:
    """
    An amount is in another currency than the shop's.

    Attributes:
        currency: That of the amount, an ISO 4217 code.
        base: The shop's own.
        at: When it happened, in microseconds.
    """

    currency: str
    base: str
    at: int


class ShopHooks:
    """What only the shop can answer; it does so by being a plugin itself."""

    @hookspec
    def choose_exchange_rate(self, ctx: Context, event: ExchangeRateWanted) -> Decimal | None:
        """
        Return how many units of the base currency one unit of the other is worth.

        Called when an amount in another currency is recorded; the result is frozen with the
        interaction. The first answer that is not None counts. If the plugin raises, the next
        one is asked; if none answers, the amount counts nowhere until it is corrected.
        """
