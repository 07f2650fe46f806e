"""Settling: the lines of a text whose marks say where they begin and end."""

from __future__ import annotations

import re
from typing import Final

LINE: Final = "\ue010"
PARAGRAPH: Final = "\ue011"
HARD: Final = "\ue012"
"""A space that stays, however many there are."""

ROW: Final = "\ue013"
CELL: Final = "\ue014"
ROW_END: Final = "\ue015"
ORDERED_FROM: Final = "\ue016"
ORDERED: Final = "\ue017"
ORDERED_END: Final = "\ue018"
NUMBER: Final = "\ue019"
LINK: Final = "\ue01a"
LINK_TO: Final = "\ue01b"
LINK_END: Final = "\ue01c"
GLUE: Final = "\ue01e"
"""A space after which no line begins: what an item of a list says stands beside its sign."""

ITEM_END: Final = "\ue01f"
SOFT: Final = "\ue01d"
"""A break in the HTML's source: a space, but nothing between characters that need none."""

_EDGES: Final = f" \n{LINE}{PARAGRAPH}{SOFT}{ITEM_END}"
_GLUED: Final = re.compile(f"{GLUE}[ \n{LINE}{PARAGRAPH}]+")
_SPACE: Final = re.compile("[ \t\n\r\f\ue000-\ue0ff]+")
UNEVEN: Final = re.compile("[\t\n\r\f\ue000-\ue0ff]|  ")
_WIDE: Final = "\u2e80-\u303e\u3041-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff01-\uff60"
"""Scripts written without spaces: Chinese and Japanese, with their punctuation."""

_COUNTED: Final = re.compile(f"{ORDERED}(\\d*){ORDERED_FROM}|{ORDERED_END}|{NUMBER}")
_SOFT_BETWEEN: Final = re.compile(f"{SOFT}(?=[{_WIDE}])(?<=[{_WIDE}].)")
_ADDRESS: Final = re.compile(r"[@\d]|://")
_TOGETHER: Final = re.compile(f" *[{LINE}{PARAGRAPH}][ {LINE}{PARAGRAPH}]*")
_SEVERAL: Final = re.compile(f"[\n{LINE}{PARAGRAPH}]")
_BREAKS: Final = re.compile(" *\n *")
_MANY: Final = re.compile("\n{3,}")


def collapse(text: str) -> str:
    """Return a text with each run of whitespace as one, as HTML shows it."""
    if not UNEVEN.search(text):
        return text
    return _SPACE.sub(_one_space, text)


def _one_space(found: re.Match[str]) -> str:
    return SOFT if "\n" in found[0] else " "


def may_be_address(text: str) -> bool:
    """Return whether a link's text could be its address, such as that of `a@shop.example`."""
    return _ADDRESS.search(text) is not None


def link(text: str, address: str) -> str:
    """Return a link's text and address, or one of them where the other says nothing more."""
    core = text.strip(_EDGES)
    if not core:
        return f"{text}{address}"
    if (
        address.endswith(core)
        and may_be_address(core)
        and address in (core, f"mailto:{core}", f"tel:{core}")
    ):
        return text
    length = len(text.rstrip(_EDGES))
    return f"{text[:length]} <{address}>{text[length:]}"


def merged(marked: str) -> str:
    """Return marked text with one mark where several come together; it settles the same."""
    return _TOGETHER.sub(lambda found: PARAGRAPH if PARAGRAPH in found[0] else LINE, marked)


def settle(marked: str) -> str:
    """Return the text, its lines settled, with one break at its end."""
    text = marked
    if LINK in text:
        text = _linked(text)
    if ORDERED in text:
        text = _numbered(text)
    if GLUE in text:
        text = _GLUED.sub(GLUE, text).replace(f"{GLUE}{ITEM_END}", ITEM_END)
        text = text.replace(ITEM_END, LINE).replace(GLUE, HARD)
    if SOFT in text:
        for pair in (f" {SOFT}", f"{SOFT} ", f"{SOFT}{SOFT}"):
            text = _shrunk(text, pair, SOFT)
        text = _SOFT_BETWEEN.sub("", text).replace(SOFT, " ")
    if ROW in text:
        text = _in_rows(text)
    text = _shrunk(text.replace("\u00a0", " "), "  ", " ")
    found = [_lines(each) for part in text.split(PARAGRAPH) if (each := part.strip(_EDGES))]
    return "\n\n".join(found).replace(HARD, " ") + "\n" if found else ""


def _shrunk(text: str, pair: str, one: str) -> str:
    while pair in text:
        text = text.replace(pair, one)
    return text


def _linked(text: str) -> str:
    first, *others = text.split(LINK)
    out = [first]
    for each in others:
        inside, _, after = each.partition(LINK_END)
        shown, _, address = inside.partition(LINK_TO)
        out += (link(shown, address), after)
    return "".join(out)


def _in_rows(text: str) -> str:
    stack: list[list[str]] = [[]]
    for index, part in enumerate(text.split(ROW)):
        if index:
            stack.append([])
        inside, *after = part.split(ROW_END)
        stack[-1].append(inside)
        for each in after:
            cells = "".join(stack.pop())
            stack[-1] += (_row(cells), each)
    return "".join(stack[0])


def _row(row: str) -> str:
    """Return a row: its cells beside one another, or below where one has several lines."""
    cells = [cell for each in row.split(CELL) if (cell := each.strip(_EDGES))]
    if len(cells) < 2:
        return "".join(cells)
    beside = " | ".join(cells)
    return LINE.join(cells) if _SEVERAL.search(beside) else beside


def _lines(paragraph: str) -> str:
    """Return a paragraph's lines; of empty ones in it, one at most is left."""
    if LINE in paragraph:
        paragraph = "\n".join(line for each in paragraph.split(LINE) if (line := each.strip(" \n")))
    if "\n" not in paragraph:
        return paragraph
    if " \n" in paragraph or "\n " in paragraph or "\n\n\n" in paragraph:
        paragraph = _MANY.sub("\n\n", _BREAKS.sub("\n", paragraph))
    return paragraph


def _numbered(text: str) -> str:
    counts: list[int] = []

    def number(found: re.Match[str]) -> str:
        if found[0] == NUMBER:
            if not counts:
                return f"-{GLUE}"
            counts[-1] += 1
            return f"{counts[-1]}.{GLUE}"
        if found[0] == ORDERED_END:
            if counts:
                counts.pop()
        else:
            counts.append(int(found[1] or 1) - 1)
        return ""

    return _COUNTED.sub(number, text)
