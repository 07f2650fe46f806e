"""Counts: rows written and statements run, as the driver itself sees them."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, frozen

from crmcore import Crm


@frozen(kw_only=True)
class Count:
    """What some work did: rows inserted, updated or deleted; statements, BEGIN and COMMIT too."""

    rows: int
    statements: int


@define
class Trace:
    """Told of each statement; what is run for many rows in one call of the driver counts once."""

    statements: int = 0
    _last: str = ""

    def __call__(self, text: str) -> None:
        start = text.partition(" VALUES ")[0]
        if start != self._last:
            self.statements += 1
            self._last = start


def count(crm: Crm, work: Callable[[], object]) -> Count:
    """Do *work*, and return what it did on the application's only connection."""
    lent = crm.runtime.database.engine.raw_connection()
    driver = lent.driver_connection
    if driver is None:
        raise TypeError("the pool gave no connection")
    lent.close()  # back to the pool, which gives the same one out again
    trace, before = Trace(), driver.total_changes
    driver.set_trace_callback(trace)
    try:
        work()
    finally:
        driver.set_trace_callback(None)
    return Count(rows=driver.total_changes - before, statements=trace.statements)
