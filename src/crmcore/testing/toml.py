"""Settings as TOML: which values it can say, how they are written, and which types they are of."""

from __future__ import annotations

import json
import math
import re
import types
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from typing import Any, Literal, Union, get_args, get_origin

import attrs

_BARE = re.compile(r"[A-Za-z0-9_-]+\Z")


class NotToml(ValueError):  # noqa: N818 - it says what a value is
    """A setting has a value that no crm.toml can hold."""

    def __init__(self, name: str, value: object) -> None:
        super().__init__(name, value)
        self.name = name
        self.value = value


def toml_table(settings: Mapping[str, Any]) -> str:
    """
    Return settings as the lines of a table in a crm.toml.

    Raises:
        NotToml: With the setting it cannot say.
    """
    lines = []
    for name, value in settings.items():
        try:
            lines.append(f"{_key(name)} = {_written(value)}\n")
        except TypeError as error:
            raise NotToml(name, value) from error
    return "".join(lines)


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else f"{'-' if value < 0 else ''}inf"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, Mapping):
        pairs = ", ".join(f"{_key(key)} = {_written(each)}" for key, each in value.items())
        return f"{{{pairs}}}"
    if isinstance(value, list | tuple | set | frozenset):
        return f"[{', '.join(_written(each) for each in value)}]"
    raise TypeError(type(value))


def _key(name: Any) -> str:
    if not isinstance(name, str):
        raise TypeError(type(name))
    return name if _BARE.match(name) else json.dumps(name, ensure_ascii=False)


def plain_type(cls: type, field: Any) -> Any:
    """Return the type of a setting: as annotated, or else as its default is."""
    resolved = {each.name: each.type for each in attrs.fields(attrs.resolve_types(cls))}
    wanted = resolved[field.name]
    if wanted not in (None, Any, object):
        return wanted
    default = field.default
    if type(default) in (bool, int, float, str, list, dict):
        return type(default)
    return Any


def fits(value: Any, wanted: Any) -> bool | None:
    """Return whether a value of TOML's is of a type; None where only the type itself can say."""
    origin, inner = get_origin(wanted), get_args(wanted)
    if origin in (Union, types.UnionType):
        answers = [fits(value, each) for each in inner]
        return True if True in answers else None if None in answers else False
    if origin is Literal:
        return any(value == each and type(value) is type(each) for each in inner)
    if wanted is type(None):
        return False
    if wanted is float:
        return type(value) in (int, float)
    if wanted in (bool, int, str):
        return type(value) is wanted
    if wanted in (list, tuple, set, frozenset) or origin in (list, tuple, set, frozenset, Sequence):
        if isinstance(value, str | dict):
            return None  # what can be gone through is taken for a list, which is the core's matter
        return isinstance(value, list) and _all_fit(value, inner)
    if wanted is dict or origin in (dict, Mapping):
        return isinstance(value, dict) and _all_fit(list(value.values()), inner[1:])
    if isinstance(wanted, type) and attrs.has(wanted):
        return False if not isinstance(value, dict) else None
    return None


def _all_fit(values: list[Any], inner: tuple[Any, ...]) -> bool | None:
    answers = {fits(each, inner[0]) for each in values} if inner else {None}
    return False if False in answers else None if None in answers else True
