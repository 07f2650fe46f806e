"""Charts and tables of characters."""

from __future__ import annotations

import pytest

from crmcore.cli.terminal.charts import bar, curve, sparkline
from crmcore.cli.terminal.page import Page
from crmcore.cli.terminal.words import figure, figures, plural, share


class TestSparkline:
    def test_levels(self):
        """The greatest value fills the line; what is not zero is never blank."""
        assert " ▁▄█" == sparkline([0, 1, 500, 1000], 10, is_unicode=True)
        assert " _-#" == sparkline([0, 1, 500, 1000], 10, is_unicode=False)

    def test_longer_than_wide(self):
        """No peak is lost when there is less room than values."""
        values = [1] * 100
        values[37] = 80

        drawn = sparkline(values, 10, is_unicode=True)

        assert 10 == len(drawn)
        assert "▁▁▁█▁▁▁▁▁▁" == drawn

    @pytest.mark.parametrize("values", [[], [0], [0, 0]])
    def test_nothing(self, values):
        """Nothing is drawn as blanks."""
        assert "" == sparkline(values, 5, is_unicode=True).strip()


class TestBar:
    @pytest.mark.parametrize(
        ("ratio", "drawn"), [(0, ""), (0.5, "██"), (1, "████"), (0.03125, "▏"), (0.875, "███▌")]
    )
    def test_bar(self, ratio, drawn):
        """A bar is as long as its share, to an eighth of a character."""
        assert drawn == bar(ratio, 4, is_unicode=True)

    def test_ascii(self):
        """In ASCII it is as long to a character."""
        assert "##" == bar(0.5, 4, is_unicode=False)


class TestCurve:
    @pytest.mark.parametrize("is_unicode", [True, False])
    @pytest.mark.parametrize("width", [40, 78, 100])
    def test_size(self, width, is_unicode):
        """A curve fits its width, whatever its points."""
        for points in ([(0, 0), (1, 1)], [(0, 5)], [(0, 0), (0, 1), (1, 1)], [(1, 9), (2, -9)]):
            lines = curve(points, width, 12, is_unicode=is_unicode)

            assert 14 == len(lines)
            assert max(map(len, lines)) <= width

    def test_straight(self):
        """A straight line rises from corner to corner."""
        lines = curve([(0, 0), (1, 1)], 40, 9, is_unicode=False)

        assert lines[0].startswith(" 100 %|")
        assert lines[0].endswith("*")
        assert lines[8].startswith("   0 %|*")
        rows = [line.index("*") for line in lines[:9]]
        assert rows == sorted(rows, reverse=True)

    def test_labels(self):
        """Axes from 0 to 1 are in percent, others in numbers."""
        percent = "\n".join(curve([(0, 0), (1, 1)], 60, 9, is_unicode=False))
        number = "\n".join(curve([(0, 0), (10, 20_000)], 60, 9, is_unicode=False))

        assert "100 %" in percent
        assert "20,000|" in number
        assert "%" not in number


class TestTable:
    def test_aligned(self, capsys):
        """Numbers end and words begin at the same place."""
        Page(width=40).table(
            [("name", "left"), ("count", "right")], [("a", "1"), ("longer", "12,000")]
        )

        lines = capsys.readouterr().out.splitlines()
        assert ["name     count", "a            1", "longer  12,000"] == [lines[0], *lines[2:]]

    def test_broken(self, capsys):
        """The last column is broken to what the page has left."""
        Page(width=40).table([("n", "left"), ("text", "left")], [("1", "word " * 20)])

        lines = capsys.readouterr().out.splitlines()
        assert max(map(len, lines)) <= 40
        assert 20 == " ".join(lines).count("word")


class TestWords:
    @pytest.mark.parametrize(
        ("name", "value", "told"),
        [
            ("net_minor", 123456, "1,234.56 EUR"),
            ("reviewed_at", 852768000000000, "1997-01-09"),
            ("response_rate", 0.125, "12.5 %"),
            ("share_of_top_20_percent", 0.6778, "67.8 %"),
            ("gini", 0.63457, "0.635"),
            ("customers", 23570, "23,570"),
            ("tier", "A", "A"),
            ("gini", None, "none"),
            ("is_new", True, "True"),
        ],
    )
    def test_figure(self, name, value, told):
        """A figure is written as its name says that it is to be read."""
        assert told == figure(name, value, "EUR")

    def test_figures(self):
        """Figures without a value are left out."""
        assert "above 0.05 EUR, orders 1" == figures(
            {"above_minor": 5, "orders": 1, "recency": None}, "EUR"
        )

    def test_counts(self):
        """One is not many, and a share of nothing is nothing."""
        assert ("1 row", "2 rows", "0 batches") == (
            plural(1, "row"),
            plural(2, "row"),
            plural(0, "batch", "batches"),
        )
        assert "0.0 %" == share(0, 0)
