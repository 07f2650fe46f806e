"""An export as a page that people can read, with any browser and any reader of screens."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from crmcore.services.privacy.export import Section

_STYLE: Final = """
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 75rem; padding: 1rem; }
table { border-collapse: collapse; width: 100%; }
caption { position: absolute; left: -100rem; }
th, td { border: 1px solid; padding: .3rem .5rem; text-align: left; vertical-align: top;
  overflow-wrap: anywhere; white-space: pre-wrap; }
.wide { overflow-x: auto; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0 .5rem; margin: 0; }
dd { margin: 0; }
.skip { position: absolute; left: -100rem; }
.skip:focus { position: static; }
@media print { nav, .skip { display: none; } }
"""

_MOST_COLUMNS: Final = 8
_NOTHING: Final[tuple[Any, ...]] = (None, {}, [], "")
_LEADING: Final = 3
"""Of a table with more columns than people can follow, so many stay; the rest is listed in one."""

_INSTANT: Final = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d)(:\d\d)?(\.\d+)?\+00:00")

_HEAD: Final = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>What is kept of customer {customer}</title>
<style>{style}</style>
</head>
<body>
<a class="skip" href="#main">To the contents</a>
<header><h1>What is kept of customer {customer}</h1></header>
<nav aria-label="Sections"><ul>
"""


def page_of(customer_id: int, sections: Sequence[Section]) -> Iterator[str]:
    """Yield the page, a row of a table at a time."""
    yield _HEAD.format(customer=customer_id, style=_STYLE)
    for each in sections:
        yield f'<li><a href="#{escape(each.name)}">{escape(each.title)}</a></li>\n'
    yield '</ul></nav>\n<main id="main">\n'
    for each in sections:
        yield from _section(each)
    yield "</main>\n</body>\n</html>\n"


def _section(section: Section) -> Iterator[str]:
    name = escape(section.name)
    yield f'<section aria-labelledby="{name}">\n<h2 id="{name}">{escape(section.title)}</h2>\n'
    if section.about:
        yield f"<p>{escape(section.about)}</p>\n"
    is_empty = True
    for row in section.rows():
        if is_empty:
            yield _table_head(section)
            is_empty = False
        yield _row(section.columns, row)
    yield "<p>Nothing.</p>\n" if is_empty else "</tbody></table></div>\n"
    yield "</section>\n"


def _table_head(section: Section) -> str:
    shown = [*section.columns]
    if len(shown) > _MOST_COLUMNS:
        shown = [*shown[:_LEADING], "more"]
    heads = "".join(f'<th scope="col">{escape(_words(each))}</th>' for each in shown)
    title = escape(section.title)
    # A table that is wider than the window is moved by the keyboard, too.
    return (
        f'<div class="wide" role="region" aria-label="{title}" tabindex="0">'
        f"<table><caption>{title}</caption><thead><tr>{heads}</tr></thead><tbody>\n"
    )


def _row(columns: Sequence[str], row: Mapping[str, Any]) -> str:
    leading, more = columns, ""
    if len(columns) > _MOST_COLUMNS:
        leading = columns[:_LEADING]
        rest = {name: row[name] for name in columns[_LEADING:] if row.get(name) not in _NOTHING}
        more = f"<td>{_shown(rest)}</td>"
    cells = "".join(f"<td>{_shown(row.get(each))}</td>" for each in leading)
    return f"<tr>{cells}{more}</tr>\n"


def _shown(value: Any) -> str:
    """Return a value as HTML; whatever it holds is text there, never a tag."""
    if isinstance(value, Mapping):
        pairs = (f"<dt>{escape(_words(k))}</dt><dd>{_shown(v)}</dd>" for k, v in value.items())
        return f"<dl>{''.join(pairs)}</dl>" if value else ""
    if isinstance(value, list | tuple):
        return "<ul>" + "".join(f"<li>{_shown(v)}</li>" for v in value) + "</ul>" if value else ""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    found = _INSTANT.fullmatch(str(value))
    if found is not None:
        return f'<time datetime="{found[0]}">{found[1]} {found[2]} UTC</time>'
    return escape(str(value))


def _words(name: str) -> str:
    return str(name).replace("_", " ")
