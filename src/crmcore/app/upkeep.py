"""Upkeep: what falls due, what is owed, and who does it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import groupby
from typing import Final

from crmcore.app.opened import Opened
from crmcore.domain.arguments import check_whole
from crmcore.errors import InputError, PluginNotFoundError
from crmcore.services import faults
from crmcore.services.background import timers
from crmcore.services.background.cursors import count_waiting
from crmcore.services.background.portion import Portion, retried
from crmcore.services.background.retrying import let_be_retried
from crmcore.services.background.worker import POLL, Worker
from crmcore.services.checkups.status import Status, status_of
from crmcore.services.faults import Fault
from crmcore.services.identities.matches import Match
from crmcore.services.merging.merging import Merge
from crmcore.services.unit import Unit

_OURS: Final = ("lifecycles", "consent")


class Upkeep(Opened):
    """The part of `Crm` that keeps it going."""

    def next_due(self) -> int | None:
        """
        Return the next instant at which something falls due, in microseconds, or None.

        Stages, timers and tasks are what `run_due` does; messages that wait are for `deliver`.
        """
        with self._read() as unit:
            return self._parts.transaction(unit).next_due()

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

    def retry_failed(self, *names: str) -> Mapping[str, int]:
        """
        Let what plugins failed with be tried at once, be it put off or parked; a worker does it.

        Args:
            names: Of plugins; without any, all of them.

        Returns:
            How many customers and timers of each plugin are tried again, if there are any.

        Raises:
            PluginNotFoundError: If no plugin has the name.
        """
        known = [plugin.name for plugin in self._runtime.assembly]
        for name in names:
            if name not in known:
                raise PluginNotFoundError(name, known)

        def retry(unit: Unit) -> Mapping[str, int]:
            # In one order, so that two who ask for it do not wait for each other.
            wanted = sorted(set(names or known))
            found = {name: let_be_retried(unit.connection, name, unit.now) for name in wanted}
            return {name: count for name, count in found.items() if count}

        return self._retrying(retry)

    def rebuild(self, *names: str) -> list[str]:
        """
        Make derived tables anew from the ledger: `lifecycles`, `consent`, and those of plugins.

        With no name everything is. Nothing is recorded. Returns what was rebuilt.

        Raises:
            PluginError: If a plugin raises; everything stays as it was then.
        """
        by_name = {plugin.name: plugin for plugin in self._runtime.assembly}
        for name in names:
            if name not in by_name and name not in _OURS:
                raise PluginNotFoundError(name, [*by_name, *_OURS])
        wanted = names or (*_OURS, *by_name)
        with self._begin() as unit:
            unit.connection.have_customers_alone()
            for name in wanted:
                if name == "lifecycles":
                    for lifecycle in self._parts.lifecycles:
                        lifecycle.recompute(unit)
                elif name == "consent":
                    self._parts.consents.recompute(unit)
                else:
                    self._parts.debts.rebuild(unit, by_name[name])
        return list(wanted)

    def worker(
        self, *, poll: float = POLL, told: Callable[[Portion], object] = lambda portion: None
    ) -> Worker:
        """
        Return a worker that does not run yet; it looks for work every *poll* seconds.

        It moves on whom time moves, fires timers, pays debts, merges whom policy agreed to be
        one, delivers messages, and calls `after_` hooks. Several
        may run on PostgreSQL, in as many processes. *told* is told of every portion it has done.
        """
        works = (
            self._parts.scheduler.work,
            self._parts.debts.work,
            self._merge_agreed,
            self._parts.delivering.work,
            self._parts.delivery.work,
            self._parts.retention.work,
            self._note_times,
        )
        return Worker(self._runtime.database, works, poll=poll, told=told)

    def _note_times(self) -> Iterator[Portion]:
        """Keep what hooks have cost, once in a while; nothing to be done follows from it."""
        if self._runtime.times.is_to_be_saved(self._runtime.clock.now()):
            self._save_times()
        return iter(())

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

    def status(self) -> Status:
        """Return how things stand: customers, interactions, and what each plugin has left to do."""
        plugins = [plugin.name for plugin in self._runtime.assembly]
        with self._read() as unit:
            return status_of(unit.connection, plugins, unit.now)

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
