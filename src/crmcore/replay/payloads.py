"""Payloads: the fields of a kind's payload, read from cells and checked against the kind."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, get_args, get_type_hints

import attrs

from crmcore.domain.kind import Kind, KindRegistry
from crmcore.errors import ConfigurationError, InputError, nearest
from crmcore.replay.cells import Numbers, text_of
from crmcore.replay.columns import Column, Constant
from crmcore.replay.tables import Row, Table, bind, bind_all

Fields = Mapping[str, Column | Constant]
Payload = Mapping[str, Any] | None
"""Of a row; read-only, as rows that say the same share one. None if all its cells are empty."""

_TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


class PayloadReader:
    """Reads the payloads of one kind; fields that another kind has are passed over."""

    def __init__(
        self,
        fields: Fields | Column | None,
        *,
        kind: Kind,
        kinds: KindRegistry,
        table: Table,
        numbers: Numbers,
    ) -> None:
        self._kind, self._kinds = kind, kinds
        self.read: Callable[[Row], Payload]
        """Returns the payload as the row has it."""
        self.checked: Callable[[Row], Payload] = lambda row: self.check(self.read(row))
        """Returns the payload if its kind accepts it; otherwise raises a `PayloadError`."""
        if isinstance(fields, Column):
            self.read = _whole_payload(bind(table, fields), fields.column)
            return
        known = {a.name for a in attrs.fields(kind.payload)}
        fields = {name: item for name, item in (fields or {}).items() if name in known}
        cells, make = _field_payload(fields, kind=kind, table=table, numbers=numbers)
        self.read = lambda row: make(cells(row))
        if table.uniform:
            checked = lru_cache(maxsize=4_096)(lambda found: self.check(make(found)))
            self.checked = lambda row: checked(cells(row))

    def check(self, payload: Payload) -> Payload:
        """Return the payload if its kind accepts it; otherwise raises a `PayloadError`."""
        self._kinds.encode(self._kind, payload)
        return payload


def check_fields(fields: Fields | Column | None, kinds: Iterable[Kind]) -> None:
    """
    See that each field belongs to the payload of one of the *kinds*.

    Raises:
        ConfigurationError: If one does not; names the nearest.
    """
    if isinstance(fields, Mapping):
        known = dict.fromkeys(a.name for kind in kinds for a in attrs.fields(kind.payload))
        for name in fields:
            if name not in known:
                hint = nearest(name, known) or f"; fields: {', '.join(known) or 'none'}"
                raise ConfigurationError(
                    f"the mapping's 'payload' has a field {name!r}, which its kinds have not{hint}"
                )


def _whole_payload(cell: Callable[[Row], Any], name: str) -> Callable[[Row], Payload]:
    def read(row: Row) -> Payload:
        payload = cell(row)
        if payload is None or isinstance(payload, dict):
            return payload or None
        raise InputError(f"column {name!r}: {str(payload)[:40]!r} is not an object with fields")

    return read


def _field_payload(
    fields: Fields, *, kind: Kind, table: Table, numbers: Numbers
) -> tuple[Callable[[Row], tuple[Any, ...]], Callable[[tuple[Any, ...]], Payload]]:
    """Return what takes the cells of the fields out of a row, and what makes a payload of them."""
    hints = get_type_hints(kind.payload)
    constants = {n: item.value for n, item in fields.items() if isinstance(item, Constant)}
    columns = {n: item for n, item in fields.items() if isinstance(item, Column)}
    converters = [(n, c.column, _converter(hints[n], numbers)) for n, c in columns.items()]

    def make(cells: tuple[Any, ...]) -> Payload:
        payload = dict(constants)
        for (name, column, convert), cell in zip(converters, cells, strict=True):
            try:
                value = convert(cell)
            except InputError as error:
                raise InputError(f"column {column!r}: {error}") from None
            if value is not None:
                payload[name] = value
        return MappingProxyType(payload) if payload else None

    return bind_all(table, list(columns.values())), make


def _converter(wanted: Any, numbers: Numbers) -> Callable[[Any], Any]:
    """Return what makes of a cell a value of the type, as far as text can be one."""
    members = get_args(wanted) or (wanted,)
    if str in members:
        return text_of
    if bool in members:
        return _truth
    if int in members:
        return numbers.whole
    if float in members:
        return lambda cell: None if (n := numbers.decimal(cell)) is None else float(n)
    return lambda cell: None if cell == "" else cell


def _truth(cell: Any) -> bool | None:
    text = text_of(cell)
    if text is None:
        return None
    try:
        return _TRUTH[text.casefold()]
    except KeyError:
        raise InputError(f"{text!r} is not true or false") from None
