"""Templates of mails: compiled once, rendered for each recipient."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from html import unescape
from typing import Any, Final, Literal

from attrs import define, field, frozen
from jinja2 import pass_context
from markupsafe import Markup, escape

from crmcore_email_link.templates.budget import Budget, Limits
from crmcore_email_link.templates.converting import Syntax, convert, syntax_of
from crmcore_email_link.templates.errors import (
    LimitError,
    RenderError,
    StructuredError,
    TemplateError,
)
from crmcore_email_link.templates.markup import MARK, check_nesting, mark
from crmcore_email_link.templates.once import EachError, convert_once, with_implied_tags
from crmcore_email_link.templates.operators import text_of
from crmcore_email_link.templates.pieces import RESERVED, Piece, read, write
from crmcore_email_link.templates.plaintext import marked, text_of_html
from crmcore_email_link.templates.program import Program
from crmcore_email_link.templates.sandbox import SPECIAL, Sandbox, put_html, put_text
from crmcore_email_link.templates.settling import UNEVEN, collapse, settle
from crmcore_email_link.templates.sources import CHECKS, with_checks

Converted = Literal["once", "each"]
"""When styles went to their elements: for all recipients at once, or in each mail by itself."""

_MARKUP: Final = re.compile(r"<|&(?!(?:amp|lt|gt|quot|nbsp|#34|#39);)")
_SPACES: Final = re.compile(r"[ \t\n\r\f]+")
_LINE: Final = re.compile(r"[\s\x00-\x1f\x7f\x85\u2028\u2029]+")


@pass_context
def _put_flat(context: Any, value: Any) -> str:
    if type(value) is not str:
        if type(value) is Markup and _MARKUP.search(value):
            raise StructuredError
        return put_html(context, value)
    if SPECIAL.search(value):  # as `put_html` does, without a call for each value
        value = str(escape(value))
    budget: Budget = context.budget
    budget.characters -= len(value)
    if budget.characters < 0:
        budget.take(0)
    return value  # type: ignore[no-any-return]  # it is a text by now


@pass_context
def _put_marked(context: Any, value: Any) -> str:
    if type(value) is str:
        budget: Budget = context.budget
        budget.characters -= len(value)
        if budget.characters < 0:
            budget.take(0)
        return collapse(value) if UNEVEN.search(value) else value
    found = text_of(context.budget, value)
    return collapse(unescape(found) if type(found) is Markup else found)


_Put = Callable[[Any, Any], str]
_Kind = Literal["html", "flat", "marked", "text"]


def _for_mjml(put: _Put) -> _Put:
    """Return what puts a value out with single spaces: MJML reads some breaks as none."""

    @pass_context
    def put_spaced(context: Any, value: Any) -> str:
        return put(context, _SPACES.sub(" ", value) if type(value) is str else value)

    return put_spaced


@cache
def _sandbox(kind: _Kind, syntax: Syntax = "html") -> Sandbox:
    sandbox = Sandbox(autoescape=kind in ("html", "flat"))
    sandbox.filters.update(CHECKS)
    puts: Mapping[_Kind, _Put] = {
        "html": put_html,
        "flat": _put_flat,
        "marked": _put_marked,
        "text": put_text,
    }
    sandbox.finalize = _for_mjml(puts[kind]) if syntax == "mjml" else puts[kind]
    return sandbox


@frozen(kw_only=True)
class Rendered:
    """
    What one recipient's mail says.

    Attributes:
        subject: One line.
        text: The plain text, with one break at its end.
        html: With styles at its elements; None: the mail is text only.
        converted: When the styles went there.
    """

    subject: str
    text: str
    html: str | None
    converted: Converted


@define(eq=False)
class MailTemplate:
    r"""
    A mail with places for values, compiled; it may be used from several threads.

    HTML is escaped where values are put in; subject and text are not, as they show no markup.

    >>> news = MailTemplate("news", subject="For {{ name }}", html="<p>Hello {{ name }}!</p>")
    >>> news.render({"name": "Ada & Co"}).html
    '<html><head></head><body><p>Hello Ada &amp; Co!</p></body></html>'
    >>> news.render({"name": "Ada & Co"}).text
    'Hello Ada & Co!\n'

    Attributes:
        name: By which errors call it.
        subject: Of the mail; a line break in a value becomes a space.
        html: In HTML or MJML; None: the mail is text only.
        text: The plain text, as its author wrote it; None: it is made from the HTML.
        parts: What `{% include "name" %}` may name, in any of them.
        limits: What rendering one of them may take.
        converts: Whether styles go to their elements for all recipients at once, or in each mail,
            which gives the same and takes longer.
        reason: Why in each mail, if so.
        pieces: Of the HTML, with styles at its elements if that is done for all at once.

    Raises:
        TemplateError: If it cannot be compiled.
    """

    name: str
    subject: str = field(kw_only=True)
    html: str | None = field(default=None, kw_only=True)
    text: str | None = field(default=None, kw_only=True)
    parts: Mapping[str, str] = field(factory=dict, kw_only=True)
    limits: Limits = field(factory=Limits, kw_only=True)
    converts: Converted = field(default="once", init=False)
    reason: str | None = field(default=None, init=False)
    pieces: Sequence[Piece] = field(default=(), init=False, repr=False)
    _syntax: Syntax = field(default="html", init=False)
    _programs: dict[str, Program] = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        if self.html is None and self.text is None:
            raise TemplateError("it has neither html nor text; one is expected", template=self.name)
        self._compile("subject", self._pieces(self.subject, "subject"), "text")
        if self.text is not None:
            self._compile("text", self._pieces(self.text, "text"), "text")
        if self.html is not None:
            self._compile_html(self._pieces(self.html, "html"))

    def _pieces(self, source: str, part: str) -> list[Piece]:
        return read(source, name=f"{self.name}/{part}", parts=self.parts)

    def _compile(self, part: str, pieces: Sequence[Piece], kind: _Kind) -> None:
        source, places = write(pieces)
        name = f"{self.name}/{'text' if part == 'marked' else part}"
        self._programs[part] = Program(
            source,
            _sandbox(kind, "html" if kind == "text" else self._syntax),
            name=name,
            places=places,
        )

    def _compile_html(self, pieces: list[Piece]) -> None:
        name = f"{self.name}/html"
        try:
            check_nesting(_marked_html(pieces))
        except LimitError as error:
            raise TemplateError(f"it {error}", template=name) from None
        pieces = with_implied_tags(with_checks(pieces))
        self._syntax = syntax_of("".join(each.source for each in pieces if each.kind == "text"))
        self._compile("html", pieces, "html")
        self.pieces = pieces
        try:
            self.pieces = once = convert_once(pieces, self._syntax, name=name).pieces
        except EachError as error:
            self.converts, self.reason = "each", str(error)
            return
        self._compile("once", once, "flat")
        if self.text is None:
            self._compile("marked", _text_pieces(once), "marked")

    @property
    def programs(self) -> Mapping[str, Program]:
        """What was compiled: `subject`, and `html` and `text` where their author wrote them."""
        return {
            name: self._programs[name]
            for name in ("subject", "html", "text")
            if name in self._programs
        }

    @property
    def is_mjml(self) -> bool:
        """Whether its author wrote MJML."""
        return self._syntax == "mjml"

    def marked_html(self) -> str:
        """Return its HTML with the number of each of its pieces where that stands."""
        return _marked_html(self.pieces)

    def render(self, variables: Mapping[str, Any]) -> Rendered:
        """
        Return what one recipient's mail says; previews call this too, so they say the same.

        Args:
            variables: Plain data: texts, numbers, dates, lists and dicts.

        Raises:
            RenderError: If it cannot be rendered with these, which tells nothing of any others.
        """
        subject = _LINE.sub(" ", self._run("subject", variables)).strip()
        html, converted = self._html(variables)
        return Rendered(
            subject=subject,
            text=self._text(variables, html, converted),
            html=html,
            converted=converted,
        )

    def render_each(self, variables: Mapping[str, Any]) -> Rendered:
        """Return the same, with the styles put to the elements of this mail by itself."""
        subject = _LINE.sub(" ", self._run("subject", variables)).strip()
        html = self._each(variables) if self.html is not None else None
        text = self._text(variables, html, "each")
        return Rendered(subject=subject, text=text, html=html, converted="each")

    def _run(self, part: str, variables: Mapping[str, Any]) -> str:
        return self._programs[part].run(variables, self.limits)

    def _html(self, variables: Mapping[str, Any]) -> tuple[str | None, Converted]:
        if self.html is None:
            return None, self.converts
        if self.converts == "once":
            try:
                return self._run("once", variables), "once"
            except StructuredError:
                pass
        return self._each(variables), "each"

    def _each(self, variables: Mapping[str, Any]) -> str:
        html = self._run("html", variables)
        name = f"{self.name}/html"
        try:
            check_nesting(html)
            return convert(html, self._syntax, name=name)
        except TemplateError as error:
            raise RenderError(error.problem, template=name) from None
        except LimitError as error:
            raise RenderError(
                str(error), template=name, fault="limit", exceeded=error.exceeded
            ) from None

    def _text(self, variables: Mapping[str, Any], html: str | None, converted: Converted) -> str:
        if self.text is not None:
            found = self._run("text", variables).replace("\r\n", "\n").strip("\n")
            return f"{found}\n"
        if converted == "once":
            return settle(self._run("marked", variables))
        return text_of_html(RESERVED.sub(" ", html or ""))


def _marked_html(pieces: Sequence[Piece]) -> str:
    return "".join(
        each.source if each.kind == "text" else mark(number) for number, each in enumerate(pieces)
    )


def _text_pieces(once: Sequence[Piece]) -> list[Piece]:
    """Return the template of the plain text of a template in HTML."""
    html = _marked_html(once)
    found: list[Piece] = []
    for index, text in enumerate(MARK.split(marked(html, lambda each: once[each].kind == "do"))):
        if index % 2:
            found.append(once[int(text)])
        elif text:
            found.append(Piece("text", text, once[0].place))
    return found
