"""Kinds of interactions: what can happen, with which payload, in which version."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import reduce
from operator import or_
from types import UnionType
from typing import Any, Final, Literal, Self, Union, get_args, get_origin

import attrs
import cattrs
from attrs import Factory, field, frozen
from cattrs.errors import ForbiddenExtraKeysError
from cattrs.gen import make_dict_structure_fn
from cattrs.preconf.json import make_converter

from crmcore.errors import PayloadError, UnknownKindError, nearest


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


def personal(**arguments: Any) -> Any:
    """
    Return an attrs field whose value is kept apart, so that erasure can empty it.

    It is for the fields of the payload class itself, not of classes within it.
    """
    metadata = {**arguments.pop("metadata", {}), "crmcore_personal": True}
    return field(metadata=metadata, **arguments)


@frozen
class Nothing:
    """The payload of a kind that needs none."""


Upcaster = Callable[[dict[str, Any]], dict[str, Any]]
"""Turns a payload of one version into one of the next."""


@frozen(kw_only=True)
class Kind:
    """
    One kind of interaction.

    Attributes:
        name: Object and action, such as `order.placed`.
        payload: The attrs class a payload of the present version is structured into.
        version: Of the payload; older ones are read through *upcasters*, keyed by the version
            they read.
        aliases: Other names accepted for it.
        sign: What its amount does to the customer's revenue: 1 adds, -1 takes away, 0 nothing.
    """

    name: str = field(kw_only=False)
    payload: type = Nothing
    version: int = 1
    upcasters: Mapping[int, Upcaster] = field(factory=dict)
    aliases: tuple[str, ...] = ()
    sign: Literal[-1, 0, 1] = 0
    description: str = ""
    personal_fields: frozenset[str] = field(
        init=False,
        default=Factory(
            lambda self: frozenset(
                a.name for a in attrs.fields(self.payload) if a.metadata.get("crmcore_personal")
            ),
            takes_self=True,
        ),
    )


def _problems(error: BaseException, path: str = "") -> list[str]:
    """Return what cattrs found wrong, one line per field, each with its path."""
    if isinstance(error, cattrs.BaseValidationError):
        if isinstance(error, cattrs.ClassValidationError):
            pairs, rest = error.group_exceptions()
            noted = [(e, f"{path}.{n.name}".lstrip(".")) for e, n in pairs]
        elif isinstance(error, cattrs.IterableValidationError):
            items, rest = error.group_exceptions()
            noted = [(e, f"{path}[{n.index}]") for e, n in items]
        else:
            noted, rest = [], list(error.exceptions)
        found = [line for e, where in noted for line in _problems(e, where)]
        return found + [line for e in rest for line in _problems(e, path)]
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


def _unfit(value: object, path: str = "") -> Iterator[str]:
    """Yield what keeps a value from being JSON that every database reads, with its path."""
    where = f"field {path!r}: " if path else ""
    key: object
    if isinstance(value, Mapping):
        for key, each in value.items():
            if isinstance(key, str):
                yield from _unfit(key, f"{path}.{key}".lstrip("."))
                yield from _unfit(each, f"{path}.{key}".lstrip("."))
            else:
                yield _no_text(path, key)
    elif isinstance(value, list | tuple):
        for place, each in enumerate(value):
            yield from _unfit(each, f"{path}[{place}]")
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


def _refuse_unfit(kind: Kind, values: Mapping[str, Any]) -> None:
    try:
        unfit = [*_unfit(values)]
    except RecursionError:
        unfit = ["it is nested too deeply, or holds itself"]
    if unfit:
        raise PayloadError(kind.name, unfit)


NUL: Final = "\0"
_ESCAPED: Final = "\\u0000"  # as JSON has it; or it is six characters of somebody's text


def is_encodable(value: str) -> bool:
    """Return whether text has a form in UTF-8, as it has unless it holds a lone surrogate."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def structuring_problems(error: BaseException) -> list[str]:
    """Return one readable line per field that cattrs could not structure, with its path."""
    return _problems(error)


def _may_be_erased(wanted: Any) -> bool:
    return Erased in get_args(wanted)


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


def _is_primitive(wanted: Any) -> bool:
    """Return whether values of a type hold no others, so that no key can be other than text."""
    if get_origin(wanted) in (Union, UnionType):
        return all(_is_primitive(each) for each in get_args(wanted))
    return any(wanted is each for each in _PRIMITIVE)


def _classes_in(wanted: Any, seen: set[type]) -> Iterator[type]:
    """Yield the attrs classes that values of a type may be of or hold."""
    for cls in (wanted, get_origin(wanted)):
        if isinstance(cls, type) and attrs.has(cls) and cls not in seen:
            seen.add(cls)
            yield cls
            for inner in attrs.fields(attrs.resolve_types(cls)):
                yield from _classes_in(inner.type, seen)
    for each in get_args(wanted):
        yield from _classes_in(each, seen)


