"""Money: integer minor units and an ISO 4217 code, never a float."""

from __future__ import annotations

import re
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation

from attrs import field, frozen

from crmcore.errors import MoneyError

# ISO 4217 gives most currencies two decimal places; these have others.
_EXPONENTS = {
    **dict.fromkeys(
        "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF".split(), 0
    ),
    **dict.fromkeys("BHD IQD JOD KWD LYD OMR TND".split(), 3),
    **dict.fromkeys("CLF UYW".split(), 4),
}
_CODE = re.compile(r"[A-Z]{3}\Z")
_LARGEST = 2**63 - 1  # what a 64-bit column holds


def check_currency(code: str) -> str:
    """Return *code* if it has the shape of an ISO 4217 code, such as `EUR`."""
    if not _CODE.match(code):
        raise MoneyError(f"{code!r} is not a currency; an ISO 4217 code such as 'EUR' is expected")
    return code


def exponent_of(currency: str) -> int:
    """Return how many decimal places the currency's major unit has."""
    return _EXPONENTS.get(currency, 2)


@frozen(order=False)
class Money:
    """An amount in minor units (cents, yen) of one currency."""

    amount_minor: int = field()
    currency: str = field(converter=check_currency)

    @amount_minor.validator
    def _fits(self, _: object, value: int) -> None:
        if type(value) is not int:
            raise MoneyError(
                f"{value!r} is not an amount in minor units; give an int, "
                "or use Money.of('11.77', 'EUR')"
            )
        if abs(value) > _LARGEST:
            raise MoneyError(f"{value} minor units do not fit in 64 bits")

    @classmethod
    def of(cls, amount: str | int | Decimal, currency: str) -> Money:
        """
        Return the money for an *amount* in major units, such as `"11.77"`.

        Raises:
            MoneyError: If it is no number, or finer than the currency's minor unit.
        """
        places = exponent_of(check_currency(currency))
        try:
            minor = Decimal(amount).scaleb(places)
            whole = int(minor)
        except (InvalidOperation, ValueError, OverflowError) as error:
            raise MoneyError(f"{amount!r} is not an amount of {currency}") from error
        if minor != whole:
            raise MoneyError(
                f"{amount!r} {currency} is finer than the currency's {places} decimal places"
            )
        return cls(whole, currency)

    def convert(self, rate: Decimal, currency: str) -> Money:
        """Return this in another currency; *rate* is major units of it for one major unit here."""
        places = exponent_of(currency) - exponent_of(self.currency)
        exact = (Decimal(self.amount_minor) * rate).scaleb(places)
        return Money(int(exact.to_integral_value(ROUND_HALF_EVEN)), currency)

    def __str__(self) -> str:
        places = exponent_of(self.currency)
        return f"{Decimal(self.amount_minor).scaleb(-places):,.{places}f} {self.currency}"
