"""Kinds of interactions: what can happen, with which payload, in which version."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal

import attrs
from attrs import Factory, field, frozen

from crmcore.domain.plain import PlainPayload
from crmcore.domain.structuring import (
    ERASED,
    ESCAPED_NUL,
    classes_in,
    is_encodable,
    is_primitive,
    strict_converter,
    structuring_problems,
    unfit,
)
from crmcore.errors import PayloadError, UnknownKindError


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
        version: Of the payload.
        upcasters: What reads older payloads, by the version that each reads.
        aliases: Other names accepted for it.
        sign: What its amount does to the customer's revenue: 1 adds, -1 takes away, 0 nothing.
        follows: Whether it is told of something earlier, as a delivery, a refund or a bounce is: it
            brings nobody back whom the shop has forgotten.
        description: What it says, in a sentence.
    """

    name: str = field(kw_only=False)
    payload: type = Nothing
    version: int = 1
    upcasters: Mapping[int, Upcaster] = field(factory=dict)
    aliases: tuple[str, ...] = ()
    sign: Literal[-1, 0, 1] = 0
    follows: bool = False
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


def _refuse_unfit(kind: Kind, values: Mapping[str, Any]) -> None:
    try:
        found = [*unfit(values)]
    except RecursionError:
        found = ["it is nested too deeply, or holds itself"]
    if found:
        raise PayloadError(kind.name, found)


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
        classes = list(classes_in(kind.payload, set()))
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
        self._plain: dict[str, PlainPayload] = {}
        self._hooks: dict[str, Callable[[Any, Any], Any]] = {}
        for kind in kinds:
            self.add(kind)

    def add(self, kind: Kind) -> None:
        """Add a kind; a name or alias already taken, or a kind that is not right, is an error."""
        _check(kind)
        for name in (kind.name, *kind.aliases):
            if name in self._names:
                raise ValueError(f"{name!r} already names {self._names[name].name!r}")
        if all(is_primitive(each.type) for each in attrs.fields(kind.payload)):
            self._primitive.add(kind.name)
        plain = PlainPayload.of(kind.payload, kind.personal_fields)
        if plain is not None:
            self._plain[kind.name] = plain
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
        if type(payload) is dict and (plain := self._plain.get(kind.name)) is not None:
            encoded = plain.encode(payload)
            if encoded is not None:
                return encoded
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
            raise PayloadError(kind.name, structuring_problems(error)) from error
        if kind.name not in self._primitive:
            _refuse_unfit(kind, values)
        apart = kind.personal_fields
        kept = {n: values.pop(n) for n in apart if n in values} if apart else {}
        try:
            stored, separate = _json(values), (_json(kept) if kept else "{}") if apart else None
        except (TypeError, ValueError) as error:
            _refuse_unfit(kind, {**values, **kept})
            raise PayloadError(kind.name, [str(error)]) from error
        if ESCAPED_NUL in stored or (separate is not None and ESCAPED_NUL in separate):
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
            raise PayloadError(kind.name, structuring_problems(error)) from error

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
