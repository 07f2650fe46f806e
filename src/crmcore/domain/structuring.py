"""Structuring: values of attrs classes from tables of fields, and what is wrong with those."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import reduce
from operator import or_
from types import UnionType
from typing import Any, Final, Self, Union, get_args, get_origin

import attrs
import cattrs
from cattrs.cols import list_structure_factory
from cattrs.errors import ForbiddenExtraKeysError
from cattrs.gen import make_dict_structure_fn, make_mapping_structure_fn
from cattrs.preconf.json import make_converter

from crmcore.errors import nearest


class Erased:
    """What a personal value reads as after its customer was erased."""

    _only: Self | None = None

    def __new__(cls) -> Self:
        if cls._only is None:
            cls._only = super().__new__(cls)
        return cls._only

    def __repr__(self) -> str:
        return "ERASED"


ERASED: Final = Erased()
"""What a personal value reads as after its customer was erased: `value is ERASED`."""


NUL: Final = "\0"
ESCAPED_NUL: Final = "\\u0000"  # as JSON has it; or it is six characters of somebody's text


def is_encodable(value: str) -> bool:
    """Return whether text has a form in UTF-8, as it has unless it holds a lone surrogate."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_storable(value: str) -> bool:
    """Return whether every database can store a text: no NUL, no half of a surrogate pair."""
    return NUL not in value and is_encodable(value)


def _may_be_erased(wanted: Any) -> bool:
    return Erased in get_args(wanted)


def _is_listed(wanted: Any) -> bool:
    """Return whether values of a type are lists, or other collections of one type."""
    kind, inner = get_origin(wanted) or wanted, get_args(wanted)
    if kind is tuple:
        return not inner or (len(inner) == 2 and inner[1] is ...)
    return kind in (list, set, frozenset)


def _is_table(wanted: Any) -> bool:
    return (get_origin(wanted) or wanted) in (dict, Mapping)


def strict_converter() -> cattrs.Converter:
    """Return a converter that refuses unknown fields and does not turn one type into another."""
    converter = make_converter(forbid_extra_keys=True)

    def exactly(expected: type) -> Callable[[object, object], object]:
        def check(value: object, _: object) -> object:
            if type(value) is expected or (expected is float and type(value) is int):
                return value
            raise TypeError(f"{value!r} is not {_names[expected]}")

        return check

    _names = {int: "a whole number", str: "text", bool: "true or false", float: "a number"}
    for primitive in _names:
        converter.register_structure_hook(primitive, exactly(primitive))

    @converter.register_structure_hook_factory(_is_listed)
    def _(wanted: Any) -> Callable[[object, object], object]:
        kind = get_origin(wanted) or wanted
        inner = [each for each in get_args(wanted) if each is not ...]
        listed: Any = list[inner[0] if inner else Any]  # type: ignore[misc]
        as_list: Any = list_structure_factory(listed, converter)

        def check(value: object, _: object) -> object:
            # A text would be taken apart into its letters, a table into its names.
            if not isinstance(value, list | tuple | set | frozenset):
                raise TypeError(f"{value!r} is not a list")
            return kind(as_list(value, list))

        return check

    @converter.register_structure_hook_factory(_is_table)
    def _(wanted: Any) -> Callable[[object, object], object]:
        as_table: Any = make_mapping_structure_fn(wanted, converter)

        def check(value: object, target: object) -> object:
            if not isinstance(value, Mapping):
                raise TypeError(f"{value!r} is not a table")
            return as_table(value, target)

        return check

    @converter.register_structure_hook_factory(_may_be_erased)
    def _(union: Any) -> Callable[[object, object], object]:
        rest: Any = reduce(or_, (a for a in get_args(union) if a is not Erased))
        return lambda value, _: value if value is ERASED else converter.structure(value, rest)

    @converter.register_structure_hook_factory(attrs.has)
    def _(cls: type) -> Callable[[object, type], object]:
        structure: Any = make_dict_structure_fn(cls, converter, _cattrs_forbid_extra_keys=True)

        def check(value: object, target: type) -> object:
            if isinstance(value, cls):
                return value
            if not isinstance(value, Mapping):
                raise TypeError(f"{value!r} is not a table of fields")
            return structure(value, target)

        return check

    return converter


