"""Arguments: what was handed in is of the type that was asked for, or a sentence says so."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from crmcore.errors import ConfigurationError, InputError

T = TypeVar("T")


def check_text(name: str, value: object) -> None:
    """Refuse anything but text or None."""
    if value is not None and not isinstance(value, str):
        raise InputError(f"{name} is {value!r}; text or None is expected")


def check_whole(name: str, value: object, *, least: int) -> None:
    """Refuse anything but a whole number of at least *least*."""
    if type(value) is not int or value < least:
        raise InputError(f"{name} is {value!r}; a whole number of at least {least} is expected")


def check_positive(name: str, value: object, expected: str) -> None:
    """Refuse anything but a number above 0, described as *expected*."""
    if not (isinstance(value, int | float) and value > 0):
        raise ConfigurationError(f"{name} is {value!r}; {expected} is expected")


def check_callable(name: str, value: object, example: str) -> None:
    """Refuse what cannot be called; *example* is what could."""
    if not callable(value):
        raise InputError(f"{name} is {value!r}; a function is expected, such as {example}")


def check_instance(name: str, value: object, wanted: type[Any], expected: str) -> None:
    """Refuse anything but an object of *wanted*, described as *expected*, or None."""
    if value is not None and not isinstance(value, wanted):
        raise InputError(f"{name} is {value!r}; {expected} is expected")


def check_class(name: str, value: object, wanted: type[Any], expected: str) -> None:
    """Refuse anything but a subclass of *wanted*, described as *expected*."""
    if not (isinstance(value, type) and issubclass(value, wanted)):
        raise InputError(f"{name} is {value!r}; {expected} is expected")


def listed(name: str, values: Iterable[T], expected: str) -> list[T]:
    """
    Return *values* as a list.

    Raises:
        InputError: If they are no collection, or text; *expected* says what they should be.
    """
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise InputError(f"{name} is {values!r}; {expected} is expected")
    return list(values)
