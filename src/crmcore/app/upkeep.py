"""Upkeep: what falls due, what is owed, and who does it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import groupby

from crmcore.app.opened import Opened
from crmcore.domain.arguments import check_whole
from crmcore.errors import InputError, PluginNotFoundError
from crmcore.services import faults, timers
from crmcore.services.cursors import count_waiting
from crmcore.services.faults import Fault
from crmcore.services.matches import Match
from crmcore.services.merging import Merge
from crmcore.services.portion import Portion, retried
from crmcore.services.worker import POLL, Worker


class Upkeep(Opened):
    """The part of `Crm` that keeps it going."""

    def next_due(self) -> int | None:
        """Return the next instant at which something falls due, in microseconds, or None."""
        with self._read() as unit:
            return self._parts.scheduler.next_due(unit.connection)

    def run_due(self) -> int:
        """Do all that has fallen due by now, in order; returns how many times there was any."""
        return sum(1 for _ in groupby(self._parts.scheduler.work(), lambda portion: portion.due))

    def pay_debts(self) -> Mapping[str, int]:
        """
        Let plugins catch up with customers they missed; returns how many each was paid for.

        Those that failed before are tried, too, be it their time or not.
        """
        paid: dict[str, int] = {}
        for portion in self._parts.debts.work(put_off=True):
            name = portion.plugin or ""
            paid[name] = paid.get(name, 0) + portion.done
        return paid

    def rebuild(self, *names: str) -> list[str]:
        """
        Make derived tables anew from the ledger: the lifecycles' and those of the plugins named.

        With no name everything is. Nothing is recorded. Returns what was rebuilt.

        Raises:
            PluginError: If a plugin raises; everything stays as it was then.
        """
        by_name = {plugin.name: plugin for plugin in self._runtime.assembly}
        for name in names:
            if name not in by_name and name != "lifecycles":
                raise PluginNotFoundError(name, [*by_name, "lifecycles"])
        wanted = names or ("lifecycles", *by_name)
        with self._begin() as unit:
            unit.connection.have_customers_alone()
            for name in wanted:
                if name == "lifecycles":
                    for lifecycle in self._parts.lifecycles:
                        lifecycle.recompute(unit)
                else:
                    self._parts.debts.rebuild(unit, by_name[name])
        return list(wanted)

    def worker(
        self, *, poll: float = POLL, told: Callable[[Portion], object] = lambda portion: None
    ) -> Worker:
        """
        Return a worker that does not run yet; it looks for work every *poll* seconds.

        It moves on whom time moves, fires timers, pays debts, merges whom policy agreed to be
        one, and calls `after_` hooks. Several
        may run on PostgreSQL, in as many processes. *told* is told of every portion it has done.
        """
        works = (
            self._parts.scheduler.work,
            self._parts.debts.work,
            self._merge_agreed,
            self._parts.delivery.work,
        )
        return Worker(self._runtime.database, works, poll=poll, told=told)

    def _merge_agreed(self) -> Iterator[Portion]:
        """Merge those whom policy agreed to be one."""
        with self._read() as unit:
            agreed = [m for m in self._parts.people.duplicates(unit) if m.status == "agreed"]
        for each in agreed:
            if retried(self._runtime.database, lambda each=each: self._merge(each)):  # type: ignore[misc]
                yield Portion(work="merges", done=1)

    def _merge(self, agreed: Match) -> Merge | None:
        with self._open_beside() as unit:
            return self._parts.transaction(unit).merge_agreed(agreed)

    def start_worker(self, *, poll: float = POLL) -> Worker:
        """
        Start a worker in a thread of this process; closing the application stops it.

        What is committed here wakes it up at once, and *poll* is how many seconds pass between
        two looks otherwise. Started already, it is returned as it is.

        Raises:
            ConfigurationError: If the database is in memory.
        """
        if self._worker is None or not self._worker.is_running:
            self._worker = self.worker(poll=poll).start()
        return self._worker

    def backlog(self) -> Mapping[str, int]:
        """Return for how many customers rows wait that each plugin failed with after a commit."""
        with self._read() as unit:
            return count_waiting(unit.connection)

    def debts(self) -> Mapping[str, int]:
        """Return for how many customers each plugin owes work."""
        with self._read() as unit:
            return faults.count_debt(unit.connection)

    def faults(self, plugin: str, *, most: int = 20) -> list[Fault]:
        """Return what a plugin raised, newest first; it need not be there any more."""
        if not isinstance(plugin, str):
            raise InputError(f"plugin is {plugin!r}; its name is expected")
        check_whole("most", most, least=0)
        with self._read() as unit:
            return faults.find_faults(unit.connection, plugin, most=most)

    def parked_timers(self) -> Mapping[str, int]:
        """Return how many timers of each plugin failed too often to be tried again."""
        with self._read() as unit:
            return timers.count_parked(unit.connection)
