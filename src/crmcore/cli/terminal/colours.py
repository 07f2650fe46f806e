"""Pages as rich writes them: in colour on a terminal that has them, plain in a pipe."""

from __future__ import annotations

from typing import Final

from rich.console import Console
from rich.text import Text

from crmcore.cli.terminal.page import Line, Page, Style

_STYLES: Final[dict[Style, str]] = {
    "": "",
    "bold": "bold",
    "dim": "dim",
    "good": "green",
    "bad": "red",
    "accent": "bold cyan",
}


class ColouredPage(Page):
    """A page of rich's console, which knows what the terminal can do and `NO_COLOR` forbids."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, emoji=False, markup=False)
        super().__init__(self._console.width)

    def put(self, line: Line) -> None:
        text = Text.assemble(*((part, _STYLES[style]) for part, style in line))
        text.rstrip()
        self._console.print(text, no_wrap=True, crop=False, overflow="ignore")