def _check(kind: Kind) -> None:
    """Refuse a kind that could be recorded, and then not be read or not be erased."""
    name: object = kind.name
    aliases: object = kind.aliases
    if not isinstance(name, str) or not name:
        raise ValueError(f"{name!r} is not a name of a kind; text is expected")
    if not isinstance(aliases, tuple) or not all(isinstance(alias, str) for alias in aliases):
        raise ValueError(
            f"kind {kind.name!r} has the aliases {kind.aliases!r}; a tuple of text is expected"
        )
    if kind.sign not in (-1, 0, 1):
        raise ValueError(f"kind {kind.name!r} has the sign {kind.sign!r}; -1, 0 or 1 is expected")
    if type(kind.version) is not int or kind.version < 1:
        raise ValueError(
            f"kind {kind.name!r} has the version {kind.version!r}; a whole number, 1 or more, is "
            "expected"
        )
    missing = [str(v) for v in range(1, kind.version) if v not in kind.upcasters]
    if missing:
        raise ValueError(
            f"kind {kind.name!r} is in version {kind.version} and has no upcaster for what was "
            f"recorded in version {', '.join(missing)}; give upcasters={{{missing[0]}: ...}}"
        )
    try:
        classes = list(_classes_in(kind.payload, set()))
    except (NameError, TypeError) as error:
        raise ValueError(
            f"kind {kind.name!r}: a type in its payload {kind.payload.__name__} is not known where "
            f"the class is defined: {error}"
        ) from error
    for cls in classes:
        for each in attrs.fields(cls):
            if cls is not kind.payload and each.metadata.get("crmcore_personal"):
                raise ValueError(
                    f"kind {kind.name!r}: {cls.__name__}.{each.name} is personal() and lies within "
                    f"the payload {kind.payload.__name__}; only the payload's own fields can be "
                    "erased, so make the field that holds it personal()"
                )


class KindRegistry:
    """The kinds known to one application, by name and alias."""

    def __init__(self, kinds: Iterable[Kind] = ()) -> None:
        self._kinds: dict[str, Kind] = {}
        self._names: dict[str, Kind] = {}
        self._converter = strict_converter()
        self._primitive: set[str] = set()
        self._hooks: dict[str, Callable[[Any, Any], Any]] = {}
        for kind in kinds:
            self.add(kind)

    def add(self, kind: Kind) -> None:
        """Add a kind; a name or alias already taken, or a kind that is not right, is an error."""
        _check(kind)
        for name in (kind.name, *kind.aliases):
            if name in self._names:
                raise ValueError(f"{name!r} already names {self._names[name].name!r}")
        if all(_is_primitive(each.type) for each in attrs.fields(kind.payload)):
            self._primitive.add(kind.name)
        self._kinds[kind.name] = kind
        self._names.update(dict.fromkeys((kind.name, *kind.aliases), kind))

    def __iter__(self) -> Iterator[Kind]:
        return iter(self._kinds.values())

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def __getitem__(self, name: str) -> Kind:
        try:
            return self._names[name]
        except (KeyError, TypeError):
            raise UnknownKindError(name, self._names) from None

    def names(self) -> dict[str, Kind]:
        """Return every name and alias with its kind."""
        return self._names

    def _hook_of(self, kind: Kind) -> Callable[[Any, Any], Any]:
        """Return what structures a kind's payload, made when it is first needed."""
        hook = self._hooks.get(kind.name)
        if hook is None:
            hook = self._hooks[kind.name] = self._converter.get_structure_hook(kind.payload)
        return hook

    def encode(self, kind: Kind, payload: object) -> tuple[str, str | None]:
        """
        Check *payload* against its kind and return its JSON, and that of its personal fields.

        Raises:
            PayloadError: With the path of every field that is wrong.
        """
        if payload is None:
            payload = {}
        if kind.payload is Nothing and payload == {}:
            return "{}", None
        if type(payload) is dict or isinstance(payload, Mapping):
            values = dict(payload)
        elif isinstance(payload, kind.payload):
            values = self._unstructured(kind, payload)
        else:
            raise PayloadError(
                kind.name,
                [f"{type(payload).__name__} found, {kind.payload.__name__} or a dict expected"],
            )
        try:
            self._hook_of(kind)(values, kind.payload)
        except Exception as error:
            raise PayloadError(kind.name, _problems(error)) from error
        if kind.name not in self._primitive:
            _refuse_unfit(kind, values)
        apart = kind.personal_fields
        kept = {n: values.pop(n) for n in apart if n in values} if apart else {}
        try:
            stored, separate = _json(values), (_json(kept) if kept else "{}") if apart else None
        except (TypeError, ValueError) as error:
            _refuse_unfit(kind, {**values, **kept})
            raise PayloadError(kind.name, [str(error)]) from error
        if _ESCAPED in stored or (separate is not None and _ESCAPED in separate):
            _refuse_unfit(kind, {**values, **kept})
        return stored, separate

    def _unstructured(self, kind: Kind, payload: object) -> dict[str, Any]:
        try:
            values: dict[str, Any] = self._converter.unstructure(payload)
        except Exception as error:
            raise PayloadError(kind.name, [f"{type(error).__name__}: {error}"]) from error
        return values

    def decode(self, name: str, version: int, payload: str, personal_values: str | None) -> Any:
        """Return the payload as an object of its kind's class, in the present version."""
        kind = self[name]
        values: dict[str, Any] = json.loads(payload)
        erased = set(kind.personal_fields)
        if personal_values is not None:
            kept = json.loads(personal_values)
            erased = set()
            values |= kept
        while version < kind.version:
            values = kind.upcasters[version](values)
            version += 1
        for name_ in erased:
            values[name_] = ERASED
        try:
            return self._structure_stored(kind, values, erased)
        except Exception as error:
            raise PayloadError(kind.name, _problems(error)) from error

    def _structure_stored(self, kind: Kind, values: dict[str, Any], erased: set[str]) -> Any:
        if not erased:
            return self._converter.structure(values, kind.payload)
        present = {n: v for n, v in values.items() if n not in erased}
        fields_ = {a.name: a for a in attrs.fields(kind.payload)}
        structured = {
            n: self._converter.structure(v, fields_[n].type or object) for n, v in present.items()
        }
        return kind.payload(**structured, **dict.fromkeys(erased, ERASED))


# Neither NaN nor infinity is JSON, though Python would write them.
_encoder = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=True
)


def _json(values: Mapping[str, Any]) -> str:
    text = _encoder.encode(values)
    if not (text.isascii() or is_encodable(text)):
        raise ValueError("half of a surrogate pair is no text")
    return text
