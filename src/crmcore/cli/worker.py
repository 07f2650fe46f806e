"""`crm worker`: does what is due, until it is stopped."""

from __future__ import annotations

import signal
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

import click

from crmcore.cli.shell import Shell, config_option, pass_shell

if TYPE_CHECKING:
    from crmcore.app import Crm
    from crmcore.services.background.portion import Portion
    from crmcore.services.background.worker import Worker

_LONGEST_PAUSE = 60.0
_LOOK = 1.0  # seconds: not every system lets a signal end a wait that has no end


@click.command
@click.option("--once", is_flag=True, help="Do everything that is due, and end.")
@click.option(
    "--poll",
    type=click.FloatRange(min=0, min_open=True),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait before looking again.",
)
@click.option("-v", "--verbose", is_flag=True, help="Tell in a line what has been done.")
@config_option
@pass_shell
def worker(shell: Shell, once: bool, poll: float, verbose: bool) -> None:
    """
    Do what is due, until it is stopped.

    Customers move on as time passes, timers fire, plugins catch up with what they missed and are
    told what has been committed. On PostgreSQL several may run at once. SIGTERM and SIGINT end
    it, with exit code 0, when the portion in hand is done.
    """
    told = _tell if verbose else _keep_quiet
    if once:
        with shell.open() as crm:
            _do_once(crm.worker(poll=poll, told=told))
        return
    # A handler may come in between anything, and putting into this queue bears that.
    asked: SimpleQueue[int] = SimpleQueue()
    _on_signal(asked.put)
    opened = _opened(shell, asked)
    if opened is not None:
        with opened:
            _run(opened.worker(poll=poll, told=told), asked)


def _opened(shell: Shell, asked: SimpleQueue[int]) -> Crm | None:
    """Open the application as soon as its database can be; None if it is stopped before."""
    from crmcore.errors import SchemaError, StorageError

    pause = _LOOK
    while True:
        try:
            return shell.open()
        except SchemaError:
            raise  # waiting does not mend that
        except StorageError as error:
            click.echo(f"Warning: the worker tries again in {pause:.0f} s: {error}", err=True)
        try:
            asked.get(timeout=pause)
        except Empty:
            pause = min(2 * pause, _LONGEST_PAUSE)
        else:
            return None


def _do_once(at_work: Worker) -> None:
    asked: list[int] = []
    _on_signal(asked.append)
    at_work.once(lambda: bool(asked))


def _run(at_work: Worker, asked: SimpleQueue[int]) -> None:
    at_work.start()
    while at_work.is_running:
        try:
            asked.get(timeout=_LOOK)
            break
        except Empty:
            continue
    at_work.stop()


def _on_signal(note: Callable[[int], object]) -> None:
    def handle(number: int, _: object) -> None:
        note(number)

    signal.signal(signal.SIGTERM, handle)
    signal.signal(signal.SIGINT, handle)


def _tell(portion: Portion) -> None:
    whose = f" of {portion.plugin}" if portion.plugin else ""
    failed = f", {portion.failed:,} failed" if portion.failed else ""
    click.echo(f"{portion.work}{whose}: {portion.done:,} done{failed}")


def _keep_quiet(portion: Portion) -> None:
    pass
