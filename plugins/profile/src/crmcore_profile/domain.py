"""Statements: what somebody said, saw or guessed of a customer, and what goes on record of it."""

from __future__ import annotations

from typing import Any, Final

from attrs import Attribute, field, frozen

from crmcore import Erased, personal

DECLARED: Final = "profile.declared"
OBSERVED: Final = "profile.observed"
INFERRED: Final = "profile.inferred"
WITHDRAWN: Final = "profile.withdrawn"
ASKED: Final = "profile.asked"

ORIGINS: Final = {DECLARED: "declared", OBSERVED: "observed", INFERRED: "inferred"}
"""Where a value comes from, by kind; the most trusted first."""

TRUST: Final = {"declared": 3, "observed": 2, "inferred": 1}
"""How far each origin is trusted; a declared value comes before any other."""

CONFIDENCE: Final = {"declared": 100, "observed": 100, "inferred": 50}
"""In percent, where nobody says."""

TAKEN_BACK: Final = "withdrawn"
"""Stands for the origin of a statement that takes back what was stated before."""

EVERY: Final = ""
"""Stands for the value where all values of an attribute are taken back."""

DAY: Final = 86_400_000_000
"""Microseconds in a day of 24 hours."""

LONGEST: Final = 500
"""Characters of a value."""


def _percent(_: Any, attribute: Attribute[Any], value: Any) -> None:
    if value is not None and not 0 <= value <= 100:
        raise ValueError(f"{value} found, percent from 0 to 100 expected")


def _short(_: Any, attribute: Attribute[Any], value: Any) -> None:
    if isinstance(value, str) and not 0 < len(value) <= LONGEST:
        raise ValueError(f"{len(value)} characters found, 1 to {LONGEST} expected")


@frozen(kw_only=True)
class Stated:
    """
    A customer has a value, as they said, the shop saw, or somebody guessed.

    Attributes:
        attribute: Which, such as `birthday`, as it stands in the settings.
        value: As text in the form of the attribute's type, such as `1984-05-17`.
        confidence: How sure it is, in percent; None: 100, or 50 of what is inferred.
        as_of: Since when it is known to be so, in microseconds; None: when it was stated.
    """

    attribute: str = field(validator=_short)
    value: str | Erased = personal(validator=_short)
    confidence: int | None = field(default=None, validator=_percent)
    as_of: int | None = None


@frozen(kw_only=True)
class TakenBack:
    """
    What was stated by then no longer counts.

    Attributes:
        attribute: Of which attribute.
        value: Of many values, which one; None: all of them.
        as_of: Statements up to this instant are taken back, in microseconds; None: by now.
    """

    attribute: str = field(validator=_short)
    value: str | Erased | None = personal(default=None, validator=_short)
    as_of: int | None = None


@frozen(kw_only=True)
class Asked:
    """A customer was asked for an attribute, in a form, on the phone, or in a message."""

    attribute: str = field(validator=_short)


@frozen(kw_only=True)
class Question:
    """
    What to ask a customer next.

    Attributes:
        attribute: For which attribute.
        wording: The question, as the settings have it.
        worth: How much the answer counts for completeness: the attribute's weight.
        reason: `missing`, or `stale` where there is a value that has grown old.
        times: How often it was asked before.
    """

    attribute: str
    wording: str
    worth: int
    reason: str
    times: int
