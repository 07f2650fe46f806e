"""The sandbox: Jinja that counts what it does, and touches plain data only."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Any, Final

from jinja2 import StrictUndefined, nodes, pass_context
from jinja2.compiler import CodeGenerator, Frame
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context, LoopContext, Macro, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace
from markupsafe import Markup, escape
from typing_extensions import override

from crmcore_email_link.templates.budget import Budget, whole
from crmcore_email_link.templates.errors import RefusedError
from crmcore_email_link.templates.filters import FILTERS, TESTS
from crmcore_email_link.templates.operators import (
    INTERCEPTED,
    calculate,
    compare,
    concatenate,
    cut,
    key_of,
    text_of,
)

_TEXT: Final = frozenset(
    "capitalize endswith isdigit lower lstrip removeprefix removesuffix rstrip split startswith "
    "strip title upper".split()
)
_DAY: Final = frozenset("day isoformat isoweekday month weekday year".split())
_ATTRIBUTES: Final[Mapping[type, frozenset[str]]] = {
    str: _TEXT,
    Markup: _TEXT,
    dict: frozenset("get items keys values".split()),
    date: _DAY,
    datetime: _DAY | frozenset("hour minute second".split()),
    LoopContext: frozenset(
        "changed cycle depth depth0 first index index0 last length nextitem previtem revindex "
        "revindex0".split()
    ),
}
SPECIAL: Final = re.compile("[&<>\"']")
_KEYS: Final = (str, int)
_WIDE: Final = 8
"""Items of a literal list, more than which are counted by themselves."""


class CountingContext(Context):
    """A context that knows what the rendering has left."""

    budget: Budget


def _own_cost(body: Iterable[nodes.Node]) -> tuple[int, int]:
    """Return how many nodes, and characters of text, run once when *body* does."""
    steps, characters, waiting = 1, 0, list(body)
    while waiting:
        node = waiting.pop()
        steps += 1
        if isinstance(node, nodes.TemplateData):
            characters += len(node.data)
        waiting.extend(node.iter_child_nodes(exclude=("body", "else_")))
    return steps, characters


class CountingGenerator(CodeGenerator):
    """Writes into every body of a template, when it is compiled, that it is counted."""

    @override
    def blockvisit(self, nodes: Iterable[nodes.Node], frame: Frame) -> None:
        nodes = list(nodes)
        steps, characters = _own_cost(nodes)
        self.writeline(f"context.budget.take({steps}, {characters})")
        super().blockvisit(nodes, frame)

    @override
    def _output_child_pre(self, node: nodes.Expr, frame: Frame, finalize: Any) -> None:
        self.write("environment.finalize(context, ")  # escapes as well

    @override
    def _output_child_post(self, node: nodes.Expr, frame: Frame, finalize: Any) -> None:
        self.write(")")

    @override
    def visit_For(self, node: nodes.For, frame: Frame) -> None:
        if node.test is not None:  # what it lets not pass never reaches the body
            node.test = nodes.Filter(node.test, STEP, [], [], None, None, lineno=node.lineno)
            if STEP not in self.filters:
                self.pull_dependencies([node.test])
        super().visit_For(node, frame)

    @override
    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:
        self.write("environment.concatenate(context, ")
        for each in node.nodes:
            self.visit(each, frame)
            self.write(", ")
        self.write(")")

    @override
    def visit_Compare(self, node: nodes.Compare, frame: Frame) -> None:
        (operand,) = node.ops
        if _is_cheap(node.expr, operand) or _is_cheap(operand.expr, operand):
            super().visit_Compare(node, frame)
            return
        self.write(f"environment.compare(context, {operand.op!r}, ")
        self.visit(node.expr, frame)
        self.write(", ")
        self.visit(operand.expr, frame)
        self.write(")")

    @override
    def visit_Getattr(self, node: nodes.Getattr, frame: Frame) -> None:
        # The usual case, a key of a dict, without a call; `getattr` below does all others.
        held, name = self.temporary_identifier(), repr(node.attr)
        self.write(f"({held}[{name}] if type({held} := ")
        self.visit(node.node, frame)
        self.write(f") is dict and {name} in {held} else environment.getattr({held}, {name}))")

    @override
    def visit_Getitem(self, node: nodes.Getitem, frame: Frame) -> None:
        if not isinstance(node.arg, nodes.Slice):
            super().visit_Getitem(node, frame)
            return
        self.write("environment.cut(context, ")
        self.visit(node.node, frame)
        for each in (node.arg.start, node.arg.stop, node.arg.step):
            self.write(", ")
            self.visit(each or nodes.Const(None), frame)
        self.write(")")

    @override
    def visit_List(self, node: nodes.List, frame: Frame) -> None:
        self._open_made(len(node.items))
        super().visit_List(node, frame)
        self._close_made(len(node.items))

    @override
    def visit_Tuple(self, node: nodes.Tuple, frame: Frame) -> None:
        count = len(node.items) if node.ctx == "load" else 0
        self._open_made(count)
        super().visit_Tuple(node, frame)
        self._close_made(count)

    @override
    def visit_Dict(self, node: nodes.Dict, frame: Frame) -> None:
        self._open_made(len(node.items))
        self.write("{")
        for each in node.items:
            self.write("environment.key(context, ")
            self.visit(each.key, frame)
            self.write("): ")
            self.visit(each.value, frame)
            self.write(", ")
        self.write("}")
        self._close_made(len(node.items))

    def _open_made(self, count: int) -> None:
        if count > _WIDE:
            self.write(f"environment.made(context, {count}, ")

    def _close_made(self, count: int) -> None:
        if count > _WIDE:
            self.write(")")


def _is_cheap(side: nodes.Expr, operand: nodes.Operand) -> bool:
    """Return whether a comparison with *side* takes no longer for what the other side is."""
    if operand.op in ("in", "notin"):
        return (
            side is operand.expr
            and isinstance(side, nodes.List | nodes.Tuple)
            and len(side.items) <= _WIDE
            and all(isinstance(each, nodes.Const) for each in side.items)
        )
    return isinstance(side, nodes.Const)


STEP: Final = "(step)"
"""A filter whose name no template can write."""


@pass_context
def _step(context: Any, value: Any) -> Any:
    context.budget.take(8)
    return value


@pass_context
def _range(context: Any, start: Any, stop: Any = None, step: Any = 1) -> range:
    """Return a range of at most as many numbers as there are steps."""
    highest = context.budget.limits.steps
    first, end = (0, start) if stop is None else (start, stop)
    found = range(
        whole(first, "range", highest=2**62),
        whole(end, "range", highest=2**62),
        whole(step, "range", highest=2**62),
    )
    whole(len(found), "range", highest=highest)
    return found


@pass_context
def put_text(context: Any, value: Any) -> str:
    """Return what `{{ value }}` puts out in plain text."""
    return text_of(context.budget, value)


@pass_context
def put_html(context: Any, value: Any) -> str:
    """Return what `{{ value }}` puts out in HTML: escaped, unless it is safe markup."""
    if type(value) is not str:
        value = text_of(context.budget, value)
        if type(value) is not str:
            return value  # type: ignore[no-any-return]  # it is Markup
    if SPECIAL.search(value):
        value = str(escape(value))
    budget: Budget = context.budget
    budget.characters -= len(value)  # as `take` does; this runs for each value in each mail
    if budget.characters < 0:
        budget.take(0)
    return value  # type: ignore[no-any-return]  # it is a text by now


class Sandbox(ImmutableSandboxedEnvironment):
    """
    Jinja for mails.

    Variables are plain data: texts, numbers, dates, lists and dicts. Of a dict, `order.items` is
    the value under that key where there is one, and the method otherwise. There is no `include` at
    this level, no `extends`, `import` and `autoescape`, and nothing that chance decides.
    """

    code_generator_class = CountingGenerator
    context_class = CountingContext
    intercepted_binops = INTERCEPTED

    def __init__(self, *, autoescape: bool) -> None:
        super().__init__(
            autoescape=autoescape,
            undefined=StrictUndefined,
            finalize=put_html if autoescape else put_text,
            optimized=False,  # or constants were folded when it is compiled, outside any budget
            cache_size=0,
            auto_reload=False,
            keep_trailing_newline=True,
        )
        self.globals.clear()
        self.globals.update(range=_range, namespace=Namespace)
        self.filters = {**FILTERS, STEP: _step}
        self.tests = dict(TESTS)

    @override
    def getattr(self, obj: Any, attribute: str) -> Any:
        kind = type(obj)
        if kind is dict and attribute in obj:
            return obj[attribute]
        names = _ATTRIBUTES.get(kind)
        if names is not None and attribute in names:
            return getattr(obj, attribute)
        return self._other(obj, attribute)

    @override
    def getitem(self, obj: Any, argument: Any) -> Any:
        if not isinstance(argument, _KEYS):
            if isinstance(argument, Undefined):
                str(argument)
            raise RefusedError(f"a {type(argument).__name__} is no key; text or a number is")
        if isinstance(obj, dict) or (
            isinstance(argument, int) and isinstance(obj, list | tuple | str | range)
        ):
            try:
                return obj[argument]  # type: ignore[index]  # a TypeError is caught
            except (TypeError, LookupError):
                return self.undefined(obj=obj, name=str(argument))
        return self.getattr(obj, argument) if isinstance(argument, str) else self._other(obj, "")

    def _other(self, obj: Any, attribute: str) -> Any:
        if type(obj) is Namespace and not attribute.startswith("_"):
            return getattr(obj, attribute, self.undefined(obj=obj, name=attribute))
        if isinstance(obj, Mapping) and not isinstance(obj, dict):
            return obj[attribute] if attribute in obj else self.undefined(obj=obj, name=attribute)
        if isinstance(obj, Undefined):
            str(obj)  # raises, naming it
        if hasattr(type(obj), attribute) or attribute.startswith("_"):
            return self.unsafe_undefined(obj, attribute)
        return self.undefined(obj=obj, name=attribute)

    @override
    def call(__self, __context: Any, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805
        budget: Budget = __context.budget
        kind = type(__obj)
        if kind is Macro or kind is LoopContext:
            budget.enter()
            found = __context.call(__obj, *args, **kwargs)
            budget.leave()
            return found
        if isinstance(__obj, Undefined):
            str(__obj)
        if __obj is not _range and __obj is not Namespace:
            _check_method(__obj)
            budget.weigh(__obj.__self__ if kind is not LoopContext else None)
            if __obj.__name__ == "split":
                apart = args[0] if args and isinstance(args[0], str) else None
                size = len(__obj.__self__)
                budget.take(__obj.__self__.count(apart) if apart else size // 2)
        for each in args:
            budget.weigh(each)
        found = __context.call(__obj, *args, **kwargs)
        budget.weigh(found)
        return found

    def concatenate(self, context: Any, *values: Any) -> str:
        """Do `a ~ b`."""
        return concatenate(context.budget, values, self.autoescape is True)

    def compare(self, context: Any, sign: str, left: Any, right: Any) -> Any:
        """Do `a < b` and the like."""
        return compare(context.budget, sign, left, right)

    def cut(self, context: Any, value: Any, start: Any, stop: Any, step: Any) -> Any:
        """Do `value[start:stop:step]`."""
        return cut(context.budget, value, slice(start, stop, step))

    def key(self, context: Any, value: Any) -> Any:
        """Look at a key of a dict before it is hashed."""
        return key_of(context.budget, value)

    def made(self, context: Any, count: int, value: Any) -> Any:
        """Count the items of a literal."""
        context.budget.take(count)
        return value

    @override
    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        return calculate(context.budget, operator, left, right)


def _check_method(method: Any) -> None:
    """Raise unless this is a method that templates may call."""
    owner, name = getattr(method, "__self__", None), getattr(method, "__name__", "")
    if isinstance(owner, type) or name not in _ATTRIBUTES.get(type(owner), ()):
        raise SecurityError(f"a {type(method).__name__} is not to be called")
