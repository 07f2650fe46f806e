"""Crm: plugins assembled over a database."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar, Unpack

from crmcore.configuration import load_configuration
from crmcore.domain.clock import Calendar, Clock, SystemClock
from crmcore.domain.identity import Identifier, IdentitySettings, Known
from crmcore.domain.interaction import Draft, DraftFields, Interaction
from crmcore.domain.lifecycle import Lifecycle
from crmcore.domain.relationship import RelationshipSettings, relationship
from crmcore.errors import (
    ConfigurationError,
    InputError,
    PluginError,
    PluginNotFoundError,
    RetryTransaction,
)
from crmcore.hooks import Plugin, ReportResult, Started, Stopping
from crmcore.persistence.borrowed import Joinable
from crmcore.persistence.database import Database
from crmcore.persistence.joined import join
from crmcore.services import catalogue, faults, timers
from crmcore.services.assembly import Assembly
from crmcore.services.cursors import count_waiting
from crmcore.services.customers import CustomerService, CustomerView
from crmcore.services.debts import DebtService
from crmcore.services.delivery import Delivery
from crmcore.services.dispatcher import Dispatcher
from crmcore.services.faults import Fault
from crmcore.services.folds import Folds
from crmcore.services.identity import IdentityService
from crmcore.services.ledger import Ledger
from crmcore.services.lifecycle import LifecycleService
from crmcore.services.merging import MergeService
from crmcore.services.people import People, PeopleOfCrm
from crmcore.services.portion import Portion
from crmcore.services.recorder import Recorder
from crmcore.services.runtime import Runtime
from crmcore.services.scheduler import Scheduler
from crmcore.services.transaction import Recorded, Transaction, find_plugin, record_one
from crmcore.services.unit import Unit
from crmcore.services.why import Decision, StageStep, WhyService
from crmcore.services.worker import POLL, Worker

PluginT = TypeVar("PluginT", bound=Plugin)
T = TypeVar("T")

_RETRIES: Final = 3


class Crm(PeopleOfCrm):
    """
    A shop's customer relations: plugins over one database.

    >>> with Crm("sqlite://", currency="EUR") as crm:
    ...     order = crm.record("order.placed", email="ada@example.com", amount="19.90")
    ...     print(crm.customer(order.customer_id).stages[0].stage)
    ordering
    """

    def __init__(
        self,
        url: str,
        *,
        plugins: Iterable[Plugin] = (),
        currency: str = "EUR",
        zone: str = "UTC",
        relationship_settings: RelationshipSettings | None = None,
        identity: IdentitySettings | None = None,
        critical: Iterable[str] = (),
        clock: Clock | None = None,
        durable: bool = True,
        secret: str | None = None,
        partitions: int = 0,
    ) -> None:
        """
        Assemble plugins over the database at *url*, creating the tables it lacks.

        Args:
            url: As SQLAlchemy takes it, such as `sqlite:///shop.db`.
            currency: The shop's own; every amount is also counted in it. Fixed with the first use.
            zone: IANA name of the shop's time zone: its days start at midnight there.
            identity: What identifiers are blocked, how many one customer may have, and which
                prove that two customers are one.
            critical: Names of plugins whose exceptions are to abort the shop's transaction.
            durable: False gives up safety against power failure, for scratch databases.
            secret: Keys the hashes of addresses in keys; by default the database's own.
            partitions: PostgreSQL: how many hash partitions customer tables are created with;
                fixed with the first use. 0 is as many as the database has, or none.

        Raises:
            ConfigurationError: If a value is not right.
            PluginError: If a plugin is not right; names it.
            OutdatedSchemaError: If the database is from an older version; `migrate` it first.
            SchemaError: If the database is from a newer version.
        """
        lifecycle: Lifecycle = relationship(relationship_settings)
        assembly = Assembly(plugins, [lifecycle], identity)
        unknown = set(critical) - {plugin.name for plugin in assembly}
        if unknown:
            raise PluginNotFoundError(sorted(unknown)[0], [p.name for p in assembly])
        calendar = Calendar.named(zone)
        clock = clock or SystemClock()
        database = Database(url, durable=durable)
        try:
            kept = catalogue.open_schema(database, clock.now(), partitions)
        except BaseException:
            database.close()
            raise
        names = IdentityService(database.portable, secret or kept, assembly.schemes)
        ledger = Ledger(assembly.kinds, names, database.portable, currency)
        self._runtime = Runtime(
            database=database,
            assembly=assembly,
            identity=names,
            ledger=ledger,
            folds=Folds(database.portable),
            calendar=calendar,
            clock=clock,
            critical=frozenset(critical),
        )
        self._dispatcher = Dispatcher(self._runtime)
        self._lifecycles = [
            LifecycleService(each, self._runtime, self._dispatcher)
            for each in assembly.lifecycles.values()
        ]
        self._recorder = Recorder(self._runtime, self._dispatcher, self._lifecycles)
        self._debts = DebtService(self._runtime, self._recorder, self._open)
        self._scheduler = Scheduler(self._runtime, self._recorder, self._lifecycles, self._open)
        self._delivery = Delivery(self._runtime, self._recorder, self._open)
        self._worker: Worker | None = None
        self._people = People.of(
            self._runtime,
            MergeService(self._runtime, self._dispatcher, self._debts, self._lifecycles),
        )
        self._customers = CustomerService(self._runtime, self._dispatcher)
        self._why = WhyService(ledger)
        self._closed = False
        try:
            self._start()
        except BaseException:
            database.close()
            raise

    @classmethod
    def from_config(cls, path: str | Path = "crm.toml", **overrides: Any) -> Self:
        """
        Assemble what a crm.toml says; *overrides* are arguments of `Crm` that replace it.

        Plugins are found by entry point, group `crmcore.plugins`. A relative SQLite path is
        relative to the file.

        Raises:
            ConfigurationError: Names the file, the setting and the nearest right name.
        """
        return cls(**{**load_configuration(Path(path)).arguments(), **overrides})

    # -- recording ---------------------------------------------------------------------------

    @contextmanager
    def begin(self, *, actor: str | None = None) -> Iterator[Transaction]:
        """Open a transaction: leaving cleanly commits, an exception undoes everything."""
        with self._begin(actor=actor) as unit:
            yield Transaction(unit, self._recorder, self._scheduler, self._people)

    @contextmanager
    def join(self, connection: Joinable, *, actor: str | None = None) -> Iterator[Transaction]:
        """
        Work in a transaction that the shop has open on *connection*, and that stays the shop's.

        What is done inside is committed or rolled back with it, and only by the shop; an
        exception that leaves the block undoes what was done inside, and nothing else.

        Args:
            connection: SQLAlchemy's, Django's, psycopg's or sqlite3's, see `Joinable`.
            actor: Who acts, such as `staff:grace`.

        Raises:
            InputError: If it cannot be joined; says what was found and what was expected.
            RetryTransaction: If another transaction stood in the way. It is never retried here:
                the shop rolls back, and does its whole transaction again.
        """
        with join(self._runtime.database, connection) as joined:
            unit = Unit(self._runtime, joined, actor=actor)
            yield Transaction(unit, self._recorder, self._scheduler, self._people)

    async def join_async(
        self, connection: Any, work: Callable[[Transaction], T], *, actor: str | None = None
    ) -> T:
        """
        Do *work*, a plain function, in the transaction of an `AsyncConnection` or `AsyncSession`.

        As `join` otherwise; returns what *work* returns.
        """
        if not hasattr(connection, "run_sync"):
            raise InputError(
                f"{connection!r} cannot be joined here; an AsyncConnection or AsyncSession of "
                "SQLAlchemy is expected"
            )

        def joined(beneath: Joinable) -> T:
            with self.join(beneath, actor=actor) as tx:
                return work(tx)

        return await connection.run_sync(joined)  # type: ignore[no-any-return]

    def run_transaction(self, work: Callable[[Transaction], T], *, actor: str | None = None) -> T:
        """
        Do *work* in a transaction of its own, and return what it returns.

        Where another transaction stands in the way (a deadlock, a serialisation failure), all is
        undone and *work* is done again, up to three times; so it must do nothing else.
        """
        return self._retrying(
            lambda unit: work(Transaction(unit, self._recorder, self._scheduler, self._people)),
            actor=actor,
        )

    def record(self, kind: str | Draft, **values: Unpack[DraftFields]) -> Interaction:
        """
        Record one interaction, in a transaction of its own, and return it.

        Args:
            kind: Such as `order.placed`, or a whole `Draft`.
            values: The fields of `Draft`; `email="ada@example.com"` and the other schemes name
                the customer, and `amount` may be major units of the shop's currency: `"19.90"`.

        Raises:
            InputError: Says what was found and what was expected; nothing is written.
        """
        return self._retrying(lambda unit: record_one(unit, self._recorder, kind, values))

    def record_many(self, drafts: Iterable[Draft]) -> Recorded:
        """Record a batch of interactions, each once, in a transaction of its own."""
        drafts = list(drafts)
        return self.run_transaction(lambda tx: tx.record_many(drafts))

    # -- asking ------------------------------------------------------------------------------

    def find_customer(self, identifier: Identifier) -> int | None:
        """Return the id of the customer known by *identifier*, or None."""
        key = (identifier.scheme, identifier.value)
        with self._read() as unit:
            return self._runtime.identity.find(unit.connection, [key]).get(key)

    def customer(self, known: Known, *, most: int = 50) -> CustomerView:
        """Return what is known of a customer, with the *most* latest interactions."""
        customer_id = self._id_of(known)
        with self._read() as unit:
            view = self._customers.view(unit, customer_id, most=most)
        self._note_raised(unit)
        return view

    def why_stages(self, known: Known) -> list[StageStep]:
        """Return a customer's way through the stages, each step with its reason and causes."""
        customer_id = self._id_of(known)
        with self._read() as unit:
            return self._why.stages(unit.connection, customer_id)

    def why_decisions(self, known: Known) -> list[Decision]:
        """Return what plugins decided about a customer, each decision with its causes."""
        customer_id = self._id_of(known)
        with self._read() as unit:
            return self._why.decisions(unit.connection, customer_id)

    def report(self, name: str) -> ReportResult:
        """
        Return what the report of that name finds in the present state.

        Raises:
            ConfigurationError: If there is no such report.
            PluginError: If it raises, or finds something else than a `ReportResult`.
        """
        reports = self._runtime.assembly.reports
        if name not in reports:
            raise ConfigurationError(
                f"no report is named {name!r}; there are: {', '.join(sorted(reports)) or 'none'}"
            )
        owner = self._owner_of_report(name)
        found: object = None
        with self._read() as unit:
            try:
                found = reports[name].run(unit.context(owner))
            except Exception as error:
                unit.raised.append((owner.name, "report", error))
        self._note_raised(unit)
        for _, _, cause in unit.raised:
            raise PluginError(
                owner.name, f"report {name!r} raised {type(cause).__name__}: {cause}"
            ) from cause
        if not isinstance(found, ReportResult):
            raise PluginError(owner.name, f"report {name!r} gave {found!r}, ReportResult expected")
        return found

    def plugin(self, wanted: type[PluginT]) -> PluginT:
        """Return the plugin of that class."""
        return find_plugin(self._runtime.assembly, wanted)

    @property
    def assembly(self) -> Assembly:
        """The plugins in their order, and what they contribute."""
        return self._runtime.assembly

    @property
    def runtime(self) -> Runtime:
        """What the services share."""
        return self._runtime

    # -- time and debt -----------------------------------------------------------------------

    def next_due(self) -> int | None:
        """Return the next instant at which something falls due, in microseconds, or None."""
        with self._read() as unit:
            return self._scheduler.next_due(unit.connection)

    def run_due(self) -> int:
        """Do all that has fallen due by now, in order; returns how many times there was any."""
        return sum(1 for _ in groupby(self._scheduler.work(), lambda portion: portion.due))

    def pay_debts(self) -> Mapping[str, int]:
        """
        Let plugins catch up with customers they missed; returns how many each was paid for.

        Those that failed before are tried, too, be it their time or not.
        """
        paid: dict[str, int] = {}
        for portion in self._debts.work(put_off=True):
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
                    for lifecycle in self._lifecycles:
                        lifecycle.recompute(unit)
                else:
                    self._debts.rebuild(unit, by_name[name])
        return list(wanted)

    def worker(
        self, *, poll: float = POLL, told: Callable[[Portion], object] = lambda portion: None
    ) -> Worker:
        """
        Return a worker that does not run yet; it looks for work every *poll* seconds.

        It moves on whom time moves, fires timers, pays debts, and calls `after_` hooks. Several
        may run on PostgreSQL, in as many processes. *told* is told of every portion it has done.
        """
        works = (self._scheduler.work, self._debts.work, self._delivery.work)
        return Worker(self._runtime.database, works, poll=poll, told=told)

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
        """Return what a plugin raised, newest first."""
        with self._read() as unit:
            return faults.find_faults(unit.connection, plugin, most=most)

    def parked_timers(self) -> Mapping[str, int]:
        """Return how many timers of each plugin failed too often to be tried again."""
        with self._read() as unit:
            return timers.count_parked(unit.connection)

    # -- life --------------------------------------------------------------------------------

    def close(self) -> None:
        """Let plugins make an end, and close the database."""
        if self._closed:
            return
        if self._worker is not None:
            self._worker.stop()
        self._closed = True
        stopping = self._runtime.assembly.of(Plugin.on_stopping)
        if stopping:
            with self._begin() as unit:
                for plugin, stop in stopping:
                    self._dispatcher.isolated(
                        unit,
                        plugin,
                        stopping.name,
                        lambda stop=stop, plugin=plugin: stop(unit.context(plugin), Stopping()),  # type: ignore[misc]
                    )
                self._recorder.record_decisions(unit)
        self._runtime.database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _start(self) -> None:
        with self._begin() as unit:
            unit.connection.wait_for_turn()
            catalogue.check_currency(unit.connection, self._runtime.currency)
            assembly = self._runtime.assembly
            missed = catalogue.note_enabled(
                unit.connection, "plugins", [plugin.name for plugin in assembly]
            )
            unseen = catalogue.note_enabled(unit.connection, "lifecycles", assembly.lifecycles)
            timers.unpark(unit.connection, unit.now)
            self._delivery.start(unit)
            self._debts.put_off_no_longer(unit)
            for plugin in self._runtime.assembly:
                derives = any(table.derived for table in plugin.tables)
                anew = catalogue.open_plugin(unit.connection, plugin, unit.now)
                if anew or (derives and plugin.name in missed):
                    unit.connection.have_customers_alone()
                    self._debts.owe_everything(unit, plugin.name)
            zone = self._runtime.calendar.zone.key
            for service in self._lifecycles:
                changed = catalogue.open_lifecycle(unit.connection, service.lifecycle, zone)
                if changed or service.lifecycle.name in unseen:
                    unit.connection.have_customers_alone()
                    service.recompute(unit)
            for plugin, start in self._runtime.assembly.of(Plugin.on_started):
                try:
                    start(unit.context(plugin), Started())
                except Exception as error:
                    raise PluginError(
                        plugin.name, f"on_started raised {type(error).__name__}: {error}"
                    ) from error
            self._recorder.record_decisions(unit)

    @contextmanager
    def _begin(self, *, actor: str | None = None) -> Iterator[Unit]:
        with self._open(actor=actor) as unit:
            yield unit
        if self._worker is not None:
            self._worker.wake()

    @contextmanager
    def _open(self, *, actor: str | None = None, isolation: str | None = None) -> Iterator[Unit]:
        with self._runtime.database.begin(isolation=isolation) as connection:
            yield Unit(self._runtime, connection, actor=actor)

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

    def _id_of(self, known: Known) -> int:
        with self._read() as unit:
            return self._people.id_of(unit, known)

    def _owner_of_report(self, name: str) -> Plugin:
        register = self._runtime.assembly.of(Plugin.register_reports)
        return next(
            plugin for plugin, reports in register if name in {report.name for report in reports()}
        )
