"""Columns: where in a row of a history a value stands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from attrs import field, frozen, validators

Given = Any
"""What a TOML file gives for a key, before it is known to be right."""


@frozen
class Column:
    """
    A column of the file.

    Attributes:
        column: Its name; in JSON and in nested Parquet columns a path such as `order.total`.
        without_prefix: Taken off the front of the cell's text, where it stands there.
        optional: The file need not have the column; all its cells are then empty.
    """

    column: str = field(validator=validators.min_len(1))
    without_prefix: str = field(default="", kw_only=True)
    optional: bool = field(default=False, kw_only=True)


@frozen
class Constant:
    """A value that is the same for every row."""

    value: str | int | float | bool


_UNNAMED = {"cell", "column", "columns", "conditions"}


def columns_in(value: object, path: str = "") -> Iterator[tuple[str, Column]]:
    """Yield every column that *value* mentions, with the path of the key that mentions it."""
    if isinstance(value, Column):
        yield path, value
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from columns_in(item, f"{path}.{name}".lstrip("."))
    elif isinstance(value, tuple):
        for item in value:
            yield from columns_in(item, path)
    else:
        for attribute in getattr(type(value), "__attrs_attrs__", ()):
            item = getattr(value, attribute.name)
            # What a setting is made of is named by the setting: `time`, `leave_out`.
            deeper = path if attribute.name in _UNNAMED else f"{path}.{attribute.name}"
            yield from columns_in(item, deeper.lstrip("."))
