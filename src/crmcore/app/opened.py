"""Opened: how an application opens its transactions."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final, TypeVar

from crmcore.app.parts import Parts
from crmcore.domain.arguments import check_callable, check_text
from crmcore.domain.identity import Known
from crmcore.errors import RetryTransaction, StorageError
from crmcore.services import faults
from crmcore.services.background.worker import Worker
from crmcore.services.runtime import Runtime
from crmcore.services.starting.assembly import Assembly
from crmcore.services.transaction import Transaction
from crmcore.services.unit import Unit

T = TypeVar("T")

_RETRIES: Final = 3


class Opened:
    """An application as its parts see it: a runtime, services, and transactions of its own."""

    _runtime: Runtime
    _parts: Parts
    _worker: Worker | None = None

    @property
    def assembly(self) -> Assembly:
        """The plugins in their order, and what they contribute."""
        return self._runtime.assembly

    @property
    def runtime(self) -> Runtime:
        """What the services share."""
        return self._runtime

    def run_transaction(self, work: Callable[[Transaction], T], *, actor: str | None = None) -> T:
        """
        Do *work* in a transaction of its own, and return what it returns.

        Where another transaction stands in the way (a deadlock, a serialisation failure), all is
        undone and *work* is done again, up to three times; so it must do nothing else.
        """
        check_callable("work", work, "lambda tx: tx.record(...)")
        return self._retrying(lambda unit: work(self._parts.transaction(unit)), actor=actor)

    @contextmanager
    def _begin(self, *, actor: str | None = None) -> Iterator[Unit]:
        check_text("actor", actor)
        with self._open(actor=actor) as unit:
            yield unit
        if self._worker is not None:
            self._worker.wake()

    @contextmanager
    def _open(self, *, actor: str | None = None) -> Iterator[Unit]:
        with self._runtime.database.begin() as connection:
            yield Unit(self._runtime, connection, actor=actor)

    @contextmanager
    def _open_beside(self, *, isolation: str | None = None) -> Iterator[Unit]:
        """
        Open a transaction of the upkeep's own: no order hangs on it, so it spares critical plugins.

        It wakes no worker, as whoever does the work looks again by itself.
        """
        with self._runtime.database.begin(isolation=isolation) as connection:
            yield Unit(self._runtime, connection, spares_critical=True)

    def _retrying(self, work: Callable[[Unit], T], *, actor: str | None = None) -> T:
        for attempt in range(_RETRIES):
            try:
                with self._begin(actor=actor) as unit:
                    return work(unit)
            except RetryTransaction:
                # Those who stood in each other's way should not meet again at once.
                time.sleep(random.uniform(0, 0.02 * 2**attempt))
        with self._begin(actor=actor) as unit:
            return work(unit)

    @contextmanager
    def _read(self) -> Iterator[Unit]:
        with self._runtime.database.begin(read_only=True) as connection:
            yield Unit(self._runtime, connection)

    def _note_raised(self, read: Unit) -> None:
        """Note what plugins raised while a transaction only read."""
        if read.raised:
            with self._begin() as unit:
                for plugin, hook, error in read.raised:
                    faults.record_fault(
                        unit.connection, plugin=plugin, hook=hook, now=unit.now, error=error
                    )

    def _save_times(self) -> None:
        """Keep what hooks have cost in this process; in a transaction that waits for nobody."""
        if self._runtime.times:
            with suppress(StorageError, RetryTransaction), self._open_beside() as unit:
                self._runtime.times.save(unit.connection)

    def _id_of(self, known: Known) -> int:
        with self._read() as unit:
            return self._parts.people.id_of(unit, known)
