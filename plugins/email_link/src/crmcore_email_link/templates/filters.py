"""Filters and tests that templates may use, each guarded by what it could make."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from functools import wraps
from typing import Any, Final, cast

from jinja2 import Undefined, pass_context
from jinja2.filters import FILTERS as DEFAULT_FILTERS
from jinja2.tests import TESTS as DEFAULT_TESTS
from markupsafe import Markup, escape

from crmcore_email_link.templates.budget import Budget, whole
from crmcore_email_link.templates.errors import LimitError, RefusedError
from crmcore_email_link.templates.operators import compare, concatenate, text_of

Filter = Callable[..., Any]

_LONGEST_PATH: Final = 64
"""Characters of an attribute's path, such as `variant.name`: it is walked for every item."""

_CALL: Final = 4
"""Steps that calling a filter counts for; it takes about as long as so many others."""


def guarded(function: Filter, before: Callable[..., None] | None = None) -> Filter:
    """
    Return a filter of Jinja that uses up what its arguments and its result weigh.

    Args:
        function: Jinja's own.
        before: Called with the budget and the arguments; raises where the result would be too big.
    """
    passed = getattr(getattr(function, "jinja_pass_arg", None), "name", None)

    @wraps(function)
    def run(context: Any, value: Any, *args: Any, **named: Any) -> Any:
        budget: Budget = context.budget
        budget.take(_CALL)
        for each in (value, *args, *named.values()):
            budget.weigh(each)
        if isinstance(value, Iterator):
            value = budget.counted(value)
        if before is not None:
            before(budget, value, *args, **named)
        first = {
            None: (),
            "context": (context,),
            "eval_context": (context.eval_ctx,),
            "environment": (context.environment,),
        }[passed]
        found = function(*first, value, *args, **named)
        if isinstance(found, str):
            budget.take(1, len(found))
        elif isinstance(found, list | tuple):
            budget.take(1 + len(found))
        return found

    del run.__wrapped__  # Jinja would read its mark, not ours
    run.__dict__.pop("jinja_pass_arg", None)
    return pass_context(run)


def _check_path(budget: Budget, value: Any, *args: Any, **named: Any) -> None:
    """Bound what is walked for each item: `attribute='a.b.c'`, or the first argument."""
    paths = [each for each in (*args, *named.values()) if isinstance(each, str)]
    longest = max(map(len, paths), default=0)
    if longest > _LONGEST_PATH:
        raise LimitError(
            f"an attribute's path has {longest:,} characters; at most {_LONGEST_PATH} are allowed",
            exceeded="path",
        )
    if paths and hasattr(value, "__len__"):
        budget.take(len(value) * max(each.count(".") + each.count(",") for each in paths))


def _check_center(budget: Budget, value: Any, width: Any = 80) -> None:
    budget.take(1, abs(whole(width, "width", highest=1000)))


def _check_indent(budget: Budget, value: Any, width: Any = 4, *_: Any, **__: Any) -> None:
    size = len(width) if isinstance(width, str) else whole(width, "width", highest=100)
    budget.take(1, len(str(value).splitlines()) * abs(size))


def _check_replace(budget: Budget, value: Any, old: Any, new: Any, count: Any = None) -> None:
    text, old, new = str(value), str(old), str(new)
    found = text.count(old) if old else len(text) + 1
    budget.take(1, 6 * (len(text) + found * len(new)))  # escaped, one character is up to six


def _check_columns(budget: Budget, value: Any, count: Any, fill_with: Any = None) -> None:
    if whole(count, "count", highest=1000) < 1:
        raise RefusedError(f"count is {count}; 1 or more is expected")
    budget.take(count)


def _check_round(budget: Budget, value: Any, precision: Any = 0, method: str = "common") -> None:
    _number(value)
    whole(precision, "precision", highest=20)


def _check_number(budget: Budget, value: Any, *_: Any, **__: Any) -> None:
    _number(value)


