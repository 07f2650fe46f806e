"""Budgets: how much one rendering may do, counted and not timed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from attrs import field, frozen, validators
from markupsafe import Markup

from crmcore_email_link.templates.errors import LimitError, RefusedError

VIEWS: Final[tuple[type, ...]] = tuple(map(type, ({}.keys(), {}.values(), {}.items())))
"""What `keys()` and the like of a dict give."""


@frozen(kw_only=True)
class Limits:
    """
    How much the rendering of one part of one mail may do.

    Steps and characters are counted, so what is refused once is refused always, on any machine and
    in any thread, and no clock or signal is needed. A usual newsletter takes about a hundredth.

    Attributes:
        steps: Parts of expressions and statements carried out, and items of lists gone through.
        characters: Of all texts made or read, together.
        output_bytes: Of what comes out, in UTF-8.
        depth: Macros within one another, and levels of a recursive loop.
    """

    steps: int = field(default=200_000, validator=validators.gt(0))
    characters: int = field(default=2_000_000, validator=validators.gt(0))
    output_bytes: int = field(default=1_000_000, validator=validators.gt(0))
    depth: int = field(default=24, validator=validators.gt(0))


class Budget:
    """What one rendering has left."""

    __slots__ = ("characters", "depth", "limits", "steps")

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.steps = limits.steps
        self.characters = limits.characters
        self.depth = 0

    def take(self, steps: int, characters: int = 0) -> None:
        """Use some of it; raises `LimitError` when there is not so much left."""
        self.steps -= steps
        self.characters -= characters
        if self.steps < 0 or self.characters < 0:
            self._fail()

    def _fail(self) -> None:
        if self.steps < 0:
            limit = self.limits.steps
            raise LimitError(
                f"takes more than {limit:,} steps; a loop may be too long", exceeded="steps"
            )
        limit = self.limits.characters
        raise LimitError(
            f"makes or reads more than {limit:,} characters of text", exceeded="characters"
        )

    def enter(self) -> None:
        """Go one level deeper; raises `LimitError` when that is too deep."""
        self.depth += 1
        if self.depth > self.limits.depth:
            raise LimitError(
                f"calls macros or loops within one another more than {self.limits.depth} deep",
                exceeded="depth",
            )

    def leave(self) -> None:
        """Come back from a level."""
        self.depth -= 1

    def weigh(self, value: Any) -> None:
        """
        Use as much as going through all of *value* takes.

        Lists may hold one list many times over, and so stand for far more than they take. What C
        code goes through, such as `==`, `str` or `hash`, cannot be stopped, so it is weighed first.
        """
        waiting = [value]
        # Summed up here, as this runs for each value of a list in each mail. Whatever waits has
        # been counted with what holds it, so there is never more of it than there are steps.
        steps = characters = 0
        while waiting:
            each = waiting.pop()
            kind = type(each)
            if kind is str or kind is Markup:
                steps += 1
                characters += len(each)
                if characters > self.characters:
                    break
            elif kind is dict or kind is list or kind is tuple or kind in VIEWS:
                steps += 1 + len(each)
                if steps > self.steps:
                    break
                waiting += each
                if kind is dict:
                    waiting += each.values()
            else:
                steps += len(each) if kind is range else 1
        self.take(steps, characters)

    def counted(self, items: Iterable[Any]) -> Iterator[Any]:
        """Go through *items*, and use a step and what each weighs."""
        for each in items:
            self.weigh(each)
            yield each


def whole(value: object, name: str, *, highest: int) -> int:
    """Return a whole number of at most *highest* either way; raises if it is none."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise RefusedError(f"{name} is {_short(value)}; a whole number is expected")
    if abs(value) > highest:
        raise LimitError(
            f"{name} is {_short(value)}; at most {highest:,} is allowed", exceeded=name
        )
    return value


def _short(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return (
            f"{value:,}" if value.bit_length() <= 128 else f"a number of {value.bit_length()} bits"
        )
    if isinstance(value, str):
        return repr(value if len(value) <= 40 else f"{value[:40]}…")
    return f"of type {type(value).__name__}"
