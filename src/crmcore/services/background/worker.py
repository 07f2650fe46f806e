"""The worker: does what is due, beside the shop, until it is told to stop."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from typing import Final, Self

from crmcore.domain.arguments import check_positive
from crmcore.errors import ConfigurationError, StorageError
from crmcore.persistence.database import Database
from crmcore.services.background.portion import Portion

POLL: Final = 1.0
"""Seconds between two looks at the database, where nothing else wakes the worker."""

_LONGEST_PAUSE: Final = 60.0

logger = logging.getLogger("crmcore")

Stop = Callable[[], bool]
Work = Callable[[], Iterator[Portion]]


def _never() -> bool:
    return False


class Worker:
    """
    Does what is due: stages and timers, debts, and telling plugins what was committed.

    It works in portions, each in a transaction of its own, and can stop after each of them.
    """

    def __init__(
        self,
        database: Database,
        works: Sequence[Work],
        *,
        poll: float = POLL,
        told: Callable[[Portion], object] = lambda portion: None,
    ) -> None:
        """
        Make a worker that does not run yet.

        Args:
            database: Where the work is.
            works: What it does, in turn; each yields after every portion.
            poll: Seconds between two looks at the database, where nothing else wakes it.
            told: Is told of every portion.
        """
        check_positive("poll", poll, "a number of seconds above 0")
        self._database = database
        self._works = works
        self._poll = poll
        self._told = told
        self._woken = threading.Event()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def once(self, stop: Stop = _never) -> int:
        """
        Do everything that is due, what follows from it too, and return how many portions it was.

        *stop* is asked after each portion. What fails keeps nothing else from being done; the
        first error is raised at the end.
        """
        count = 0
        errors: list[Exception] = []
        with closing(self._portions(errors)) as portions:
            for portion in portions:
                count += 1
                self._told(portion)
                if stop():
                    break
        if errors:
            raise errors[0]
        return count

    def _portions(self, errors: list[Exception]) -> Generator[Portion, None, None]:
        """Yield what the works do, in turn, until none does anything; who fails is left out."""
        works, is_idle = list(self._works), False
        while not is_idle:
            is_idle = True
            for work in list(works):
                try:
                    for portion in work():
                        is_idle = False
                        yield portion
                except Exception as error:
                    errors.append(error)
                    works.remove(work)

    def run(self, stop: threading.Event) -> None:
        """
        Work until *stop* is set, and return after the portion in hand.

        What the database refuses is logged and tried again after pauses that grow to a minute.
        Between portions *stop* is seen at once where `wake` is called, too.
        """
        pause = self._poll
        while not stop.is_set():
            self._woken.clear()
            try:
                self.once(stop.is_set)
                pause = self._poll
            except Exception as error:
                pause = min(2 * pause, _LONGEST_PAUSE)
                whole = None if isinstance(error, StorageError) else error
                logger.warning(
                    "the worker goes on in %.0f s: %s: %s",
                    pause,
                    type(error).__name__,
                    error,
                    exc_info=whole,
                )
                stop.wait(pause)  # whoever commits meanwhile cannot mend it
            else:
                if not stop.is_set():
                    self._woken.wait(pause)

    def wake(self) -> None:
        """Look at the database now: something has been committed, or it is to stop."""
        self._woken.set()

    def start(self) -> Self:
        """
        Run in a thread of this process.

        Raises:
            ConfigurationError: If the database is in memory, which belongs to one thread.
        """
        if self._database.is_in_memory:
            raise ConfigurationError(
                "a database in memory belongs to one thread, so no worker can run beside it; "
                "use a file, such as 'sqlite:///crm.db', or call run_due and pay_debts"
            )
        if not self.is_running:
            self._stopped.clear()
            self._thread = threading.Thread(
                target=self.run, args=(self._stopped,), name="crmcore worker", daemon=True
            )
            self._thread.start()
        return self

    @property
    def is_running(self) -> bool:
        """Whether a thread that `start` began is at work."""
        return self._thread is not None and self._thread.is_alive()

    def stop(self) -> None:
        """Stop the thread that `start` began, after the portion in hand."""
        self._stopped.set()
        self.wake()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
            self._thread = None
