import subprocess
import sys
from pathlib import Path

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
    "select, Pareto review",
    "select, RFM review",
    "select, concentration",
    "broadcast, judged and planned",
    "segment on SQLite, RFM",
    "200 segments, everybody in them",
    "200 segments, after one order",
    "segment on PostgreSQL, RFM",
    "fit, BG/NBD",
    "fit, Pareto/NBD",
    "fit, Gamma-Gamma",
)


def test_bench_measures_everything():
    """A small run ends with the table, which has a row for everything that is measured."""
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--quick"], cwd=ROOT, capture_output=True, text=True
    )

    assert 0 == done.returncode, done.stderr
    rows = done.stdout.splitlines()
    assert [] == [title for title in MEASURED if not any(row.startswith(title) for row in rows)]
