"""Canaries: words that stand nowhere else, planted wherever something personal can stand."""

from __future__ import annotations

import functools
import gc
import types
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import attrs
from attrs import evolve, field, frozen
from sqlalchemy import inspect, text

from crmcore.app import Crm
from crmcore.domain.identity import Identifier
from crmcore.domain.interaction import Draft
from crmcore.domain.kind import Kind, KindRegistry
from crmcore.errors import PayloadError

_OF_A_FORM: Final = ("_on", "_at", "birthday", "point", "address")
_DEEPEST: Final = 8
_MOST: Final = 50_000
_CLOSED: Final = ("sqlalchemy", "crmcore.app", "crmcore.services", "crmcore.persistence", "logging")


@frozen
class Person:
    """
    Somebody all of whose words begin with one that stands nowhere else.

    Attributes:
        number: Of the customer in a history: 1 is `account:c1`.
        planted: The texts, each with where it was planted.
    """

    number: int
    planted: dict[str, str] = field(factory=dict)

    @property
    def word(self) -> str:
        """What each of their words begins with."""
        return f"zq{('ada', 'bea', 'cid', 'dot')[self.number - 1]}"

    @property
    def account(self) -> Identifier:
        return Identifier("account", f"{self.word}account")

    @property
    def email(self) -> Identifier:
        return Identifier("email", f"{self.word}mail@example.com")

    def text(self, where: str) -> str:
        """Return two words that stand nowhere else, and note where they are planted."""
        number = len(self.planted)
        made = f"{self.word.capitalize()}{number}x {self.word.capitalize()}{number}y"
        self.planted[made] = where
        return made


def planted(draft: Draft, number: int, people: Sequence[Person], kinds: KindRegistry) -> Draft:
    """Return a draft in which its customer's name, keys and personal values are canaries."""
    person = next(p for p in people if Identifier("account", f"c{p.number}") in draft.identifiers)
    has_mail = len(draft.identifiers) > 1
    names = (person.account, *((person.email,) if has_mail else ()))
    subject = draft.subject and draft.subject.replace(
        f":c{person.number}/", f":{person.account.value}/"
    )
    key = f"{person.email.value}/{number}" if has_mail and number % 2 else draft.source_key
    made = evolve(draft, identifiers=names, subject=subject, source_key=key)
    kind = kinds[draft.kind]
    if not kind.personal_fields or not isinstance(draft.payload or {}, Mapping):
        return made
    values: Mapping[str, Any] = draft.payload or {}  # type: ignore[assignment]
    payload = {**values, **dict(_personal(kind, values, person))}
    try:
        kinds.encode(kind, payload)
    except PayloadError:
        return made  # its values have a form, in which no canary can be planted
    return evolve(made, payload=payload)


def _personal(kind: Kind, values: Mapping[str, Any], person: Person) -> Iterable[tuple[str, Any]]:
    """Yield the personal fields of a kind, each with a canary."""
    for each in attrs.fields(attrs.resolve_types(kind.payload)):
        told, sample = str(each.type), values.get(each.name)
        where = f"{kind.name}.{each.name}"
        if each.name not in kind.personal_fields or each.name.endswith(_OF_A_FORM):
            continue
        if isinstance(sample, str) and "@" in sample:
            yield each.name, person.email.value
        elif isinstance(sample, str) and any(letter.isdigit() for letter in sample):
            continue  # a number or a date
        elif "list" in told:
            yield each.name, [person.text(where)]
        elif "dict" in told:
            yield each.name, {"part": person.text(where)}
        elif "str" in told:
            yield each.name, person.text(where)


def rows_with(crm: Crm, word: str) -> dict[str, list[str]]:
    """Return the columns of each table in which a word stands in any row."""
    with crm.runtime.database.begin(read_only=True) as connection:
        run = connection.sqlalchemy
        found: dict[str, set[str]] = {}
        for name in inspect(run).get_table_names():
            for row in run.execute(text(f'SELECT * FROM "{name}"')).mappings():
                for column, value in row.items():
                    if word.encode() in _bytes(value).lower():
                        found.setdefault(name, set()).add(column)
        return {name: sorted(columns) for name, columns in sorted(found.items())}


def _bytes(value: Any) -> bytes:
    return bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode()


def holders(roots: Mapping[str, Any], words: Collection[str]) -> Iterator[str]:
    """Yield the names of what holds one of these words, within some objects and beneath them."""
    waiting: deque[tuple[str, Any, int]] = deque((name, each, 0) for name, each in roots.items())
    seen: set[int] = set()
    while waiting and len(seen) < _MOST:
        name, each, depth = waiting.popleft()
        if id(each) in seen:
            continue
        seen.add(id(each))
        if isinstance(each, str | bytes):
            said = _bytes(each).lower()
            if any(word.encode() in said for word in words):
                yield name
        elif depth < _DEEPEST:
            waiting.extend((inner, value, depth + 1) for inner, value in within(name, each))


def within(name: str, each: Any) -> Iterator[tuple[str, Any]]:
    """Yield what an object holds, as far as it is the plugin's own to hold, with its name."""
    if isinstance(each, Mapping):
        for key, value in list(each.items()):
            yield name, key
            yield name, value
    elif isinstance(each, list | tuple | set | frozenset | deque):
        for value in list(each):
            yield name, value
    elif isinstance(each, functools._lru_cache_wrapper):
        for value in gc.get_referents(each):
            if isinstance(value, dict | list | tuple):
                yield f"{name}, which is cached", value
    elif isinstance(each, types.FunctionType):
        for value in (*(each.__defaults__ or ()), *(each.__kwdefaults__ or {}).values()):
            yield f"a default of {name}", value
        for cell in each.__closure__ or ():
            try:
                yield f"what {name} encloses", cell.cell_contents
            except ValueError:
                continue
    elif not isinstance(each, types.ModuleType | int | float | type(None)):
        yield from _attributes(name, each)


def _attributes(name: str, each: Any) -> Iterator[tuple[str, Any]]:
    cls = each if isinstance(each, type) else type(each)
    if str(cls.__module__).startswith(_CLOSED):
        return
    held = dict(getattr(each, "__dict__", {}))
    if not isinstance(each, type):
        for base in cls.__mro__:
            slots = getattr(base, "__slots__", ())
            for slot in (slots,) if isinstance(slots, str) else slots:
                if slot not in ("__weakref__", "__dict__") and hasattr(each, slot):
                    held[slot] = getattr(each, slot)
    for attribute, value in held.items():
        if not attribute.startswith("__"):
            yield f"{name}.{attribute}", value
