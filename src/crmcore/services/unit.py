"""A unit of work: one transaction, and how each plugin sees it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from crmcore.hooks import Plugin
from crmcore.persistence.connection import Connection
from crmcore.persistence.settings import raise_setting
from crmcore.services.context import PluginContext
from crmcore.services.privacy.opening import TIME_RUN, Opening
from crmcore.services.runtime import Runtime

_NEVER = 2**63 - 1
OWNER = "customer_id"


class Unit:
    """One transaction of one application: the unit in which all is kept or nothing."""

    def __init__(
        self,
        runtime: Runtime,
        connection: Connection,
        *,
        actor: str | None = None,
        spares_critical: bool = False,
    ) -> None:
        self.runtime = runtime
        self.connection = connection
        self.actor = actor
        self.spares_critical = spares_critical
        """Whether a critical plugin is treated as the others are: no order of the shop is in it."""
        self.now = runtime.clock.now()
        self.passed: set[int] = set()
        """The instants at which something fell due, or will, as facts were recorded."""
        self.settled: set[int] = set()
        """Customers who are locked, and merged into nobody, such as those of a batch."""
        self.sent = 0
        """How many messages were planned, each at the instant of this transaction."""
        self.forgotten: set[int] = set()
        """Customers who were erased, and about whom something came in late."""
        self.raised: list[tuple[str, str, Exception]] = []
        """What plugins raised, by plugin and hook, where only reading is allowed."""
        self._contexts: dict[str, PluginContext] = {}
        self._opening: Opening | None = None

    @contextmanager
    def whole(self) -> Iterator[None]:
        """Undo all that is done inside if it raises, so that the shop may catch it and go on."""
        self.look_again()
        self.settled.clear()
        passed, sent = set(self.passed), self.sent
        decided = {name: len(each.decisions) for name, each in self._contexts.items()}
        try:
            with self.connection.savepoint():
                yield
        except BaseException:
            self._opening = None
            self.settled.clear()  # undoing gives locks back
            self.passed, self.sent = passed, sent
            for name, context in self._contexts.items():
                del context.decisions[decided.get(name, 0) :]
            raise

    @property
    def opening(self) -> Opening:
        """What the database said when it was first asked in this transaction."""
        if self._opening is None:
            self._opening = Opening.read(self.connection)
        return self._opening

    def take_ids(self, count: int) -> Sequence[int]:
        """Return the next *count* ids for interactions, whose customers are locked."""
        if self.connection.database.portable.is_sqlite:
            return self.opening.take_ids(self.connection, count)
        # Asked for again under the lock: another transaction may have left a debt meanwhile.
        before = self._opening
        self._opening = Opening.read(self.connection, taking_id=count == 1)
        if before is not None:
            # How far time has run for a portion of customers, which is not written down yet.
            self._opening.time_run = max(before.time_run, self._opening.time_run)
        if count == 1:
            return range(self._opening.last_interaction, self._opening.last_interaction + 1)
        return self._opening.take_ids(self.connection, count)

    def look_again(self) -> None:
        """Forget what the database said, where others may have written in the transaction."""
        if self.connection.joined:
            self._opening = None

    def let_time_run(self, instant: int) -> None:
        """
        Note that all that time alone brings about by *instant* has happened.

        Stages follow from the facts and from this instant, which only the scheduler moves on.
        """
        if instant > self.opening.time_run:
            self.opening.time_run = instant
            raise_setting(self.connection, TIME_RUN, instant)

    def context(self, plugin: Plugin) -> PluginContext:
        """Return the transaction as *plugin* sees it."""
        found = self._contexts.get(plugin.name)
        if found is None:
            found = self._contexts[plugin.name] = PluginContext(self, plugin)
        return found
