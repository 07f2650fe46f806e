"""Fitting: what a shop gives a campaign, refused at once where it could not be kept or shown."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Final

from crmcore.errors import InputError

_DEEPEST: Final = 32
"""Tables and lists within one another; none that a template goes through is deeper."""

LARGEST: Final = 100_000
"""Characters of a table as JSON: as many as of a mail that Gmail shows whole, and more."""
# A worker holds what a broadcast says once for each of the 200 messages that it claims.


def check_variables(what: str, value: object) -> None:
    """Refuse what is no table of a template's variables that can be kept."""
    for name in check_table(what, value):
        if not name.isidentifier():
            raise InputError(f"{what} has {name!r}; a name that a template can use is expected")


def check_table(what: str, value: object, *, most: int = LARGEST) -> Mapping[str, object]:
    """
    Return a table of *most* characters at most; raise `InputError` if it is something else.

    What is kept for later is refused now where JSON or a database could not hold it, as nobody is
    there any more to be told then.
    """
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise InputError(f"a table of names is expected for {what}; {value!r:.200} found")
    for problem in _unfit(value, what, 0):
        raise InputError(f"{problem}, which cannot be kept as JSON")
    size = len(json.dumps(value, ensure_ascii=False, default=dict))
    if size > most:
        raise InputError(f"{what} has {size:,} characters; at most {most:,} are expected")
    return value


def _unfit(value: object, where: str, depth: int) -> Iterator[str]:
    """Yield what cannot be kept, with where it is."""
    if depth > _DEEPEST:
        yield f"{where} is more than {_DEEPEST} tables deep"
    elif isinstance(value, Mapping):
        for name, each in value.items():
            if not isinstance(name, str):
                yield f"{where} has the name {name!r}"
            else:
                yield from _unfit(name, f"{where}: a name", depth)
                yield from _unfit(each, f"{where}: {name}", depth + 1)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _unfit(each, where, depth + 1)
    elif isinstance(value, str):
        if "\0" in value:
            yield f"{where} holds a NUL character"
        elif not _is_encodable(value):
            yield f"{where} holds half of a character"
    elif isinstance(value, float):
        if not math.isfinite(value):
            yield f"{where} is {value!r}"
    elif value is not None and not isinstance(value, int):
        yield f"{where} is {value!r:.200}"


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
