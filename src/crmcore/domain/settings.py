"""Settings: checks of a plugin's fields that say what was found, what is expected, and nearest."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from attrs import Attribute

from crmcore.errors import ConfigurationError, nearest

Check = Callable[[Any, "Attribute[Any]", Any], None]


def choice(*options: str) -> Check:
    """
    Return a validator of attrs that takes nothing but one of *options*.

    >>> from attrs import define, field
    >>> @define
    ... class Grading:
    ...     scheme: str = field(default="pareto", validator=choice("pareto", "rfm"))
    >>> Grading(scheme="rmf")
    Traceback (most recent call last):
    crmcore.errors.ConfigurationError: scheme is 'rmf' (did you mean 'rfm'?); 'pareto' or 'rfm' \
is expected
    """

    def check(_: Any, attribute: Attribute[Any], value: Any) -> None:
        if not isinstance(value, str) or value not in options:
            raise ConfigurationError(f"{attribute.name} is {not_among(value, options)}")

    return check


def whole(*, least: int | None = None, most: int | None = None) -> Check:
    """Return a validator of attrs that takes nothing but a whole number, from *least* to *most*."""
    expected = "a whole number"
    if least is not None and most is not None:
        expected += f" from {least} to {most}"
    elif least is not None:
        expected += f" of at least {least}"
    elif most is not None:
        expected += f" of at most {most}"

    def check(_: Any, attribute: Attribute[Any], value: Any) -> None:
        if (
            type(value) is not int
            or (least is not None and value < least)
            or (most is not None and value > most)
        ):
            raise ConfigurationError(f"{attribute.name} is {value!r}; {expected} is expected")

    return check


def not_among(value: object, options: Iterable[object]) -> str:
    """Say what was found where one of *options* is expected, with the nearest of them."""
    options = list(options)
    hint = nearest(value, [each for each in options if isinstance(each, str)])
    return f"{value!r}{hint}; {' or '.join(map(repr, options))} is expected"
