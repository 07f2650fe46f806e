"""Drawing: pages in plain HTML, escaped, that need neither scripts nor images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from attrs import frozen

from crmcore_email_link.pages.words import Words

_STYLE = (
    "body{font:1.1em/1.5 system-ui,sans-serif;max-width:34em;margin:3em auto;padding:0 1em;"
    "color:#222;background:#fff;overflow-wrap:anywhere}"
    "button{font:inherit;padding:.5em 1.2em;margin-top:1em}label{display:block;padding:.3em 0}"
)


@frozen
class Box:
    """One thing that can be ticked: how the form calls it, what is read, whether it is on."""

    value: str
    label: str
    is_on: bool


def draw(language: str, title: str, paragraphs: Iterable[str], rest: str = "") -> bytes:
    """Return a page; *rest* is markup of our own, everything else is escaped."""
    said = "".join(f"<p>{escape(each)}</p>" for each in paragraphs if each)
    return (
        f'<!DOCTYPE html><html lang="{escape(language)}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body><main>"
        f"<h1>{escape(title)}</h1>{said}{rest}</main></body></html>"
    ).encode()


def button(label: str) -> str:
    """Return a form whose one button acts; where it leads is the page's own address."""
    return (
        '<form method="post"><input type="hidden" name="do" value="1">'
        f'<button type="submit">{escape(label)}</button></form>'
    )


def choices(boxes: Sequence[Box], words: Words) -> str:
    """Return a form with boxes to tick, and a button that saves them."""
    rows = "".join(
        f'<label><input type="checkbox" name="purpose" value="{escape(each.value)}"'
        f"{' checked' if each.is_on else ''}> {escape(each.label)}</label>"
        for each in boxes
    )
    return (
        '<form method="post"><input type="hidden" name="save" value="1">'
        f'{rows}<button type="submit">{escape(words["save"])}</button></form>'
    )


def link(url: str, label: str) -> str:
    """Return a link in a paragraph of its own."""
    return f'<p><a href="{escape(url)}">{escape(label)}</a></p>'


def masked(address: str | None) -> str:
    """
    Return an address so that its owner knows it, and who got a forwarded mail learns little.

    >>> masked("ada.lovelace@example.com")
    'a…@example.com'
    """
    local, at, domain = (address or "").rpartition("@")
    return f"{local[:1]}…{at}{domain}" if at else "…"
