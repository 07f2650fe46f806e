"""`python -m bench`: all benchmarks, one after the other, and the table of what they found."""

from __future__ import annotations

import argparse
import platform
import sqlite3
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import sqlalchemy

from bench import (
    btyd,
    bulk,
    dispatch,
    email,
    gate,
    groups,
    postgres,
    segments,
    sending,
    single,
    statement,
    view,
)
from bench.sample import Spread
from bench.sizes import FULL, QUICK, Sizes
from bench.table import Line, rendered

Benchmark = Callable[[Sizes], Iterator[Line]]
BENCHMARKS: dict[str, Benchmark] = {
    "bulk": bulk.measure,
    "single": single.measure,
    "postgres": postgres.measure,
    "view": view.measure,
    "dispatch": dispatch.measure,
    "statement": statement.measure,
    "gate": gate.measure,
    "sending": sending.measure,
    "segments": segments.measure,
    "groups": groups.measure,
    "btyd": btyd.measure,
    "email": email.measure,
}
RESULTS = Path(__file__).with_name("RESULTS.md")

NOTES = """\
Microseconds of CPU time, user and system, for one interaction, view, dispatch or statement.
The ratios are those of pairs of samples, crmcore's just after the bare driver's: the lowest, the
median and the highest. Rows are those inserted, updated or deleted for each interaction;
statements those of each commit or view, with BEGIN and COMMIT; both bare / crmcore. The bare
driver holds one connection and writes rows that are ready, in the same transactions, on the same
tables, with the same indexes and pragmas; crmcore takes a connection from the pool each time.
On PostgreSQL the time of the server's process counts on both sides. A mail is a newsletter of
20 kB with 22 products that differ for each recipient; whoever takes it is another process, whose
time does not count."""


def summary(lines: list[Line], sizes: Sizes) -> str:
    """Return the versions, the sizes, the reference loop and the table."""
    customers, interactions, batch = sizes.bulk
    loop = Spread.of([s for line in lines for s in line.comparison.reference])
    versions = (
        f"Python {platform.python_version()}, SQLAlchemy {sqlalchemy.__version__}, "
        f"SQLite {sqlite3.sqlite_version}"
    )
    return "\n".join(
        (
            versions,
            f"bulk: {interactions:,} interactions of {customers:,} customers, {batch:,} a commit; "
            f"single: {sizes.commits:,} commits a sample into a ledger of {sizes.single[1]:,}",
            f"{sizes.rounds} pairs of samples a line; the reference loop took "
            f"{loop.low * 1e3:.1f} - {loop.median * 1e3:.1f} - {loop.high * 1e3:.1f} ms",
            "",
            rendered(lines),
            *(f"\n{line.rate}" for line in lines if line.rate is not None),
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small run, which is not kept")
    parser.add_argument(
        "--only",
        action="append",
        choices=BENCHMARKS,
        help="measure this one, which is not kept either; may be given again",
    )
    asked = parser.parse_args()
    sizes = QUICK if asked.quick else FULL
    lines: list[Line] = []
    for name in asked.only or BENCHMARKS:
        for line in BENCHMARKS[name](sizes):
            lines.append(line)
            print(f"measured: {line.title}", file=sys.stderr, flush=True)
    found = summary(lines, sizes)
    print(found)
    print(f"\n{NOTES}")
    if not asked.quick and not asked.only:
        RESULTS.write_text(
            f"# What crmcore costs\n\n`make bench` writes this page. {NOTES}\n\n"
            f"```text\n{found}\n```\n",
            encoding="utf-8",
        )


if __name__ == "__main__":
    main()
