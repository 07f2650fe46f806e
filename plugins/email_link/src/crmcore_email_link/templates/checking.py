"""Checking: what can be told of a template without anybody's variables."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from typing import Any, Final, Literal

from attrs import field, frozen
from jinja2 import nodes

from crmcore_email_link.templates.features import unknown_features
from crmcore_email_link.templates.markup import MARK, Token, attribute, spots, tokens
from crmcore_email_link.templates.needs import Needs
from crmcore_email_link.templates.sources import IMAGE, LINK
from crmcore_email_link.templates.template import MailTemplate

Level = Literal["error", "warning", "note"]

UNSUBSCRIBE: Final = "unsubscribe_url"
"""The variable that holds the address by which a recipient unsubscribes."""

_REMOVED: Final = frozenset("script iframe object embed applet frame frameset".split())
_IMAGES: Final = frozenset({"img", "mj-image", "v:image", "v:fill"})
_BACKGROUND: Final = re.compile(r"""(?<!import )\burl\(\s*["']?([^"')\s{]+)""", re.IGNORECASE)
_DROPPED: Final = re.compile(r"::?(?:hover|active|focus|visited|link|before|after|target)\b")


@frozen
class Finding:
    """
    Something wrong with a template.

    Attributes:
        level: An `error` keeps a campaign from starting, a `warning` does not; a `note` informs.
        code: Which it is, such as `image-without-alt`.
        message: In a sentence.
        template: The part it is in.
        line: Of it, if it is in one.
        recipients: Whom it concerns; none: all.
    """

    level: Level
    code: str
    message: str
    template: str = field(default="html", kw_only=True)
    line: int | None = field(default=None, kw_only=True)
    recipients: tuple[Any, ...] = field(default=(), kw_only=True)

    def __str__(self) -> str:
        where = self.template if self.line is None else f"{self.template}, line {self.line}"
        whom = f" ({len(self.recipients):,} recipients)" if self.recipients else ""
        return f"{self.level}: {where}: {self.message} [{self.code}]{whom}"


def static_findings(template: MailTemplate, needs: Needs, *, bulk: bool) -> Iterator[Finding]:
    """Go through what is wrong whoever it goes to."""
    markup = template.marked_html()
    source = template.html or ""
    for token in tokens(markup):
        if token.kind == "open":
            for level, code, message, near in _in_tag(token):
                yield Finding(level, code, message, line=_line_of(near, source))
    for feature in unknown_features(source, is_mjml=template.is_mjml):
        instead = f"; {feature.instead}" if feature.instead else ""
        yield Finding(
            "warning",
            "unknown-css",
            f"{feature.name} is not known to {', '.join(feature.unknown_to)} "
            f"(tested {feature.tested}){instead}",
        )
    for address in _BACKGROUND.findall(source):
        if not MARK.match(address) and not IMAGE.match(unescape(address)):
            problem = f"an image is at {address[:60]!r}; https:// or cid: is expected"
            yield Finding("error", "image-address", problem, line=_line_of(address, source))
    yield from _dropped(source)
    yield from _unescaped(template)
    if template.reason is not None:
        yield Finding(
            "note", "converts-each", f"each mail is converted by itself, as {template.reason}"
        )
    if bulk:
        yield from _unsubscribing(template, markup, needs)


def _in_tag(token: Token) -> Iterator[tuple[Level, str, str, str]]:
    name = token.name
    if name in _REMOVED:
        yield "error", "removed", f"mail programs remove <{name}>", f"<{name}"
    if name in ("img", "mj-image") and attribute(token.text, "alt") is None:
        source = attribute(token.text, "src") or ""
        near = source if not MARK.search(source) else f"<{name}"
        yield "warning", "image-without-alt", 'an image has no alt=""; say what it shows', near
    address = attribute(token.text, "src") if name in _IMAGES else None
    if address is not None and not MARK.match(address) and not IMAGE.match(_plain(address)):
        problem = f"an image is at {address[:60]!r}; https:// or cid: is expected"
        yield "error", "image-address", problem, address
    link = attribute(token.text, "href") if name not in ("link", "base") else None
    if link is not None and not MARK.match(link):
        if not LINK.match(_plain(link)):
            problem = f"a link goes to {link[:60]!r}; https://, mailto: or tel: is expected"
            yield "error", "link-address", problem, link or f"<{name}"
        elif link.lower().startswith("http://"):
            yield "warning", "http-link", f"a link goes to {link[:60]!r}, which is not https", link


def _plain(address: str) -> str:
    return MARK.sub("x", unescape(address)).strip()


def _line_of(text: str, source: str) -> int | None:
    text = MARK.split(text)[0]
    position = source.find(text) if text else -1
    if position < 0:
        position = source.find(unescape(text)) if text else -1
    return source.count("\n", 0, position) + 1 if position >= 0 else None


def _dropped(source: str) -> Iterator[Finding]:
    keeps = False
    for token in tokens(source):
        if token.kind == "open" and token.name == "style":
            keeps = attribute(token.text, "data-css-inline") == "keep"
        if token.kind != "raw" or token.name not in ("style", "mj-style") or keeps:
            continue
        plain = re.sub(r"@[^{}]*\{(?:[^{}]*\{[^{}]*\})*[^{}]*\}", "", token.text)
        for selector in re.findall(r"([^{}]+)\{", plain):
            if _DROPPED.search(selector):
                yield Finding(
                    "warning",
                    "rule-dropped",
                    f"{selector.strip()!r} cannot stand at an element and is dropped; put it into "
                    '<style data-css-inline="keep"> or an @media rule',
                    line=_line_of(selector.strip(), source),
                )


def _unescaped(template: MailTemplate) -> Iterator[Finding]:
    program = template.programs.get("html")
    for node in program.tree.find_all(nodes.Filter) if program is not None else ():
        if node.name == "safe":
            place = program.place(node.lineno) if program is not None else None
            yield Finding(
                "warning",
                "unescaped",
                "|safe puts a value out as markup; nothing that customers wrote may go there",
                line=place.line if place else None,
            )


def _unsubscribing(template: MailTemplate, markup: str, needs: Needs) -> Iterator[Finding]:
    pieces = template.pieces
    linked = any(
        spot.attribute == "href"
        for number, places in spots(markup).items()
        if pieces[number].kind == "put" and UNSUBSCRIBE in pieces[number].source
        for spot in places
    )
    if template.html is not None and not linked:
        yield Finding(
            "error",
            "no-unsubscribe",
            f'nothing unsubscribes: <a href="{{{{ {UNSUBSCRIBE} }}}}"> is expected',
        )
    if template.text is not None and not needs_text(template, needs):
        yield Finding(
            "error",
            "no-unsubscribe",
            f"nothing unsubscribes: {{{{ {UNSUBSCRIBE} }}}} is expected",
            template="text",
        )


def needs_text(template: MailTemplate, needs: Needs) -> bool:
    """Return whether the text its author wrote has the address by which one unsubscribes."""
    tree = template.programs["text"].tree
    names = {each.name for each in tree.find_all(nodes.Name)}
    attributes = {each.attr for each in tree.find_all(nodes.Getattr)}
    return UNSUBSCRIBE in names | attributes and needs.uses(UNSUBSCRIBE)
