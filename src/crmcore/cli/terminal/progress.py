"""Progress of long work, shown on standard error while somebody watches."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

Progress = Callable[[int, int], None]
"""Told how many of how many are done."""


@contextmanager
def progress(label: str) -> Iterator[Progress]:
    """Yield what shows how far the work is: a bar on a terminal, nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    try:
        from rich.console import Console  # an extra: crmcore[terminal]
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bars
    except ImportError:
        with click.progressbar(length=1, label=label, file=sys.stderr) as bar:

            def advance(done: int, total: int) -> None:
                bar.length = total
                bar.update(done - bar.pos)

            yield advance
        return
    columns = (TextColumn(label), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task(label, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)


@contextmanager
def working(label: str) -> Iterator[None]:
    """Show that something of unknown length goes on."""
    if not sys.stderr.isatty():
        yield
        return
    try:
        from rich.console import Console  # an extra: crmcore[terminal]
    except ImportError:
        click.echo(f"{label} ...", err=True)
        yield
        return
    with Console(stderr=True).status(label):
        yield