_PRIMITIVE: Final = (str, int, float, bool, type(None), Erased)


def is_primitive(wanted: Any) -> bool:
    """Return whether values of a type hold no others, so that no key can be other than text."""
    if get_origin(wanted) in (Union, UnionType):
        return all(is_primitive(each) for each in get_args(wanted))
    return any(wanted is each for each in _PRIMITIVE)


def classes_in(wanted: Any, seen: set[type]) -> Iterator[type]:
    """Yield the attrs classes that values of a type may be of or hold."""
    for cls in (wanted, get_origin(wanted)):
        if isinstance(cls, type) and attrs.has(cls) and cls not in seen:
            seen.add(cls)
            yield cls
            for inner in attrs.fields(attrs.resolve_types(cls)):
                yield from classes_in(inner.type, seen)
    for each in get_args(wanted):
        yield from classes_in(each, seen)


def structuring_problems(error: BaseException, path: str = "") -> list[str]:
    """Return one readable line for each field that cattrs could not structure, with its path."""
    if isinstance(error, cattrs.BaseValidationError):
        if isinstance(error, cattrs.ClassValidationError):
            pairs, rest = error.group_exceptions()
            noted = [(e, f"{path}.{n.name}".lstrip(".")) for e, n in pairs]
        elif isinstance(error, cattrs.IterableValidationError):
            items, rest = error.group_exceptions()
            noted = [(e, f"{path}[{n.index}]") for e, n in items]
        else:
            noted, rest = [], list(error.exceptions)
        found = [line for e, where in noted for line in structuring_problems(e, where)]
        return found + [line for e in rest for line in structuring_problems(e, path)]
    if isinstance(error, ForbiddenExtraKeysError):
        known = [a.name for a in attrs.fields(error.cl) if a.init]
        fields = ", ".join(known) or "none"
        extra: Iterable[object] = error.extra_fields
        return [
            f"unknown field {'.'.join(filter(None, (path, name)))!r}{nearest(name, known)}; "
            f"fields: {fields}"
            if isinstance(name, str)
            else _no_text(path, name)
            for name in sorted(extra, key=str)
        ]
    if isinstance(error, KeyError):
        return [f"field {path or error.args[0]!r} is missing"]
    return [f"field {path!r}: {error}" if path else str(error)]


def _no_text(path: str, key: object) -> str:
    return f"{f'field {path!r}: ' if path else ''}key {key!r} is not text"


def unfit(value: object, path: str = "") -> Iterator[str]:
    """Yield what keeps a value from being JSON that every database reads, with its path."""
    where = f"field {path!r}: " if path else ""
    key: object
    if isinstance(value, Mapping):
        for key, each in value.items():
            if isinstance(key, str):
                yield from unfit(key, f"{path}.{key}".lstrip("."))
                yield from unfit(each, f"{path}.{key}".lstrip("."))
            else:
                yield _no_text(path, key)
    elif isinstance(value, list | tuple):
        for place, each in enumerate(value):
            yield from unfit(each, f"{path}[{place}]")
    elif isinstance(value, str):
        if not is_encodable(value):
            yield f"{where}{value!r} holds half of a surrogate pair, which is no text"
        if NUL in value:
            yield f"{where}{value!r} holds a NUL character, which PostgreSQL cannot store"
    elif isinstance(value, float):
        if not math.isfinite(value):
            yield f"{where}{value!r} is not a number that JSON can hold"
    elif not isinstance(value, int | None):
        yield f"{where}{value!r} is not a value that JSON can hold"
