"""Converting: from MJML or HTML with stylesheets to HTML with styles at each element."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Final, Literal

from crmcore_email_link.templates.errors import TemplateError
from crmcore_email_link.templates.markup import attribute, tokens

if TYPE_CHECKING:
    from css_inline import CSSInliner

Syntax = Literal["html", "mjml"]

_EVERY_SCREEN: Final = frozenset({"", "all", "screen"})
_SPACE_AT_END: Final = re.compile(r"\s+\Z")


@cache
def _inliner() -> CSSInliner:
    from css_inline import CSSInliner

    # Without the first, a template could make us fetch an address; without the second, what is
    # for small screens would be gone.
    return CSSInliner(load_remote_stylesheets=False, keep_at_rules=True)


@cache
def _parser() -> CSSInliner:
    from css_inline import CSSInliner

    return CSSInliner(
        inline_style_tags=False,
        keep_style_tags=True,
        keep_link_tags=True,
        load_remote_stylesheets=False,
    )


def normal(html: str) -> str:
    """Return HTML as a parser writes it again, so that equal documents are equal texts."""
    return _parser().inline(html)


def syntax_of(source: str) -> Syntax:
    """Return what a template is written in: MJML if its first element is `<mjml>`."""
    first = next((each for each in tokens(source) if each.kind == "open"), None)
    return "mjml" if first is not None and first.name == "mjml" else "html"


def convert(source: str, syntax: Syntax, *, name: str) -> str:
    """
    Return the HTML of a mail, with the styles of its stylesheets at each element.

    What cannot stand at an element is kept in the head: `@media` and other at-rules. Rules such as
    `a:hover` are kept only where the author says so: `<style data-css-inline="keep">`.

    Raises:
        TemplateError: If it is no MJML, or its stylesheets cannot be read.
    """
    html = from_mjml(source, name=name) if syntax == "mjml" else source
    return inline(html, name=name)


def from_mjml(source: str, *, name: str) -> str:
    """Return the HTML that MJML stands for; raises `TemplateError`."""
    try:
        import mrml
    except ImportError as error:
        raise TemplateError(
            "it is written in MJML, which needs the package mrml; install "
            "crmcore-email-link[mjml], or write it in HTML",
            template=name,
        ) from error
    try:
        html: str = mrml.to_html(source).content  # includes nothing: its loader is the no-op
    except (OSError, ValueError) as error:
        raise TemplateError(f"it is no MJML: {error}", template=name) from None
    for token in tokens(html):
        if token.kind == "open" and token.name.startswith("mj-"):
            raise TemplateError(f"MJML has no element <{token.name}>", template=name)
    return html


def inline(html: str, *, name: str) -> str:
    """Return HTML with the styles of its stylesheets at each element."""
    from css_inline import InlineError

    try:
        return _SPACE_AT_END.sub("\n", _inliner().inline(_with_media_rules(html)))
    except InlineError as error:
        raise TemplateError(f"its stylesheet cannot be read: {error}", template=name) from None


def _with_media_rules(html: str) -> str:
    """
    Return HTML in which `<style media="…">` is an `@media` rule.

    Otherwise css-inline would put at each element what is for printing or small screens only.
    """
    if "media" not in html:
        return html
    out: list[str] = []
    media = ""
    for token in tokens(html):
        text = html[token.start : token.end]
        if token.kind == "open" and token.name == "style":
            media = (attribute(token.text, "media") or "").strip()
            text = text if media.lower() in _EVERY_SCREEN else "<style>"
        elif token.kind == "raw" and token.name == "style" and media.lower() not in _EVERY_SCREEN:
            text = f"@media {media} {{{text}}}"
        out.append(text)
    return "".join(out)
