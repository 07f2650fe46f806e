"""The forms in which a mapping file may say a setting: in short, as text, or as a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import NoneType
from typing import Any, Literal, Union, get_args, get_origin

import cattrs
from attrs import define
from cattrs.gen import make_dict_structure_fn

from crmcore.domain.structuring import strict_converter
from crmcore.errors import nearest
from crmcore.replay.columns import Column, Constant, Given
from crmcore.replay.conditions import AllOf, AnyOf, condition_from
from crmcore.replay.mapping_parts import Columns, KindColumn, LineNumber, Time, UnitPriced


def mapping_converter() -> cattrs.Converter:
    """Return what turns TOML into a mapping; its errors are for `structuring_problems`."""
    converter = strict_converter()
    forms = _Forms(converter)
    by_type: dict[Any, Callable[[Given, Any], Given]] = {
        Column: forms.column,
        Columns: forms.columns,
        Time: forms.time,
        AllOf: forms.every_condition,
        AnyOf: forms.any_condition,
        str | Column: forms.text_or_column,
        str | KindColumn: forms.kind,
        Column | UnitPriced: forms.amount,
        Column | Constant: forms.column_or_constant,
        Mapping[str, Column | Constant] | Column: forms.payload,
        Columns | LineNumber: forms.key,
        str | int | float | bool: _scalar,
    }
    converter.register_structure_hook_func(_is_literal, _one_of)
    for wanted, hook in by_type.items():
        converter.register_structure_hook_func(_is_like(wanted), hook)
    return converter


@define(eq=False)
class _Forms:
    """The hooks of one converter: each takes what the file gives, and the type that is wanted."""

    _converter: cattrs.Converter

    def _table(self, given: Given, cls: type) -> Given:
        structure: Callable[[Given, type], Given] = make_dict_structure_fn(
            cls, self._converter, _cattrs_forbid_extra_keys=True
        )
        return structure(given, cls)

    def column(self, given: Given, _: object = None) -> Column:
        if isinstance(given, str):
            given = {"column": given}
        if not isinstance(given, Mapping):
            raise TypeError(f"{given!r} is not the name of a column")
        column: Column = self._table(given, Column)
        return column

    def columns(self, given: Given, _: object = None) -> Columns:
        if not isinstance(given, list):
            return (self.column(given),)
        if not given:
            raise ValueError("the list of columns is empty")
        return tuple(self.column(item) for item in given)

    def time(self, given: Given, _: object) -> Time:
        if not isinstance(given, Mapping):
            return Time(column=self.columns(given))
        time: Time = self._table(given, Time)
        return time

    def text_or_column(self, given: Given, _: object) -> str | Column:
        return given if isinstance(given, str) else self.column(given)

    def kind(self, given: Given, _: object) -> str | KindColumn:
        return given if isinstance(given, str) else self._converter.structure(given, KindColumn)

    def amount(self, given: Given, _: object) -> Column | UnitPriced:
        if isinstance(given, Mapping) and given.keys() & {"quantity", "unit_price"}:
            return self._converter.structure(given, UnitPriced)
        return self.column(given)

    def column_or_constant(self, given: Given, _: object) -> Column | Constant:
        if isinstance(given, Mapping) and "value" in given:
            return self._converter.structure(given, Constant)
        return Constant(given) if isinstance(given, bool | int | float) else self.column(given)

    def payload(self, given: Given, _: object) -> Mapping[str, Column | Constant] | Column:
        if isinstance(given, str):
            return self.column(given)
        fields: dict[str, Column | Constant] = self._converter.structure(given, _PAYLOAD)
        return fields

    def key(self, given: Given, _: object) -> Columns | LineNumber:
        if isinstance(given, Mapping) and "column" not in given:
            return self._converter.structure(given, LineNumber)
        return self.columns(given)

    def every_condition(self, given: Given, _: object) -> AllOf:
        items = given if isinstance(given, list) else [given]
        if not items:
            raise ValueError("the list of conditions is empty, so every row would do")
        return AllOf(tuple(condition_from(item, self.column) for item in items))

    def any_condition(self, given: Given, _: object) -> AnyOf:
        items = given if isinstance(given, list) else [given]
        return AnyOf(tuple(condition_from(item, self.column) for item in items))


_PAYLOAD: Any = dict[str, Union[Column, Constant]]  # noqa: UP007


def _scalar(given: Given, _: object) -> Given:
    if not isinstance(given, str | int | float):
        raise TypeError(f"{given!r} is not text, a number, true or false")
    return given


def _one_of(given: Given, wanted: Any) -> Given:
    known = get_args(wanted)
    if given not in known or type(given) is not type(known[0]):
        listed = ", ".join(str(name).lower() for name in known)
        raise ValueError(f"{given!r} is not one of: {listed}{nearest(str(given), map(str, known))}")
    return given


def _is_literal(wanted: Any) -> bool:
    origin: object = get_origin(wanted)
    return origin is Literal


def _is_like(wanted: Any) -> Callable[[Any], bool]:
    """Return whether a type is the wanted one; unions are alike in any order, and with None."""
    parts = _parts(wanted)
    return lambda other: _parts(other) == parts


def _parts(wanted: Any) -> frozenset[object]:
    origin: object = get_origin(wanted)
    if origin is Union or origin is _UNION:
        return frozenset(get_args(wanted)) - {NoneType}
    return frozenset([wanted])


_UNION: object = get_origin(int | str)
