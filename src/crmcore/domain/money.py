"""Money: integer minor units and an ISO 4217 code, never a float."""

from __future__ import annotations

import re
from decimal import (
    ROUND_HALF_EVEN,
    Context,
    Decimal,
    DivisionByZero,
    Inexact,
    InvalidOperation,
    Overflow,
)

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
_DIGITS = 19  # of the largest

# The shop may compute with whatever precision it likes. Here, what cannot be exact is an error;
# an amount of 19 digits times a rate of 61 still is.
_EXACT = Context(
    prec=80,
    rounding=ROUND_HALF_EVEN,
    Emin=-999_999,
    Emax=999_999,
    capitals=1,
    clamp=0,
    flags=[],
    traps=[InvalidOperation, DivisionByZero, Overflow, Inexact],
)


def check_currency(code: object) -> str:
    """Return *code* if it has the shape of an ISO 4217 code, such as `EUR`."""
    if not isinstance(code, str) or not _CODE.match(code):
        raise MoneyError(f"{code!r} is not a currency; an ISO 4217 code such as 'EUR' is expected")
    return code


def exponent_of(currency: str) -> int:
    """Return how many decimal places the currency's major unit has."""
    return _EXPONENTS.get(currency, 2)


@frozen(order=False)
class Money:
    """
    An amount in minor units (cents, yen) of one currency.

    Attributes:
        amount_minor: In cents, yen, and so on.
        currency: An ISO 4217 code, such as `EUR`.
    """

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
            MoneyError: If it is no number, finer than the currency's minor unit, or too large; and
                for a float, which cannot hold most prices.
        """
        places = exponent_of(check_currency(currency))
        if isinstance(amount, bool) or not isinstance(amount, str | int | Decimal):
            cure = f"; give text, such as '{amount}'" if isinstance(amount, float) else ""
            raise MoneyError(
                f"{amount!r} is not an amount of {currency}: {type(amount).__name__} found, "
                f"text, int or Decimal expected{cure}"
            )
        try:
            minor = _EXACT.scaleb(_EXACT.create_decimal(amount), places)
        except (ArithmeticError, ValueError) as error:
            raise MoneyError(
                f"{amount!r} is not an amount of {currency}; a number such as 19.90 is expected"
            ) from error
        if not minor.is_finite():
            raise MoneyError(f"{amount!r} is not an amount of {currency}; a number is expected")
        if minor and minor.adjusted() >= _DIGITS:
            raise MoneyError(f"{amount!r} {currency} does not fit in 64 bits of minor units")
        whole = minor.to_integral_value(context=_EXACT)
        if minor != whole:
            raise MoneyError(
                f"{amount!r} {currency} is finer than the currency's {places} decimal places"
            )
        return cls(int(whole), currency)

    def convert(self, rate: Decimal, currency: str) -> Money:
        """
        Return this in another currency, computed exactly and rounded half to even.

        Args:
            rate: Major units of the other currency for one major unit of this one.
            currency: The other one.

        Raises:
            MoneyError: If the rate is no positive number, or the amount does not fit in 64 bits.
        """
        places = exponent_of(check_currency(currency)) - exponent_of(self.currency)
        given: object = rate
        if not isinstance(given, Decimal) or not given.is_finite() or given <= 0:
            raise MoneyError(f"{rate!r} is not a rate; a Decimal greater than 0 is expected")
        try:
            exact = _EXACT.scaleb(_EXACT.multiply(Decimal(self.amount_minor), rate), places)
        except ArithmeticError as error:
            raise MoneyError(f"{self} cannot be converted at a rate of {rate}") from error
        if exact and exact.adjusted() >= _DIGITS:
            raise MoneyError(f"{self} at a rate of {rate} does not fit in 64 bits of minor units")
        return Money(int(exact.to_integral_value(context=_EXACT)), currency)

    def __str__(self) -> str:
        places = exponent_of(self.currency)
        sign = "-" if self.amount_minor < 0 else ""
        major, minor = divmod(abs(self.amount_minor), 10**places)
        return f"{sign}{major:,}{f'.{minor:0{places}}' if places else ''} {self.currency}"
