"""Spelling: the forms in which something a person is known by may stand somewhere."""

from __future__ import annotations

import html
import json
import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, Final, Literal
from urllib.parse import quote, quote_plus

from attrs import define, field, frozen

SHORTEST: Final = 4
"""Characters: what is shorter stands in too many places to be looked for."""

_TELLING: Final = 8
_LONGEST: Final = 120  # of a longer text its beginning is looked for
_PLAIN: Final = re.compile(r"[A-Za-z0-9]+")
_OF_CODE: Final = re.compile(r"[a-z0-9_./:-]*")  # such as `double_opt_in`, which is nobody's
_FIELD: Final = re.compile(r"[a-z_]+")  # such as `order`, as fields of a payload are called
_SHORT_NUMBER: Final = re.compile(r"[0-9]{1,6}")
_PARTS: Final = re.compile(r"[:/|#]")

Sort = Literal["name", "text", "trace"]


@frozen
class Needle:
    """
    Something to look for.

    Attributes:
        text: As it was stored.
        sort: An identifier (`name`), by which somebody can be found; a personal `text`, such as a
            note; or what stood in rows of plugins (`trace`), which others' may hold as well.
        spellings: All forms, folded to lower case.
        is_word: Whether it has to stand alone: `a100` is not found in `a1000`.
    """

    text: str
    sort: Sort
    spellings: frozenset[str] = field(eq=False)
    is_word: bool = field(eq=False)

    @property
    def is_short_number(self) -> bool:
        """Whether it may as well be a count, an amount or a year: only keys tell whose it is."""
        return bool(_SHORT_NUMBER.fullmatch(self.text))

    @classmethod
    def of(cls, text: str, sort: Sort, scheme: str | None = None) -> Needle:
        """Return what to look for where *text* was stored; *scheme* is of an identifier."""
        plain = {text, *_other_ways(scheme, text)}
        spelled = {form for each in plain for form in _spelled(each)}
        spelled = {each for each in spelled if len(each) >= SHORTEST}
        return cls(text, sort, frozenset(spelled), bool(_PLAIN.fullmatch(text)))

    @property
    def tells(self) -> bool:
        """Whether it tells of one person, and is no word that anybody might use."""
        if self.sort == "text":
            return len(self.text) >= _TELLING and not _OF_CODE.fullmatch(self.text)
        return self.sort == "name"

    def is_in(self, folded: str) -> bool:
        """Return whether a text, in lower case, holds it; a short number, as a part of a key."""
        if self.is_short_number:
            return self.text in folded and self.text in _PARTS.split(folded)
        if not any(each in folded for each in self.spellings):
            return False
        if not self.is_word:
            return True
        return any(
            re.search(rf"(?<![a-z0-9]){re.escape(each)}(?![a-z0-9])", folded)
            for each in self.spellings
        )


def _other_ways(scheme: str | None, text: str) -> Iterator[str]:
    """Yield how people write the same identifier before it is brought into one form."""
    if scheme in ("email", "guest_email"):
        local, _, host = text.rpartition("@")
        if "xn--" in host:
            try:
                import idna

                yield f"{local}@{idna.decode(host)}"
            except (ImportError, ValueError):
                return
    elif scheme in ("phone", "guest_phone"):
        digits = text.removeprefix("+")
        yield digits
        yield f"00{digits}"
        try:
            import phonenumbers as phone

            number = phone.parse(text, None)
        except Exception:
            return
        for form in (
            phone.PhoneNumberFormat.INTERNATIONAL,
            phone.PhoneNumberFormat.NATIONAL,
            phone.PhoneNumberFormat.RFC3966,
        ):
            yield phone.format_number(number, form)


def _spelled(text: str) -> Iterator[str]:
    for form in {text, unicodedata.normalize("NFC", text), unicodedata.normalize("NFD", text)}:
        for written in (
            form,
            json.dumps(form)[1:-1],
            json.dumps(form, ensure_ascii=False)[1:-1],
            quote(form, safe=""),
            quote(form),
            quote_plus(form),
            html.escape(form),
        ):
            yield written.lower()
            yield written.casefold()


def texts_in(value: Any) -> Iterator[str]:
    """Yield every text within a value that JSON can hold."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from texts_in(each)
    elif isinstance(value, list):
        for each in value:
            yield from texts_in(each)


@define
class Needles:
    """
    What to look for, each once, and no more of texts than *most*.

    Attributes:
        short: How many were too short to be looked for.
        beyond: How many texts there were beyond the most.
    """

    most: int = 200
    short: int = 0
    beyond: int = 0
    _found: dict[str, Needle] = field(factory=dict)

    def add_name(self, scheme: str, value: str) -> None:
        """Add an identifier."""
        if len(value) < SHORTEST:
            self.short += 1
        else:
            self._found[value] = Needle.of(value, "name", scheme)

    def add(self, value: Any, sort: Sort = "text") -> None:
        """Add every text within a value of JSON; of a long one its beginning."""
        for each in texts_in(value):
            text = each.strip()[:_LONGEST].strip()
            if len(text) < SHORTEST or text in self._found:
                continue
            if len(self._found) >= self.most:
                self.beyond += 1
            else:
                self._found[text] = Needle.of(text, sort)

    @property
    def all(self) -> list[Needle]:
        return list(self._found.values())

    @property
    def telling(self) -> list[Needle]:
        return [each for each in self._found.values() if each.tells]


def holding(needles: Collection[Needle], text: str) -> list[Needle]:
    """Return those of *needles* that stand in *text*, or in a text within it if it is JSON."""
    folded = text.lower()
    value = as_json(text)
    if value is None:
        return [each for each in needles if each.is_in(folded)]
    near = [each for each in needles if any(form in folded for form in each.spellings)]
    if not near:
        return []
    told = [each.lower() for each in _told(value)]
    return [each for each in near if any(each.is_in(one) for one in told)]


def as_json(text: str) -> dict[str, Any] | list[Any] | None:
    """Return what a text holds that is an object or a list of JSON; None: it is neither."""
    if text[:1] not in ("{", "["):
        return None
    try:
        value: dict[str, Any] | list[Any] = json.loads(text)
    except ValueError:
        return None
    return value


def _told(value: Any) -> Iterator[str]:
    """Yield the texts and names within a value of JSON; numbers and fields of code tell nobody."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from (name for name in value if not _FIELD.fullmatch(name))
        for each in value.values():
            yield from _told(each)
    elif isinstance(value, list):
        for each in value:
            yield from _told(each)


def without(needles: Collection[Needle], value: Any, replaced: Callable[[str], str]) -> Any:
    """Return a value of JSON with every text and name in which a needle stands replaced."""
    if isinstance(value, str):
        return replaced(value) if holding(needles, value) else value
    if isinstance(value, dict):
        return {
            name if _FIELD.fullmatch(name) else without(needles, name, replaced): without(
                needles, each, replaced
            )
            for name, each in value.items()
        }
    if isinstance(value, list):
        return [without(needles, each, replaced) for each in value]
    return value


def as_bytes(needles: Iterable[Needle]) -> dict[bytes, Needle]:
    """
    Return the spellings as bytes in UTF-8, in lower case as bytes have it.

    Short numbers are left out: bytes do not tell whether they are somebody's.
    """
    return {
        form.encode().lower(): each
        for each in needles
        if not each.is_short_number
        for form in each.spellings
    }
