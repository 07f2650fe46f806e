"""A limit for what might never end, so that the test fails instead of hanging."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Endless(BaseException):
    """Raised when the time is up; no plugin's exception, so that nothing isolates it."""


@contextmanager
def ending(seconds: int = 20) -> Iterator[None]:
    """Raise `Endless` if the block takes longer; in the main thread of a Unix system only."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Endless(f"still running after {seconds} s")

    if not hasattr(signal, "SIGALRM"):
        yield
        return
    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
