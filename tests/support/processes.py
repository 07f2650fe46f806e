"""Processes that tests start, tell to stop, and never wait for in vain."""

from __future__ import annotations

import signal
import subprocess


def hear_interrupts() -> None:
    """Let a child hear Ctrl-C; what a shell starts in the background hears none."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def ended(process: subprocess.Popen[str], seconds: float = 60.0) -> str:
    """Return what a process said until it ended; it is killed if it does not."""
    try:
        return process.communicate(timeout=seconds)[0]
    except subprocess.TimeoutExpired:
        process.kill()
        raise
