"""Forms: trees of segments as values of JSON, and back."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal, InvalidOperation
from functools import cache
from types import UnionType
from typing import Any, Final, get_args

import attrs
import cattrs

from crmcore.domain.segments.tree import (
    AllOf,
    Amount,
    AnyOf,
    Condition,
    Count,
    DaysSince,
    Duration,
    Everyone,
    InSegment,
    Mention,
    NotOf,
    Sequence,
    Sum,
    TraitIs,
    When,
)
from crmcore.domain.structuring import strict_converter, structuring_problems
from crmcore.errors import SegmentError, nearest

_IS: Final = "is"
_CONDITIONS: Final[dict[str, type[Any]]] = {
    "all_of": AllOf,
    "any_of": AnyOf,
    "not": NotOf,
    "everyone": Everyone,
    "mention": Mention,
    "trait": TraitIs,
    "count": Count,
    "sum": Sum,
    "when": When,
    "days_since": DaysSince,
    "sequence": Sequence,
    "segment": InSegment,
}
_NAMES: Final = {cls: name for name, cls in _CONDITIONS.items()}


def to_json(condition: Condition) -> dict[str, Any]:
    """Return a tree as dicts, lists, texts and numbers, without where it stood in a text."""
    found: dict[str, Any] = _plain(condition)
    return found


def from_json(value: object) -> Condition:
    """
    Return the tree that `to_json` made *value* of.

    Raises:
        SegmentError: Names the fields that are not right.
    """
    try:
        return _condition(value, None)
    except RecursionError as error:
        raise SegmentError("the segment is nested too deeply") from error
    except Exception as error:
        raise SegmentError(
            f"the segment is not right: {'; '.join(structuring_problems(error))}"
        ) from error


def _plain(value: Any) -> Any:
    """Return a value of JSON for a node, or for what one holds."""
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    if isinstance(value, Decimal):
        return {"decimal": f"{value:f}"}
    if isinstance(value, date):
        return {"date": value.isoformat()}
    if not attrs.has(type(value)):
        return value
    name = _NAMES.get(type(value))
    fields = {
        field.name: _plain(getattr(value, field.name))
        for field in attrs.fields(type(value))
        if field.eq  # not where it stood
    }
    return fields if name is None else {_IS: name, **fields}


@cache
def _converter() -> cattrs.Converter:
    converter = strict_converter()
    converter.register_structure_hook(Decimal, _decimal)
    converter.register_structure_hook(date, lambda value, _: _date(value))
    converter.register_structure_hook_func(lambda wanted: _has(wanted, AllOf), _condition)
    converter.register_structure_hook_func(lambda wanted: _has(wanted, bool), _value)
    converter.register_structure_hook_func(lambda wanted: _has(wanted, date), _instant)
    return converter


def _has(wanted: object, member: type) -> bool:
    """Return whether a type is a union with *member* in it."""
    return isinstance(wanted, UnionType) and member in get_args(wanted)


def _condition(value: object, _: object) -> Condition:
    if not isinstance(value, Mapping) or value.get(_IS) not in _CONDITIONS:
        found = value.get(_IS) if isinstance(value, Mapping) else value
        raise ValueError(
            f"{found!r} found{nearest(found, _CONDITIONS)}; a table whose {_IS!r} is one of "
            f"{', '.join(_CONDITIONS)} is expected"
        )
    rest = {name: each for name, each in value.items() if name != _IS}
    made: Condition = _converter().structure(rest, _CONDITIONS[value[_IS]])
    return made


def _value(value: object, wanted: object) -> Any:
    if isinstance(value, list) and wanted != Decimal:
        return tuple(_value(each, Decimal) for each in value)
    if isinstance(value, Mapping):
        if "decimal" in value:
            return _decimal(value, None)
        return _converter().structure(value, Amount)
    if type(value) in (bool, int, str):
        return value
    raise TypeError(f"{value!r} is no value of a segment")


def _decimal(value: object, _: object) -> Decimal:
    text = value.get("decimal") if isinstance(value, Mapping) and len(value) == 1 else None
    try:
        number = Decimal(text) if isinstance(text, str) else Decimal("NaN")
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite():
        raise ValueError(f'{value!r} found; {{"decimal": "19.90"}} or such is expected')
    return number


def _instant(value: object, _: object) -> Duration | date:
    if isinstance(value, Mapping) and "date" not in value:
        return _converter().structure(value, Duration)
    return _date(value)


def _date(value: object) -> date:
    text = value.get("date") if isinstance(value, Mapping) and len(value) == 1 else None
    if not isinstance(text, str):
        raise TypeError(f'{value!r} found; {{"date": "2026-01-31"}} or such is expected')
    return date.fromisoformat(text)
