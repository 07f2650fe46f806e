"""The table: one line for each thing measured."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from bench.sample import Comparison


@frozen(kw_only=True)
class Line:
    """
    One thing measured.

    Attributes:
        title: What the library did.
        beside: What it is compared with.
        items: Interactions, views or calls in one sample; CPU time is shown for one of them.
        goal: The ratio not to be exceeded, where one is set.
        rows: Rows written for each interaction, bare and by the library.
        statements: Statements for each commit or question, bare and by the library.
        unit: What the items are called where it is told how many a CPU second is enough for.
        least: As how many are to be done in a CPU second, where that is set.
    """

    title: str
    beside: str
    items: int
    comparison: Comparison
    goal: float | None = None
    rows: tuple[float, float] | None = None
    statements: tuple[float, float] | None = None
    unit: str | None = None
    least: int | None = None

    @property
    def rate(self) -> str | None:
        """How many items the library does in a CPU second, in words; None: nobody asks."""
        if self.unit is None:
            return None
        spread = self.comparison.library
        low, median, high = (self.items / each for each in (spread.high, spread.median, spread.low))
        goal = "" if self.least is None else f"; the goal is {self.least:,}"
        said = f"{low:,.0f} - {median:,.0f} - {high:,.0f}"
        return f"{self.title}: {said} {self.unit} a CPU second{goal}"

    def cells(self) -> list[str]:
        compared = self.comparison
        ratio = compared.ratio
        return [
            self.title,
            self.beside,
            f"{compared.bare.median / self.items * 1e6:.1f}",
            f"{compared.library.median / self.items * 1e6:.1f}",
            f"{ratio.low:.2f}",
            f"{ratio.median:.2f}",
            f"{ratio.high:.2f}",
            "-" if self.goal is None else f"{self.goal:g}",
            _pair(self.rows),
            _pair(self.statements),
        ]


HEADS = (
    "measured",
    "beside",
    "bare us",
    "crmcore us",
    "lowest",
    "median",
    "highest",
    "goal",
    "rows",
    "statements",
)


def _pair(numbers: tuple[float, float] | None) -> str:
    return "-" if numbers is None else " / ".join(f"{number:.4g}" for number in numbers)


def rendered(lines: Sequence[Line]) -> str:
    """Return the table as plain text."""
    table = [list(HEADS), *(line.cells() for line in lines)]
    widths = [max(len(row[column]) for row in table) for column in range(len(HEADS))]
    text = []
    for row in table:
        words, numbers = row[:2], row[2:]
        cells = [cell.ljust(width) for cell, width in zip(words, widths, strict=False)]
        cells += [cell.rjust(width) for cell, width in zip(numbers, widths[2:], strict=True)]
        text.append("  ".join(cells).rstrip())
    text.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(text)
