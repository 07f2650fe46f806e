"""What may be wrong with a template, and where in it."""

from __future__ import annotations

from typing import Literal

from crmcore.errors import InputError

Fault = Literal["missing", "limit", "refused", "fault"]
"""
What kept a mail from being rendered: a variable is not there; a limit was exceeded; the template
asks for what the sandbox does not give; anything else, such as a text where a number is needed.
"""


class TemplateError(InputError):
    """A template is not right, for whomever it is rendered; names it and the line."""

    def __init__(self, problem: str, *, template: str, line: int | None = None) -> None:
        super().__init__(problem)
        self.problem = problem
        self.template = template
        self.line = line

    def __str__(self) -> str:
        where = "" if self.line is None else f", line {self.line}"
        return f"template {self.template!r}{where}: {self.problem}"


class RenderError(TemplateError):
    """A mail cannot be rendered with one recipient's variables; the others' are not touched."""

    def __init__(
        self,
        problem: str,
        *,
        template: str,
        line: int | None = None,
        fault: Fault = "fault",
        exceeded: str | None = None,
    ) -> None:
        super().__init__(problem, template=template, line=line)
        self.fault: Fault = fault
        self.exceeded = exceeded


class RefusedError(Exception):
    """Raised within a template that does what it may not; becomes a `RenderError` there."""


class LimitError(Exception):
    """Raised within a template that went over a limit; becomes a `RenderError` there."""

    def __init__(self, problem: str, *, exceeded: str) -> None:
        super().__init__(problem)
        self.exceeded = exceeded


class StructuredError(Exception):
    """Raised within a template when a value is markup with elements, which may need styles."""
