import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

MEASURED = (
    "bulk, no plugin",
    "bulk, tiering",
    "single, no plugin",
    "single, tiering",
    "single, tiering, durable",
    "single, tiering, new customers",
    "single, tiering and a decision",
    "single, an empty transaction",
    "view, no plugin",
    "view, tiering",
    "view, tiering, payloads decoded",
    "dispatch to 10 idle plugins, on_",
    "dispatch to 10 idle plugins, a whole round",
    "Pareto review on SQLite",
    "RFM review on SQLite",
    "concentration on SQLite",
    "Pareto review on PostgreSQL",
    "RFM review on PostgreSQL",
    "concentration on PostgreSQL",
    "broadcast, judged and planned",
    "broadcast, claimed, handed over and settled",
    "segment on SQLite, 0.004 M, RFM",
    "200 segments, everybody in them",
    "200 segments, after one order",
    "200 groups, one order and the look after it",
    "segment on PostgreSQL, 0.004 M, RFM",
    "fit, BG/NBD",
    "fit, Pareto/NBD",
    "fit, Gamma-Gamma",
    "mail, rendered",
    "mail, rendered, signed and handed over",
)


def measured(*options):
    """Return the lines that a small run ends with."""
    command = [sys.executable, "-m", "bench", "--quick", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert 0 == done.returncode, done.stderr
    return done.stdout.splitlines()


@pytest.mark.slow
def test_bench_measures_everything():
    """A small run ends with the table, which has a row for everything that is measured."""
    rows = measured()

    assert [] == [title for title in MEASURED if not any(row.startswith(title) for row in rows)]


def test_bench_measures_what_is_asked_for():
    """Of one benchmark alone there are its rows, with a ratio each, and no others."""
    rows = [row for row in measured("--only", "dispatch") if row.startswith(MEASURED)]

    assert 4 == len(rows)
    for row in rows:
        low, median, high = (float(ratio) for ratio in re.findall(r" \d+\.\d\d(?= )", row)[-3:])
        assert 0 < low <= median <= high, row
