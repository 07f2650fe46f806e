"""The two markers every spec and implementation carries, and the dates of what is promised."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, Final, TypeVar, overload

import pluggy
from attrs import frozen

F = TypeVar("F", bound=Callable[..., Any])

FIRST: Final = "0.1"
"""The version of crmcore whose hooks were there from the beginning."""

hookimpl = pluggy.HookimplMarker("crmcore")
"""Marks a method of a plugin as a hook: `@hookimpl`; without it the method is never called."""
_spec = pluggy.HookspecMarker("crmcore")


@frozen(kw_only=True)
class Promise:
    """
    Since when there is a hook, or a field of an event, and until when.

    Attributes:
        since: The first version of crmcore that has it.
        deprecated_in: The version from which on it warns whoever implements it; None: it stays.
        removed_in: The version from which on it is not there any more.
        use: What is to be used instead, in a few words, such as the name of another hook.
    """

    since: str = FIRST
    deprecated_in: str | None = None
    removed_in: str | None = None
    use: str | None = None

    def is_deprecated(self, version: str) -> bool:
        """Return whether it warns in *version*, or is gone by then."""
        return self.deprecated_in is not None and _numbers(self.deprecated_in) <= _numbers(version)

    def is_removed(self, version: str) -> bool:
        """Return whether it is not there any more in *version*."""
        return self.removed_in is not None and _numbers(self.removed_in) <= _numbers(version)


@overload
def hookspec(function: F) -> F: ...


@overload
def hookspec(
    *,
    since: str = FIRST,
    deprecated_in: str | None = None,
    removed_in: str | None = None,
    use: str | None = None,
) -> Callable[[F], F]: ...


def hookspec(
    function: Any = None,
    *,
    since: str = FIRST,
    deprecated_in: str | None = None,
    removed_in: str | None = None,
    use: str | None = None,
) -> Any:
    """
    Mark a hook, with its dates: `@hookspec`, or `@hookspec(since="0.2")`.

    What goes away warns first: `deprecated_in` comes at least one release before `removed_in`,
    and both say with `use` what replaces it. The spec of a removed hook stays, without being
    called, so that a plugin that still has it is told.

    Raises:
        ValueError: If the dates do not fit together.
    """
    promise = Promise(since=since, deprecated_in=deprecated_in, removed_in=removed_in, use=use)

    def mark(function: F) -> F:
        _check(function.__name__, promise)
        function.crmcore_promise = promise  # type: ignore[attr-defined]
        return _spec(function)

    return mark if function is None else mark(function)


def promise_of(hook: Callable[..., Any]) -> Promise:
    """Return since when there is a hook, and until when."""
    promise: Promise = getattr(hook, "crmcore_promise", Promise())
    return promise


def _check(name: str, promise: Promise) -> None:
    dates = [promise.since, promise.deprecated_in, promise.removed_in]
    numbers = [_numbers(each) for each in dates if each is not None]
    if promise.removed_in is not None and promise.deprecated_in is None:
        raise ValueError(f"{name} is removed in {promise.removed_in} without a warning before")
    if promise.deprecated_in is not None and not promise.use:
        raise ValueError(f"{name} is deprecated, but use= does not say what replaces it")
    if any(later <= earlier for earlier, later in pairwise(numbers)):
        given = ", ".join(each for each in dates if each is not None)
        raise ValueError(f"{name} has the dates {given}; each is expected after the one before")


def _numbers(version: str) -> tuple[int, ...]:
    """Return a version such as `0.10` as numbers, which compare as versions do."""
    parts = version.split(".")
    if not all(part.isdecimal() for part in parts):
        raise ValueError(f"version {version!r} found; numbers such as '0.10' are expected")
    numbers = [int(part) for part in parts]
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)
