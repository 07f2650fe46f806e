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
    """

    title: str
    beside: str
    items: int
    comparison: Comparison
    goal: float | None = None
    rows: tuple[float, float] | None = None
    statements: tuple[float, float] | None = None

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
