"""Wrapping: the links in a mail's HTML and text, each put through a function, all else as it is."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from html import escape
from html.entities import html5
from typing import Final

from attrs import frozen

from crmcore_email_link.templates.markup import attribute_span, tokens

Replace = Callable[[str], str | None]
"""Returns what a link is to become; None: it stays as it is."""

_LINKING: Final = frozenset({"a", "area"})
_IN_TEXT: Final = re.compile(r"https?://[^\s<>\"]+", re.IGNORECASE)
_BEHIND: Final = frozenset(".,;:!?'*_~")
_OPENS: Final = {")": "(", "]": "[", "}": "{"}
_REFERENCE: Final = re.compile(r"&(?:#[0-9]+;?|#[xX][0-9a-fA-F]+;?|([A-Za-z][A-Za-z0-9]*)(;?))")
_END: Final = re.compile(r"</body\s*>", re.IGNORECASE)
_LONGEST_NAME: Final = max(len(name) for name in html5 if not name.endswith(";"))


@frozen
class Spot:
    """
    A link in a text.

    Attributes:
        url: Where it leads.
        start: Where it begins.
        end: Where it ends.
    """

    url: str
    start: int
    end: int


def links_in_html(html: str) -> Iterator[Spot]:
    """Go through the links that can be followed, in their order; images and styles are none."""
    for token in tokens(html):
        if token.kind != "open" or token.name not in _LINKING:
            continue
        found = attribute_span(token.text, "href")
        if found is not None:
            # A tag is `<`, its name, and then its attributes as they stand.
            begins = token.start + 1 + len(token.name)
            start, end = begins + found[0], begins + found[1]
            yield Spot(attribute_value(html[start:end]).strip(), start, end)


def links_in_text(text: str) -> Iterator[Spot]:
    """Go through the links of a plain text; a sentence's end behind one does not belong to it."""
    for found in _IN_TEXT.finditer(text):
        url = _without_what_follows(found[0])
        yield Spot(url, found.start(), found.start() + len(url))


def replaced(text: str, spots: Iterator[Spot], replace: Replace, *, is_html: bool) -> str:
    """Return a text with its links replaced."""
    out, position = [], 0
    for spot in spots:
        new = replace(spot.url)
        if new is not None:
            out += [text[position : spot.start], escape(new) if is_html else new]
            position = spot.end
    out.append(text[position:])
    return "".join(out)


def put_last(html: str, markup: str) -> str:
    """Return HTML with some more at the end of its body."""
    end = _END.search(html)
    at = len(html) if end is None else end.start()
    return html[:at] + markup + html[at:]


def _without_what_follows(url: str) -> str:
    """Return a link without punctuation behind it, or a bracket that it did not open."""
    while url:
        last = url[-1]
        opened = _OPENS.get(last)
        if last not in _BEHIND and (opened is None or url.count(opened) >= url.count(last)):
            break
        url = url[:-1]
    return url


def attribute_value(written: str) -> str:
    """
    Return the value of an attribute as a browser reads it (HTML standard, 13.2.5.73).

    The standard library's `unescape` reads texts: in an attribute `&copy=2` is no sign.

    >>> attribute_value("https://shop.example/?a=1&amp;b=2&copy=3")
    'https://shop.example/?a=1&b=2&copy=3'
    """
    return _REFERENCE.sub(_resolved, written)


def _resolved(found: re.Match[str]) -> str:
    name, semicolon = found[1], found[2]
    if name is None:
        return _numbered(found[0])
    if semicolon and f"{name};" in html5:
        return html5[f"{name};"]
    for length in range(min(len(name), _LONGEST_NAME), 1, -1):
        if name[:length] in html5:
            follows = (name[length:] + semicolon or found.string[found.end() :])[:1]
            if follows == "=" or (follows.isascii() and follows.isalnum()):
                break
            return html5[name[:length]] + name[length:] + semicolon
    return found[0]


def _numbered(reference: str) -> str:
    digits = reference[2:].rstrip(";")
    number = int(digits[1:], 16) if digits[0] in "xX" else int(digits)
    # What a reference may not name makes no link that is wrapped.
    return chr(number) if 0x20 <= number < 0x7F else "\ufffd"
