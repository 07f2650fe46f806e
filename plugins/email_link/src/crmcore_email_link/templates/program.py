"""Programs: a template's text compiled by Jinja, run once for each recipient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Final

from jinja2 import TemplateError as JinjaError
from jinja2 import TemplateSyntaxError, UndefinedError, nodes
from jinja2.exceptions import SecurityError

from crmcore.errors import nearest
from crmcore_email_link.templates.budget import Budget, Limits
from crmcore_email_link.templates.errors import (
    Fault,
    LimitError,
    RefusedError,
    RenderError,
    StructuredError,
    TemplateError,
)
from crmcore_email_link.templates.pieces import Place
from crmcore_email_link.templates.sandbox import Sandbox

_REFUSED: Final[Mapping[type[nodes.Node], str]] = {
    nodes.Extends: "extends; a template stands by itself, or includes parts",
    nodes.Block: "block, which is for templates that extend others",
    nodes.Include: "include of anything but a name in quotes, alone",
    nodes.Import: "import; include the part, or write the macro here",
    nodes.FromImport: "import; include the part, or write the macro here",
    nodes.ScopedEvalContextModifier: "autoescape; write |safe where markup is meant",
}


class Program:
    """
    A compiled template.

    Attributes:
        name: Of the template, for errors.
        tree: What Jinja made of it.
    """

    def __init__(
        self, source: str, sandbox: Sandbox, *, name: str, places: Mapping[int, Place]
    ) -> None:
        self.name = name
        self._places = places
        try:
            self.tree: nodes.Template = sandbox.parse(source)
            self._check(sandbox)
            self._template = sandbox.from_string(self.tree)
        except TemplateError:
            raise
        except TemplateSyntaxError as error:
            raise self._wrong(error.message or "syntax error", error.lineno) from None
        except (RecursionError, MemoryError, SyntaxError, OverflowError, ValueError) as error:
            raise TemplateError(
                f"it is too deeply nested, or a number in it too long: {error}", template=name
            ) from None

    def _wrong(self, problem: str, line: int) -> TemplateError:
        place = self.place(line)
        return TemplateError(problem.rstrip("."), template=place.template, line=place.line)

    def place(self, line: int) -> Place:
        """Return where the author wrote what stands in *line* of the source."""
        while line > 0 and line not in self._places:
            line -= 1
        return self._places.get(line, Place(self.name, 1))

    def _check(self, sandbox: Sandbox) -> None:
        for node in self.tree.find_all(nodes.Node):
            problem = _problem(node, sandbox)
            if problem is not None:
                raise self._wrong(problem, node.lineno)

    def run(self, variables: Mapping[str, Any], limits: Limits) -> str:
        """Return what comes out; raises `RenderError`."""
        try:
            return self._run(variables, limits)
        except StructuredError:
            raise
        except Exception as error:
            problem = self._explained(error)
        raise problem  # outside, so that it holds none of what the rendering had made

    def _run(self, variables: Mapping[str, Any], limits: Limits) -> str:
        context = self._template.new_context(dict(variables))
        context.budget = Budget(limits)  # type: ignore[attr-defined]  # a CountingContext
        # All that comes out, text and values, is taken from the budget as it does, so what is
        # joined here is never more than its characters.
        text = "".join(self._template.root_render_func(context))
        most = limits.output_bytes
        if len(text) > most // 4 and len(text.encode("utf-8", "replace")) > most:
            raise LimitError(f"puts out more than {most:,} bytes", exceeded="output_bytes")
        return text

    def _explained(self, error: Exception) -> RenderError:
        place = self.place(self._line(error.__traceback__))
        problem, fault, exceeded = _explained(error)
        return RenderError(
            problem, template=place.template, line=place.line, fault=fault, exceeded=exceeded
        )

    def _line(self, trace: TracebackType | None) -> int:
        line = 0
        while trace is not None:
            if trace.tb_frame.f_globals.get("__jinja_template__") is self._template:
                line = self._template.get_corresponding_lineno(trace.tb_lineno)
            trace = trace.tb_next
        return line


def _explained(error: Exception) -> tuple[str, Fault, str | None]:
    """Return what went wrong, its kind, and the limit that was exceeded."""
    match error:
        case LimitError():
            return str(error), "limit", error.exceeded
        case RecursionError():
            return "goes too deep into itself", "limit", "depth"
        case MemoryError() | OverflowError():
            return "makes something too large", "limit", "size"
        case RefusedError() | SecurityError():
            return str(error), "refused", None
        case UndefinedError():
            return error.message or "a variable is not there", "missing", None
        case JinjaError():
            return error.message or type(error).__name__, "fault", None
    return f"{type(error).__name__}: {str(error)[:200]}", "fault", None


def _problem(node: nodes.Node, sandbox: Sandbox) -> str | None:
    """Return what is wrong with a part of a template, or None."""
    for kind, problem in _REFUSED.items():
        if isinstance(node, kind):
            return f"this has {problem}"
    match node:
        case nodes.Compare() if len(node.ops) > 1:
            return "comparisons are chained; write `a < b and b < c`"
        case nodes.Name(name="self" | "super"):
            return f"{node.name} is for templates that extend others"
        case nodes.Call() | nodes.Filter() | nodes.Test() if node.dyn_args or node.dyn_kwargs:
            return "arguments are unpacked with *; write each of them"
        case nodes.Filter() if node.name not in sandbox.filters:
            return _unknown("filter", node.name, sandbox.filters)
        case nodes.Test() if node.name not in sandbox.tests:
            return _unknown("test", node.name, sandbox.tests)
    return None


def _unknown(what: str, name: str, known: Mapping[str, Any]) -> str:
    names: Sequence[str] = [each for each in known if each.isidentifier()]
    return f"there is no {what} {name!r} for mails{nearest(name, names)}"
