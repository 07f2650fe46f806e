"""Pages: headings, sentences, tables and charts, written to standard output."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Sequence
from typing import Final, Literal

import click

Style = Literal["", "bold", "dim", "good", "bad", "accent"]
Line = Sequence[tuple[str, Style]]
"""What stands on one line, each part in its style."""

Align = Literal["left", "right"]
Columns = Sequence[tuple[str, Align]]

LABEL: Final = 12
"""The width of labels beside paragraphs."""

_NARROWEST: Final = 20  # less than this, and a column of text is broken at every word


class Page:
    """
    What people read, as text alone. `open_page` returns one with colours, where there are some.

    Attributes:
        width: In characters.
        is_unicode: Whether more than ASCII can be shown.
    """

    def __init__(self, width: int | None = None) -> None:
        self.width = width or shutil.get_terminal_size().columns
        self.is_unicode = _shows_unicode()

    def put(self, line: Line) -> None:
        """Write one line."""
        click.echo("".join(text for text, _ in line).rstrip())

    def gap(self) -> None:
        """Leave a line empty."""
        self.put(())

    def heading(self, text: str, aside: str = "") -> None:
        """Begin a part, with something less important beside its name."""
        self.gap()
        self.put(((text.upper(), "accent"), (f"  {aside}" if aside else "", "dim")))
        self.gap()

    def say(self, text: str, style: Style = "") -> None:
        """Write a paragraph, broken to the width."""
        for line in _broken(text, self.width):
            self.put(((line, style),))

    def item(self, label: str, text: str, style: Style = "", *, indent: int = LABEL) -> None:
        """Write a paragraph beside a short label; it hangs, so that the labels stand out."""
        for number, line in enumerate(_broken(text, self.width - indent)):
            self.put(((f"{'' if number else label:{indent}}", "dim"), (line, style)))

    def table(self, columns: Columns, rows: Sequence[Sequence[str]]) -> None:
        """
        Write a table; a column is as wide as its widest cell, and the last broken to what is left.

        Columns without any name have no header.
        """
        names = [name for name, _ in columns]
        widths = [max(map(len, cells)) for cells in zip(names, *rows, strict=True)]
        left = self.width - sum(widths[:-1]) - 2 * (len(widths) - 1)
        widths[-1] = min(widths[-1], max(left, _NARROWEST))
        aligns = [align for _, align in columns]
        if any(names):
            rule = "─" if self.is_unicode else "-"
            self._row(names, widths, aligns, "bold")
            self._row([rule * width for width in widths], widths, aligns, "dim")
        for row in rows:
            *cells, last = row
            for number, part in enumerate(_broken(last, widths[-1])):
                shown = [*([""] * len(cells) if number else cells), part]
                self._row(shown, widths, aligns, "")

    def _row(
        self, cells: Sequence[str], widths: Sequence[int], aligns: Sequence[Align], style: Style
    ) -> None:
        padded = [
            cell.rjust(width) if align == "right" else cell.ljust(width)
            for cell, width, align in zip(cells, widths, aligns, strict=True)
        ]
        self.put((("  ".join(padded).rstrip(), style),))


def open_page() -> Page:
    """Return a page on standard output: with colours where rich is installed, or plain."""
    try:
        from crmcore.cli.terminal.colours import ColouredPage  # an extra: crmcore[terminal]
    except ImportError:
        return Page()
    return ColouredPage()


def _broken(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, max(width, _NARROWEST), break_on_hyphens=False) or [""]


def _shows_unicode() -> bool:
    try:
        "█▁⣿→–─".encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
