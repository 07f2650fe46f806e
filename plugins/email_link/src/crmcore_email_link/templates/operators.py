"""Operators of templates, so that none makes more than a rendering may hold."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from datetime import date, time
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from jinja2 import Undefined
from markupsafe import Markup, escape

from crmcore_email_link.templates.budget import VIEWS, Budget
from crmcore_email_link.templates.errors import LimitError, RefusedError

_BITS: Final = 4096
"""Of the widest whole number; int's own limit on printing is 4,300 digits."""

_NUMBERS: Final = (int, float, Decimal)
_READABLE: Final = (str, int, float, Decimal, date, time, UUID)  # bool and datetime are among them
_PLAIN: Final = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
    "**": operator.pow,
}
_COMPARE: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "lteq": operator.le,
    "gt": operator.gt,
    "gteq": operator.ge,
    "in": lambda left, right: left in right,
    "notin": lambda left, right: left not in right,
}
INTERCEPTED: Final = frozenset(_PLAIN)


def calculate(budget: Budget, sign: str, left: Any, right: Any) -> Any:
    """Return what `left sign right` is; raises where that would be too large, or is no number."""
    if isinstance(left, _NUMBERS) and isinstance(right, _NUMBERS):
        if type(left) is int and type(right) is int:
            _check_width(sign, left, right)
        return _PLAIN[sign](left, right)
    if sign == "%" and isinstance(left, str):
        raise RefusedError("text % value is not allowed; write text|format(value)")
    if sign == "*":
        for many, times in ((left, right), (right, left)):
            if isinstance(many, str | list | tuple) and isinstance(times, int):
                count = len(many) * max(times, 0)
                _take(budget, many, count)
                return many * times
    if sign == "+" and type(left) is type(right) and isinstance(left, str | list | tuple):
        _take(budget, left, len(left) + len(right))
        return left + right
    if sign == "+" and isinstance(left, str) and isinstance(right, str):
        _take(budget, left, 6 * (len(left) + len(right)))  # one is Markup, so one is escaped
        return left + right
    if sign in "+-" and not isinstance(left, _SIZED) and not isinstance(right, _SIZED):
        return _PLAIN[sign](left, right)  # dates and the time between them
    defined(left)
    defined(right)
    raise RefusedError(f"{_kind(left)} {sign} {_kind(right)} is not possible")


def defined(value: Any) -> None:
    """Raise what Jinja raises when a variable that is not there is used."""
    if isinstance(value, Undefined):
        str(value)


_SIZED: Final = (str, list, tuple, dict, range, bytes)


def _kind(value: object) -> str:
    return "text" if isinstance(value, str) else type(value).__name__


def _take(budget: Budget, example: object, count: int) -> None:
    if isinstance(example, str):
        budget.take(1, count)
    else:
        budget.take(1 + count)


def _check_width(sign: str, left: int, right: int) -> None:
    if sign == "*":
        bits = left.bit_length() + right.bit_length()
    elif sign == "**":
        bits = left.bit_length() * abs(right)
    else:
        return
    if bits > _BITS:
        raise LimitError(
            f"a number would have about {bits:,} bits; at most {_BITS:,} are allowed",
            exceeded="number",
        )


def compare(budget: Budget, sign: str, left: Any, right: Any) -> Any:
    """Return whether `left sign right` holds, weighed before it is compared."""
    if type(left) in _NUMBERS and type(right) in _NUMBERS:
        return _COMPARE[sign](left, right)
    if sign in ("in", "notin"):
        if not isinstance(right, (*_SIZED, *VIEWS)):
            defined(right)
            if isinstance(right, _NUMBERS) or right is None:
                raise RefusedError(f"nothing is in {_kind(right)}; a list or text is expected")
            raise RefusedError(f"`in` wants a list or text, not {_kind(right)}; add |list")
        budget.weigh(left)
    if type(left) is not type(right) or not isinstance(left, str):
        budget.weigh(left)
    budget.weigh(right)
    return _COMPARE[sign](left, right)


def concatenate(budget: Budget, values: tuple[Any, ...], autoescape: bool) -> str:
    """Return the values as one text, as `~` does; safe markup if one of them is."""
    texts = [text_of(budget, each) for each in values]
    if autoescape and any(isinstance(each, Markup) for each in texts):
        texts = [escape(each) for each in texts]
        budget.take(1, sum(map(len, texts)))
        return Markup("").join(texts)
    budget.take(1, sum(map(len, texts)))
    return "".join(texts)


def text_of(budget: Budget, value: Any) -> str:
    """Return *value* as a text; raises `RefusedError` where it has no form for readers."""
    kind = type(value)
    if kind is str or kind is Markup:
        budget.take(1, len(value))
        return value  # type: ignore[no-any-return]  # the line above says that it is one
    if value is None:
        raise RefusedError("the value is None; give it one, or write |default('…', true)")
    if kind is list or kind is tuple or kind is dict:
        raise RefusedError(
            f"a {kind.__name__} is put out as it is; write |join(', ') or a loop over it"
        )
    if not isinstance(value, _READABLE):
        defined(value)
        raise RefusedError(
            f"a {kind.__name__} is put out; text, a number or a date is expected"
            + (": add ()" if callable(value) else "")
        )
    found = str(value)
    budget.take(1, len(found))
    return found


def cut(budget: Budget, value: Any, part: slice) -> Any:
    """Return a slice of a text or list."""
    if not isinstance(value, str | list | tuple | range):
        raise RefusedError(f"{_kind(value)} cannot be sliced; add |list")
    _take(budget, value, len(value))
    return value[part]


def key_of(budget: Budget, value: Any) -> Any:
    """Return *value* as the key of a dict."""
    budget.weigh(value)
    return value
