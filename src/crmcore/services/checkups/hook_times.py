"""Hook times: the CPU that plugins take of the shop's transactions, and who takes too much."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any, Final

from attrs import define, frozen
from sqlalchemy import Executable, func, select

from crmcore.persistence.connection import Connection
from crmcore.persistence.portable import Portable
from crmcore.persistence.privacy import hook_time

MILLISECOND: Final = 1000
BUDGET: Final = 50 * MILLISECOND
"""Microseconds of CPU that one call may take, whatever it is about."""
PER_ITEM: Final = MILLISECOND
"""Microseconds it may take for each row instead, where that is more."""
BREACHES: Final = 3
"""After so many in a row the plugin's work is the worker's for a while."""
LONG: Final = 5_000_000
"""Nanoseconds; of shorter calls the time that passed is noted, which is no less than their CPU."""
REST: Final = 600 * 1_000_000
"""Microseconds for which it is."""
SAVED_EVERY: Final = 60 * 1_000_000

_times = select(*hook_time.columns).order_by(hook_time.c.microseconds.desc())


@frozen(kw_only=True)
class HookTime:
    """
    What one hook of a plugin has cost since the database was made, in microseconds of CPU.

    Of calls of less than 5 ms it is the time that passed.

    Attributes:
        items: For how many rows it was called, all calls together.
        slowest: The longest call.
    """

    plugin: str
    hook: str
    calls: int
    items: int
    microseconds: int
    slowest: int


class SlowPluginError(Exception):
    """A plugin took more CPU than its budget three times in a row."""


@define
class _Sum:
    calls: int = 0
    items: int = 0
    microseconds: int = 0
    slowest: int = 0
    breaches: int = 0


class HookTimes:
    """What hooks cost in this process; threads of one application share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sums: dict[tuple[str, str], _Sum] = {}
        self._rests_until: dict[str, int] = {}
        self._saves_from = 0

    def rests(self, plugin: str, now: int) -> bool:
        """Return whether the plugin's work is left to the worker at present."""
        return bool(self._rests_until) and now < self._rests_until.get(plugin, 0)

    def note(self, calls: Iterable[tuple[str, str, int, int]]) -> bool:
        """
        Note what calls have cost: plugin, hook, rows, and microseconds.

        Returns whether somebody was over the budget too often; see `take_breach`.
        """
        is_too_often = False
        with self._lock:
            for plugin, hook, items, took in calls:
                found = self._sums.get((plugin, hook))
                if found is None:
                    found = self._sums[plugin, hook] = _Sum()
                found.calls += 1
                found.items += items
                found.microseconds += took
                if took > found.slowest:
                    found.slowest = took
                if took > BUDGET and took > PER_ITEM * items:
                    found.breaches += 1
                    is_too_often = is_too_often or found.breaches >= BREACHES
                else:
                    found.breaches = 0
        return is_too_often

    def take_breach(self, plugin: str, hook: str, now: int) -> SlowPluginError | None:
        """Let the plugin rest if it has been over its budget too often; returns why, once."""
        with self._lock:
            found = self._sums.get((plugin, hook))
            if found is None or found.breaches < BREACHES:
                return None
            found.breaches = 0
            self._rests_until[plugin] = now + REST
        return SlowPluginError(
            f"{hook} took more than {BUDGET // MILLISECOND} ms of CPU, or "
            f"{PER_ITEM // MILLISECOND} ms for each row, {BREACHES} times in a row; for "
            f"{REST // 60_000_000} minutes its work is left to the worker"
        )

    def is_to_be_saved(self, now: int) -> bool:
        """Return whether it is a while since anything was saved, and there is something."""
        with self._lock:
            is_due = now >= self._saves_from and any(e.calls for e in self._sums.values())
            if is_due:
                self._saves_from = now + SAVED_EVERY
        return is_due

    def __bool__(self) -> bool:
        """Whether anything was measured that has not been saved."""
        return any(each.calls for each in list(self._sums.values()))

    def save(self, connection: Connection) -> None:
        """Add what was measured to what the database has, and begin anew."""
        with self._lock:
            sums, self._sums = (
                self._sums,
                {
                    key: _Sum(breaches=each.breaches)
                    for key, each in self._sums.items()
                    if each.breaches
                },
            )
        rows = [
            (plugin, hook, each.calls, each.items, each.microseconds, each.slowest)
            for (plugin, hook), each in sorted(sums.items())
            if each.calls
        ]
        database = connection.database
        statement = database.once("add hook times", lambda: _add(database.portable))
        connection.insert_rows(statement, rows)


def _add(portable: Portable) -> Executable:
    statement = portable.insert(hook_time)
    new, old = statement.excluded, hook_time.c
    added: dict[str, Any] = {
        name: old[name] + new[name] for name in ("calls", "items", "microseconds")
    }
    greatest = func.max if portable.is_sqlite else func.greatest
    slower = greatest(old.slowest, new.slowest)
    return statement.on_conflict_do_update(  # type: ignore[no-any-return]
        index_elements=["plugin", "hook"], set_={**added, "slowest": slower}
    )


def hook_times(connection: Connection) -> list[HookTime]:
    """Return what every hook has cost, the dearest first."""
    names = [column.name for column in hook_time.columns]
    rows = connection.execute(_times)
    return [HookTime(**dict(zip(names, row, strict=True))) for row in rows]
