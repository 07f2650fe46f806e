"""What plugins raise while a command runs: told in a line each, not with their traces."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import click


class _Line(logging.Handler):
    """Writes each record's message as one line on standard error."""

    def emit(self, record: logging.LogRecord) -> None:
        click.echo(f"Warning: {record.getMessage()}", err=True)


@contextmanager
def faults_told(*, now: bool = True) -> Iterator[None]:
    """Tell of faults in a line each; with *now* False, leave that to what is shown at the end."""
    logger = logging.getLogger("crmcore")
    handlers, propagate = logger.handlers[:], logger.propagate
    logger.handlers[:] = [_Line() if now else logging.NullHandler()]
    logger.propagate = False
    try:
        yield
    finally:
        logger.handlers[:] = handlers
        logger.propagate = propagate