def _check_base(budget: Budget, value: Any, default: Any = 0, base: Any = 10) -> None:
    whole(base, "base", highest=36)


def _check_text(budget: Budget, value: Any, *_: Any, **__: Any) -> None:
    text_of(budget, value)


def _check_encoded(budget: Budget, value: Any) -> None:
    if isinstance(value, str):
        budget.take(1, 12 * len(value))  # a character of four bytes becomes %F0%9F%8E%81


def _number(value: Any) -> Any:
    if isinstance(value, Undefined):
        str(value)
    if isinstance(value, int | float | Decimal):
        return value
    raise RefusedError(f"a number is expected, not a {type(value).__name__}")


@pass_context
def join(context: Any, value: Iterable[Any], d: str = "", attribute: Any = None) -> str:
    """Join texts, as Jinja's does: where one is safe markup, the others are escaped."""
    budget: Budget = context.budget
    budget.take(_CALL)
    if attribute is not None:
        value = context.environment.call_filter("map", value, [], {"attribute": attribute}, context)
    glue = text_of(budget, d)
    parts = [text_of(budget, each) for each in budget.counted(value)]
    budget.take(len(parts), len(glue) * len(parts))
    woven = [each for part in parts for each in (glue, part)][1:]
    return concatenate(budget, tuple(woven), context.eval_ctx.autoescape)


@pass_context
def total(context: Any, value: Iterable[Any], attribute: Any = None, start: Any = 0) -> Any:
    """Add up numbers, and nothing else."""
    context.budget.take(_CALL)
    if attribute is not None:
        value = context.environment.call_filter("map", value, [], {"attribute": attribute}, context)
    found = _number(start)
    for each in context.budget.counted(value):
        found += _number(each)
    return found


_FIELD: Final = re.compile(r"%(?:\((\w+)\))?([-+ #0]*)(\d*)(?:\.(\d+))?([sdifeEgGxXo%])")


@pass_context
def format_text(context: Any, value: Any, *args: Any, **named: Any) -> str:
    """Put values into a text such as `%.2f`, no wider than 100 characters each."""
    budget: Budget = context.budget
    text = text_of(budget, value)
    if args and named:
        raise RefusedError("format takes values by place or by name, not both")
    if text.count("%") != sum(1 if m[5] != "%" else 2 for m in _FIELD.finditer(text)):
        raise RefusedError(f"the format {text[:40]!r} is not understood; such as '%.2f' is")
    budget.take(_CALL + text.count("%"))
    for each in _FIELD.finditer(text):
        for width in (each[3], each[4]):
            whole(int(width[:9]) if width else 0, "width", highest=100)
    values = [text_of(budget, each) if isinstance(each, str) else _number(each) for each in args]
    by_name = {
        name: text_of(budget, each) if isinstance(each, str) else _number(each)
        for name, each in named.items()
    }
    budget.take(1, text.count("%") * sum(len(e) for e in by_name.values() if isinstance(e, str)))
    if isinstance(text, Markup):
        values = [escape(each) if isinstance(each, str) else each for each in values]
        by_name = {n: escape(e) if isinstance(e, str) else e for n, e in by_name.items()}
        return Markup(str(text) % (by_name or tuple(values)))
    found = text % (by_name or tuple(values))
    budget.take(1, len(found))
    return found


@pass_context
def strip_tags(context: Any, value: Any) -> str:
    """Return a text without its tags, in one pass over it."""
    budget: Budget = context.budget
    text = str(text_of(budget, value))
    budget.take(_CALL + text.count("<"))
    head, *parts = text.split("<")
    kept = [
        after if closed else f"<{tag}" for tag, closed, after in (p.partition(">") for p in parts)
    ]
    return " ".join(html.unescape("".join([head, *kept])).split())


@pass_context
def as_text(context: Any, value: Any) -> str:
    """Return a value as a text."""
    return text_of(context.budget, value)


