"""Measured: values of many customers at one instant, such as how often each has ordered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

from attrs import frozen

from crmcore.domain.segments.names import Names
from crmcore.domain.segments.tree import (
    Compared,
    Count,
    DaysSince,
    Sum,
    TraitIs,
    is_plain,
    quoted,
)
from crmcore.domain.segments.types import MINOR

Unit = Literal["", "minor", "days"]
_NO_UNIT: Final = ""


@frozen
class MeasuredColumn:
    """
    What was asked of each customer.

    Attributes:
        name: As it stands in a segment's text, with every name in full.
        type: Of its values: int, float, bool or str.
        unit: `minor` of amounts, in the shop's currency; `days`; or nothing.
    """

    name: str
    type: type
    unit: Unit = _NO_UNIT


@frozen
class Measured:
    """
    Measures of some customers, as of one instant.

    Attributes:
        columns: What was asked, in its order.
        rows: For each customer the id, and the value of each measure. None stands where nothing
            has happened from which days could be counted.
        currency: Of the amounts among them.
    """

    columns: Sequence[MeasuredColumn]
    rows: Sequence[tuple[Any, ...]]
    currency: str


def measured_column(measure: Compared, names: Names) -> MeasuredColumn:
    """Return the column of a measure that was checked."""
    match measure:
        case TraitIs(trait):
            unit: Unit = "minor" if trait.endswith(MINOR) else _NO_UNIT
            name = trait if is_plain(trait) else f"trait({quoted(trait)})"
            return MeasuredColumn(name, names.traits[trait].type, unit)
        case Count(facts):
            return MeasuredColumn(f"{facts}.count", int)
        case Sum(facts):
            return MeasuredColumn(f"{facts}.sum", int, "minor")
        case DaysSince(facts, which):
            return MeasuredColumn(f"days_since({facts}.{which})", int, "days")
