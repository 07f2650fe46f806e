"""Markup: tags, comments and text of HTML, and where in it the marks of a template stand."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Literal

from attrs import frozen

from crmcore_email_link.templates.errors import LimitError

VOID: Final = frozenset(
    "area base br col embed hr img input link meta param source track wbr".split()
)
"""Elements without an end tag (HTML standard, 13.1.2)."""

RAW: Final = frozenset(
    "script style textarea title xmp iframe noframes mj-preview mj-style mj-title".split()
)
"""Elements in which nothing is a tag (HTML standard, 13.1.2), and their like in MJML."""

# What is not closed goes on to the end, and a tag ends before the next one: so that no text is read
# more than once or twice, whatever it is.
_TOKEN: Final = re.compile(
    r"<!--(?P<comment>.*?)(?:-->|\Z)|<![^>]*(?:>|\Z)"
    r"|<(?P<end>/?)(?P<name>[A-Za-z][^\s/><\ue000-\ue001]*)"
    r"""(?P<attributes>(?:[^<>"']|"[^"]*"|'[^']*')*+)>""",
    re.DOTALL,
)
_ATTRIBUTE: Final = re.compile(
    r"""(?P<name>[^\s=/"'>]+)(?:\s*=\s*(?:"(?P<double>[^"]*)"|'(?P<single>[^']*)'"""
    r"""|(?P<bare>[^\s"'>]+)))?"""
)
MARK: Final = re.compile("\ue000(\\d+)\ue001")
"""A mark: the number of a piece of a template, where that piece stands in the text."""


def mark(number: int) -> str:
    """Return the mark of a piece."""
    return f"\ue000{number}\ue001"


@frozen
class Token:
    """
    A tag, a comment or some text.

    Attributes:
        kind: What it is; `raw` is what stands in a `<style>` or the like.
        name: Of the element, in lower case; of raw text, that of the element around it.
        text: As it stands there, or a tag's attributes.
        start: Where it begins.
        end: Where it ends.
    """

    kind: Literal["text", "raw", "comment", "declaration", "open", "close"]
    name: str
    text: str
    start: int
    end: int


def tokens(markup: str) -> Iterator[Token]:
    """Go through markup; what is no tag, such as a lone `<`, is text."""
    position = 0
    while found := _TOKEN.search(markup, position):
        if found.start() > position:
            text = markup[position : found.start()]
            yield Token("text", "", text, position, found.start())
        position = found.end()
        name = (found["name"] or "").lower()
        if not name:
            kind: Literal["comment", "declaration"] = (
                "declaration" if found["comment"] is None else "comment"
            )
            yield Token(kind, "", found["comment"] or "", found.start(), position)
            continue
        attributes = found["attributes"]
        yield Token("close" if found["end"] else "open", name, attributes, found.start(), position)
        if name in RAW and not found["end"] and not attributes.endswith("/"):
            end = re.compile(rf"</{re.escape(name)}(?=[\s/>])", re.IGNORECASE)
            until = end.search(markup, position)
            stop = until.start() if until else len(markup)
            yield Token("raw", name, markup[position:stop], position, stop)
            position = stop
    if position < len(markup):
        yield Token("text", "", markup[position:], position, len(markup))


def attributes(text: str) -> Iterator[tuple[str, str | None, bool]]:
    """Go through a tag's attributes: name, value as it stands there, whether it is in quotes."""
    for found in _ATTRIBUTE.finditer(text.rstrip("/")):
        value = found["double"] if found["double"] is not None else found["single"]
        yield found["name"].lower(), found["bare"] if value is None else value, value is not None


def attribute(text: str, name: str) -> str | None:
    """Return the value of one attribute as it stands there; None if it is not there."""
    return next((value or "" for each, value, _ in attributes(text) if each == name), None)


def attribute_span(text: str, name: str) -> tuple[int, int] | None:
    """Return where the value of one attribute stands; None if it has none there."""
    for found in _ATTRIBUTE.finditer(text):
        if found["name"].lower() == name:
            group = next((g for g in ("double", "single", "bare") if found[g] is not None), None)
            return None if group is None else found.span(group)
    return None


DEEPEST: Final = 300
"""Elements within one another; a parser takes time by the square of it."""

_MOST_TAGS: Final = 30_000
_MOST_COPIES: Final = 60_000
_IMPLIED: Final = frozenset("p li td th tr option dt dd".split())
"""Elements that the next of their kind ends (HTML standard, 13.1.2.4)."""

_COPIED: Final = frozenset("a b big code em font i nobr s small strike strong tt u".split())
"""Elements that a parser opens again after an end tag they stood in the way of (13.2.4.3)."""


def check_nesting(markup: str) -> None:
    """
    Raise `LimitError` where parsing might take too long, or make too much.

    Only an end tag that fits the last open element counts, so no parser finds elements deeper.
    """
    stack: list[str] = []
    tags = copied = copies = 0
    for token in tokens(markup):
        name = token.name
        if token.kind not in ("open", "close"):
            continue
        tags += 1
        copies += max(copied - 3, 0)
        if token.kind == "close" and stack and stack[-1] == name:
            stack.pop()
            copied -= name in _COPIED
        elif token.kind == "open" and not _is_over(token, stack):
            stack.append(name)
            copied += name in _COPIED
        if len(stack) > DEEPEST or tags > _MOST_TAGS or copies > _MOST_COPIES:
            raise LimitError(_too_much(len(stack), tags, name), exceeded="markup")


def _is_over(token: Token, stack: Sequence[str]) -> bool:
    """Return whether an element ends at once, or ends the one it would stand in."""
    if token.name in VOID or token.text.endswith("/"):
        return True
    return token.name in _IMPLIED and stack[-1:] == [token.name]


def _too_much(depth: int, tags: int, name: str) -> str:
    if tags > _MOST_TAGS:
        return f"has more than {_MOST_TAGS:,} tags"
    if depth > DEEPEST:
        return (
            f"has elements within one another more than {DEEPEST} deep, or so many without an end "
            f"tag, such as <{name}>"
        )
    return "has too many elements such as <b> that others end in; close them where they began"


@frozen
class Spot:
    """
    Where a mark stands.

    Attributes:
        kind: `content`; `value`, of an attribute; `comment`; `raw`; `tag`, elsewhere in a tag.
        within: Which element, comment or tag it stands in, by where that begins; -1: none.
        element: Its name; of a value, the tag's.
        attribute: Its name.
        before: What stands before it, in the value or the text.
    """

    kind: Literal["content", "value", "comment", "raw", "tag"]
    within: int
    element: str = ""
    attribute: str = ""
    before: str = ""


def spots(markup: str) -> Mapping[int, Sequence[Spot]]:
    """Return where each mark stands; one may stand in several places, or none."""
    found: dict[int, list[Spot]] = {}
    stack: list[tuple[str, int]] = []
    for token in tokens(markup):
        if MARK.search(token.text):
            for number, spot in _spots_in(token, stack):
                found.setdefault(number, []).append(spot)
        if token.kind == "open" and token.name not in VOID and not token.text.endswith("/"):
            stack.append((token.name, token.start))
        elif token.kind == "close":
            _close(stack, token.name)
    return found


def _close(stack: list[tuple[str, int]], name: str) -> None:
    for depth in range(len(stack) - 1, -1, -1):
        if stack[depth][0] == name:
            del stack[depth:]
            return


def _spots_in(token: Token, stack: Sequence[tuple[str, int]]) -> Iterator[tuple[int, Spot]]:
    if token.kind in ("open", "close"):
        yield from _spots_in_tag(token)
        return
    kind: Literal["comment", "raw", "content"] = (
        "comment" if token.kind == "comment" else "raw" if token.kind == "raw" else "content"
    )
    name, start = stack[-1] if stack else ("", -1)
    within = token.start if kind == "comment" else start
    for each in MARK.finditer(token.text):
        before = token.text[: each.start()]
        yield int(each[1]), Spot(kind, within, name, before=before)


def _spots_in_tag(token: Token) -> Iterator[tuple[int, Spot]]:
    seen: set[int] = set()
    if token.kind == "open":
        for name, value, is_quoted in attributes(token.text):
            for each in MARK.finditer(value or "") if is_quoted else ():
                before = (value or "")[: each.start()]
                seen.add(int(each[1]))
                yield int(each[1]), Spot("value", token.start, token.name, name, before)
            if MARK.search(name):
                seen.clear()
    for each in MARK.finditer(token.text):
        if int(each[1]) not in seen:
            yield int(each[1]), Spot("tag", token.start, token.name)


_ROWS_IN: Final = frozenset({"table", "mj-table"})
_BODIES: Final = frozenset({"tbody", "thead", "tfoot"})


def with_bodies(markup: str) -> str:
    """
    Return markup with `<tbody>` around a table's rows that stand in none.

    HTML puts rows into a body that begins at the first row (HTML standard, 13.2.6.4.9). A loop
    around rows would then begin outside of it, and end within.
    """
    out: list[str] = []
    stack: list[tuple[str, int]] = []  # a body of ours begins at -1
    waiting = -1  # where in `out` a body would begin
    for token in tokens(markup):
        name, text = token.name, markup[token.start : token.end]
        if token.kind not in ("open", "close"):
            out.append(text)
            continue
        if token.kind == "open" and name == "tr" and stack and stack[-1][0] in _ROWS_IN:
            out.insert(waiting if waiting >= 0 else len(out), "<tbody>")
            stack.append(("tbody", -1))
        elif stack and stack[-1] == ("tbody", -1) and (name in _ROWS_IN or name in _BODIES):
            stack.pop()
            if not (token.kind == "close" and name == "tbody"):
                out.append("</tbody>")
        if token.kind == "close":
            _close(stack, name)
        elif name not in VOID and not token.text.endswith("/"):
            stack.append((name, token.start))
        out.append(text)
        waiting = len(out) if stack and stack[-1][0] in _ROWS_IN else -1
    return "".join(out)


_OF_HEAD: Final = frozenset("style title meta link base".split())
_FRAME: Final = frozenset("html head body frameset mjml".split())


def with_body(markup: str) -> str:
    """
    Return markup with `<body>` where one begins by itself, if it has no tag of that kind.

    What stands before the first text or element belongs to no body (HTML standard, 13.2.6.4.6), so
    a block that begins there would end in another element.
    """
    begins = len(markup)
    for token in tokens(markup):
        if token.kind == "open" and token.name in _FRAME:
            return markup
        if token.kind == "text":
            is_of_head = not token.text.strip()
        else:
            is_of_head = token.kind in ("comment", "declaration") or token.name in _OF_HEAD
        if not is_of_head:
            begins = min(begins, token.start)
    return f"{markup[:begins]}<body>{markup[begins:]}"