@pass_context
def _length(context: Any, value: Any) -> int:
    """Return how much is in a value, which takes no longer the more it is."""
    context.budget.take(_CALL + 1)
    return len(value)


_BY_PATH: Final = "groupby map max min reject rejectattr select selectattr sort unique".split()
_AS_THEY_ARE: Final = (
    "d default dictsort first float items last list reverse safe slice tojson"
).split()
_ON_TEXT: Final = "capitalize e escape forceescape lower title trim upper wordcount".split()

FILTERS: Final[Mapping[str, Filter]] = {
    **{name: guarded(DEFAULT_FILTERS[name]) for name in _AS_THEY_ARE},
    **{name: guarded(DEFAULT_FILTERS[name], _check_path) for name in _BY_PATH},
    **{name: guarded(DEFAULT_FILTERS[name], _check_text) for name in _ON_TEXT},
    "abs": guarded(DEFAULT_FILTERS["abs"], _check_number),
    "batch": guarded(DEFAULT_FILTERS["batch"], _check_columns),
    "center": guarded(DEFAULT_FILTERS["center"], _check_center),
    "count": _length,
    "filesizeformat": guarded(DEFAULT_FILTERS["filesizeformat"], _check_number),
    "format": format_text,
    "indent": guarded(DEFAULT_FILTERS["indent"], _check_indent),
    "int": guarded(DEFAULT_FILTERS["int"], _check_base),
    "join": join,
    "length": _length,
    "replace": guarded(DEFAULT_FILTERS["replace"], _check_replace),
    "round": guarded(DEFAULT_FILTERS["round"], _check_round),
    "slice": guarded(DEFAULT_FILTERS["slice"], _check_columns),
    "string": as_text,
    "striptags": strip_tags,
    "sum": total,
    "tojson": guarded(DEFAULT_FILTERS["tojson"], lambda budget, value: None),
    "truncate": guarded(DEFAULT_FILTERS["truncate"], _check_text),
    "urlencode": guarded(DEFAULT_FILTERS["urlencode"], _check_encoded),
}
"""
What templates may use. Not among them: `random` (a preview would differ from the mail), `attr`,
`pprint`, `xmlattr`, `urlize` and `wordwrap`.
"""


def _weighed(function: Callable[..., bool]) -> Filter:
    @pass_context
    def run(context: Any, value: Any, *args: Any) -> bool:
        for each in (value, *args):
            context.budget.weigh(each)
        return function(value, *args)

    return run


def _compared(sign: str) -> Filter:
    @pass_context
    def run(context: Any, value: Any, other: Any) -> bool:
        return bool(compare(context.budget, sign, value, other))

    return run


def _divisible(value: Any, by: Any) -> bool:
    return bool(_number(value) % _number(by) == 0)


_COMPARED: Final = {
    "eq": "eq",
    "equalto": "eq",
    "==": "eq",
    "ne": "ne",
    "!=": "ne",
    "lt": "lt",
    "lessthan": "lt",
    "<": "lt",
    "le": "lteq",
    "<=": "lteq",
    "gt": "gt",
    "greaterthan": "gt",
    ">": "gt",
    "ge": "gteq",
    ">=": "gteq",
    "in": "in",
}
_PLAIN: Final = (
    "boolean defined escaped false float integer iterable lower mapping none number sameas "
    "sequence string true undefined upper"
).split()

TESTS: Final[Mapping[str, Filter]] = {
    **{name: cast("Filter", DEFAULT_TESTS[name]) for name in _PLAIN},
    **{name: _compared(sign) for name, sign in _COMPARED.items()},
    "lower": _weighed(lambda value: isinstance(value, str) and value.islower()),
    "upper": _weighed(lambda value: isinstance(value, str) and value.isupper()),
    "odd": lambda value: not _divisible(value, 2),
    "even": lambda value: _divisible(value, 2),
    "divisibleby": _divisible,
}
"""Tests that templates may use, after `is`."""
