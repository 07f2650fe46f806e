"""Plain text: what a mail in HTML says, for readers that show no HTML."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from html import unescape
from typing import Final

from attrs import define, field

from crmcore_email_link.templates.markup import MARK, VOID, Token, attribute, attributes, tokens
from crmcore_email_link.templates.settling import (
    CELL,
    GLUE,
    HARD,
    ITEM_END,
    LINE,
    LINK,
    LINK_END,
    LINK_TO,
    NUMBER,
    ORDERED,
    ORDERED_END,
    ORDERED_FROM,
    PARAGRAPH,
    ROW,
    ROW_END,
    collapse,
    link,
    may_be_address,
    merged,
    settle,
)

_UNREAD: Final = frozenset("head script style title template noscript textarea svg".split())
_PARAGRAPHS: Final = frozenset("p h1 h2 h3 h4 h5 h6 ul ol dl blockquote pre figure".split())
_LINES: Final = frozenset(
    "address article aside body center dd div dt fieldset figcaption footer form header li main "
    "nav section table tbody thead tfoot tr td th caption".split()
)
_HIDDEN: Final = re.compile(r"(?:^|;)\s*display\s*:\s*none\b", re.IGNORECASE)
_NO_ADDRESS: Final = ("", "#")
_INDENT: Final = HARD * 2

IsStatement = Callable[[int], bool]
"""Says of a mark, by its number, whether it stands for a statement and not for a value."""


def text_of_html(html: str) -> str:
    r"""
    Return the text of a mail in HTML: links with their addresses, lists and rows as lines.

    >>> text_of_html('<p>Hello <a href="https://shop.example/">Ada</a></p><ul><li>one</ul>')
    'Hello Ada <https://shop.example/>\n\n- one\n'
    """
    return settle(marked(html))


def marked(html: str, is_statement: IsStatement = lambda number: False) -> str:
    """
    Return the text of HTML with what decides its lines still marked, for `settle`.

    Marks of a template stand where the values would. As all that depends on what is before or
    after is left to `settle`, a template's text with values put in is the text of its mail.
    """
    walk = _Walk(is_statement, _cells(html))
    for token in tokens(html):
        walk.take(token)
    return merged("".join(walk.out))


def _cells(html: str) -> dict[int, int]:
    """Return how many cells each row has, by where it begins; 2 where a statement decides it."""
    found: dict[int, int] = {}
    stack: list[tuple[str, int]] = []
    for token in tokens(html):
        within = stack[-1] if stack else ("", -1)
        if within[0] == "tr" and (MARK.search(token.text) if token.kind == "text" else None):
            found[within[1]] = 2
        if token.kind == "open" and token.name not in VOID:
            if token.name in ("td", "th") and within[0] == "tr":
                found[within[1]] = found.get(within[1], 0) + 1
            stack.append((token.name, token.start))
        elif token.kind == "close" and within[0] == token.name:
            stack.pop()
    return found


@define
class _Walk:
    """
    A way through HTML.

    Attributes:
        is_statement: Says which marks are statements.
        cells: How many cells each row has.
        out: What was found so far.
        stack: The elements around, and whether they are rows of several cells.
        unread: How deep within something that is not shown.
        literal: How deep within `<pre>`.
        lists: The lists around.
        links: The links around: where in `out` they begin, and their address.
    """

    is_statement: IsStatement
    cells: dict[int, int]
    out: list[str] = field(factory=list)
    stack: list[tuple[str, bool]] = field(factory=list)
    unread: int = 0
    literal: int = 0
    lists: list[str] = field(factory=list)
    links: list[tuple[int, str]] = field(factory=list)

    def take(self, token: Token) -> None:
        """Go one token further."""
        if token.kind == "open":
            self._open(token)
        elif token.kind == "close":
            self._close(token.name)
        elif token.kind == "text" and not self.unread:
            self.out.append(self._shown(token.text))
        else:
            self.out.extend(self._statements(token.text))

    def _statements(self, text: str) -> Iterator[str]:
        for each in MARK.finditer(text):
            if self.is_statement(int(each[1])):
                yield each[0]

    def _shown(self, text: str) -> str:
        parts = MARK.split(text)
        for index, part in enumerate(parts):
            if index % 2:
                parts[index] = f"\ue000{part}\ue001"
            elif self.literal:
                parts[index] = unescape(part).replace(" ", HARD)
            else:
                parts[index] = collapse(unescape(part))
        return "".join(parts)

    def _value(self, token: Token, name: str) -> str:
        return self._shown(attribute(token.text, name) or "").strip()

    def _open(self, token: Token) -> None:
        name = token.name
        taken = {"a": "href", "img": "alt"}.get(name) if not self.unread else None
        for each, value, _ in attributes(token.text):
            if each != taken:
                self.out.extend(self._statements(value or ""))
        if name in VOID:
            if not self.unread:
                self._void(token)
            return
        is_row = name == "tr" and self.cells.get(token.start, 0) > 1 and not self.unread
        self.stack.append((name, is_row))
        if self.unread or name in _UNREAD or _is_hidden(token):
            self.unread += 1
        else:
            self._begin(token, is_row)

    def _void(self, token: Token) -> None:
        if token.name == "br":
            self.out.append("\n")
        elif token.name == "hr":
            self.out.append(f"{PARAGRAPH}----------{PARAGRAPH}")
        elif token.name == "img":
            self.out.append(self._value(token, "alt"))

    def _begin(self, token: Token, is_row: bool) -> None:
        name = token.name
        if name == "a":
            self.links.append((len(self.out), self._value(token, "href")))
            return
        in_row = len(self.stack) > 1 and self.stack[-2][1]
        if is_row:
            self.out.append(LINE + ROW)
        elif not (in_row and name in ("td", "th")):
            nested = name in ("ul", "ol") and self.lists
            self.out.append(_edge(name) if not nested else LINE)
        if name in ("ul", "ol"):
            self.lists.append(name)
            if name == "ol":
                start = attribute(token.text, "start") or "1"
                start = start if start.isascii() and start.isdigit() else "1"
                self.out.append(f"{ORDERED}{start[:6]}{ORDERED_FROM}")
        elif name == "li":
            self.out.append(_INDENT * max(len(self.lists) - 1, 0))
            self.out.append(NUMBER if self.lists[-1:] == ["ol"] else f"-{GLUE}")
        elif name == "pre":
            self.literal += 1

    def _close(self, name: str) -> None:
        if not any(each == name for each, _ in self.stack):
            return
        while self.stack:
            last, is_row = self.stack.pop()
            if self.unread:
                self.unread -= 1
            else:
                self._end(last, is_row)
            if last == name:
                return

    def _end(self, name: str, is_row: bool) -> None:
        in_row = bool(self.stack) and self.stack[-1][1]
        if name == "a":
            self._end_link()
        elif is_row:
            self.out.append(ROW_END + LINE)
        elif in_row and name in ("td", "th"):
            self.out.append(CELL)
        elif name in ("ul", "ol"):
            if self.lists.pop() == "ol":
                self.out.append(ORDERED_END)
            self.out.append(LINE if self.lists else PARAGRAPH)
        elif name == "li":
            self.out.append(ITEM_END)
        else:
            self.literal -= name == "pre"
            self.out.append(_edge(name))

    def _end_link(self) -> None:
        start, address = self.links.pop()
        text = "".join(self.out[start:])
        if address in _NO_ADDRESS:
            return
        if MARK.search(text) or (MARK.search(address) and may_be_address(text)):
            found = f"{LINK}{text}{LINK_TO}{address}{LINK_END}"
        else:
            found = link(text, address)
        self.out[start:] = [found]


def _edge(name: str) -> str:
    return PARAGRAPH if name in _PARAGRAPHS else LINE if name in _LINES else ""


def _is_hidden(token: Token) -> bool:
    style = attribute(token.text, "style")
    if style is not None and _HIDDEN.search(style):
        return True
    names: Sequence[str] = [name for name, _, _ in attributes(token.text)]
    return "hidden" in names
