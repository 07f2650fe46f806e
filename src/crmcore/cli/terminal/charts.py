"""Charts of characters. They read without colour, and have a form in ASCII."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from typing import Final

Points = Sequence[tuple[float, float]]
Height = Callable[[float], float]

_EIGHTHS: Final = " ▏▎▍▌▋▊▉█"
_LEVELS: Final = {True: "▁▂▃▄▅▆▇█", False: "_.:-=+*#"}
_NOTHING: Final = " "
_DOTS: Final = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
"""Of a Braille character, by column and row. Source: Unicode 15, chapter 21.1."""

_BRAILLE: Final = 0x2800


def bar(ratio: float, width: int, *, is_unicode: bool) -> str:
    """Return a bar that fills *ratio*, from 0 to 1, of *width* characters."""
    if not is_unicode:
        return "#" * round(ratio * width)
    whole, rest = divmod(round(ratio * width * 8), 8)
    return "█" * whole + (_EIGHTHS[rest] if rest else "")


def sparkline(values: Sequence[int], width: int, *, is_unicode: bool) -> str:
    """
    Return a line whose height follows *values*, the greatest of which fills it.

    Longer series are drawn with the greatest of each stretch, so that no peak is lost. Zero is
    blank, and what is not zero never is.
    """
    count = min(width, len(values))
    stretches = [
        values[place * len(values) // count : (place + 1) * len(values) // count]
        for place in range(count)
    ]
    most, levels = max(values, default=0), _LEVELS[is_unicode]
    drawn = ""
    for value in map(max, stretches):
        drawn += levels[(value * len(levels) - 1) // most] if value > 0 else _NOTHING
    return drawn


def curve(points: Points, width: int, height: int, *, is_unicode: bool) -> list[str]:
    """
    Return the lines of a curve with its axes, *width* characters wide and *height* rows high.

    Axes that run from 0 to 1 are labelled in percent.
    """
    xs, ys = [x for x, _ in points], [y for _, y in points]
    left, right, low, high = min(xs), max(xs), min(ys), max(ys)
    marks = {row: _label(low + (high - low) * row / 4, low, high) for row in range(5)}
    margin = max(map(len, marks.values())) + 1
    columns = width - margin - 2
    draw = _draw_braille if is_unicode else _draw_stars
    rows = draw(_heights(points, left, right, low, high), columns, height)
    tick, axis, corner, rule = "┤│└─" if is_unicode else "||+-"
    labelled = {height - 1 - row * (height - 1) // 4: text for row, text in marks.items()}
    lines = [
        f"{labelled.get(number, ''):>{margin}}{tick if number in labelled else axis}{text}".rstrip()
        for number, text in enumerate(rows)
    ]
    lines.append(f"{'':{margin}}{corner}{rule * columns}")
    lines.append(" " * (margin + 1) + _ticks(left, right, columns))
    return lines


def _heights(points: Points, left: float, right: float, low: float, high: float) -> Height:
    """Return what tells the curve's height, from 0 to 1, at each place from 0 to 1 along it."""
    wide, tall = (right - left) or 1.0, (high - low) or 1.0
    scaled = [((x - left) / wide, (y - low) / tall) for x, y in points]
    xs = [x for x, _ in scaled]

    def height_at(place: float) -> float:
        after = min(bisect_left(xs, place), len(scaled) - 1)
        (x, y), (x0, y0) = scaled[after], scaled[max(after - 1, 0)]
        return y if x == x0 else y0 + (y - y0) * (place - x0) / (x - x0)

    return height_at


def _stretches(height_at: Height, columns: int, rows: int) -> Iterator[tuple[int, int]]:
    """Yield the rows from and to which each column is filled, so that no step leaves a gap."""
    before = None
    for x in range(columns):
        y = int((1 - height_at(x / (columns - 1))) * (rows - 1) + 0.5)
        if before is None or abs(y - before) <= 1:
            yield y, y
        else:
            yield (before + 1, y) if y > before else (y, before - 1)
        before = y


def _draw_braille(height_at: Height, columns: int, rows: int) -> list[str]:
    cells = [[0] * columns for _ in range(rows)]
    dots, deep = columns * 2, rows * 4
    for x, (top, bottom) in enumerate(_stretches(height_at, dots, deep)):
        for y in range(top, bottom + 1):
            cells[y // 4][x // 2] |= _DOTS[x % 2][y % 4]
    return ["".join(chr(_BRAILLE + cell) if cell else " " for cell in row) for row in cells]


def _draw_stars(height_at: Height, columns: int, rows: int) -> list[str]:
    cells = [[" "] * columns for _ in range(rows)]
    for x, (top, bottom) in enumerate(_stretches(height_at, columns, rows)):
        for y in range(top, bottom + 1):
            cells[y][x] = "*"
    return ["".join(row) for row in cells]


def _label(value: float, low: float, high: float) -> str:
    if 0 <= low and high <= 1:
        return f"{value * 100:.0f} %"
    return f"{value:,.0f}" if high - low >= 4 else f"{value:,.2f}"


def _ticks(left: float, right: float, columns: int) -> str:
    """Return five labels spread below the axis."""
    line = [" "] * (columns + 6)
    for tick in range(6):
        text = _label(left + (right - left) * tick / 5, left, right)
        at = round(tick / 5 * (columns - 1))
        start = min(max(0, at - len(text) // 2), columns - len(text))
        line[start : start + len(text)] = text
    return "".join(line).rstrip()
