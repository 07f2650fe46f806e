"""Debts paid: a plugin catches up with the customers it missed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from attrs import frozen
from sqlalchemy import Select, Text, bindparam, delete, select, true, update

from crmcore.domain.clock import DAY
from crmcore.errors import PluginError, RetryTransaction
from crmcore.hooks import CustomerList, CustomersRecompute, Everyone, IdList, Plugin
from crmcore.persistence.connection import Connection
from crmcore.persistence.customers import customer
from crmcore.persistence.faults import debt
from crmcore.persistence.ledger import in_shadow, interaction
from crmcore.persistence.portable import Portable, json_list
from crmcore.persistence.schema import Whole
from crmcore.services import faults
from crmcore.services.background.backoff import next_try
from crmcore.services.background.halving import Failure, attempt, failing, note_failures
from crmcore.services.background.portion import Begin, Portion, retried
from crmcore.services.privacy.erased import forget_derived
from crmcore.services.recording.folds import own_source
from crmcore.services.recording.ledger import COLUMNS
from crmcore.services.recording.recorder import Recorder
from crmcore.services.runtime import Runtime
from crmcore.services.unit import Unit

AT_ONCE: Final = 1000
DEBTS: Final = "debts"
SENT_WITHIN: Final = DAY
"""How late a message may go that a plugin would have sent had it not failed."""

_ID, _RECORDED = (COLUMNS.index(c) for c in ("interaction_id", "recorded_at"))
_ALWAYS: Final = 2**63 - 1

_row = (debt.c.customer_id, debt.c.first_interaction_id, debt.c.missed_stages, debt.c.attempt)
_owed = (debt.c.plugin == bindparam("owner")) & (debt.c.run_at <= bindparam("by"))
_next = _owed & (debt.c.customer_id > bindparam("beyond"))
_oldest = select(*_row).where(_next).order_by(debt.c.customer_id).limit(AT_ONCE)
_owners = select(debt.c.plugin).where(debt.c.run_at <= bindparam("by")).distinct()
_missed = select(*interaction.columns).order_by(interaction.c.interaction_id)
_one = (debt.c.plugin == bindparam("owner")) & (debt.c.customer_id == bindparam("debtor"))
_put_off = update(debt).where(_one).values(attempt=bindparam("tried"), run_at=bindparam("again"))


@frozen
class Debtor:
    """A customer for whom a plugin owes work, from interaction *first* on."""

    customer_id: int
    first: int
    missed_stages: str | None
    attempt: int


@frozen(kw_only=True)
class Paid:
    """What became of a portion of debts, whose last customer was *last*."""

    last: int
    done: int = 0
    failed: int = 0


class DebtService:
    """Pays debts, and rebuilds what plugins derive."""

    def __init__(self, runtime: Runtime, recorder: Recorder, begin: Begin) -> None:
        self._runtime = runtime
        self._recorder = recorder
        self._begin = begin
        portable = runtime.database.portable
        self._recompute = dict_of(runtime.assembly.of(Plugin.recompute_customers))
        self._recorded = dict_of(runtime.assembly.of(Plugin.on_interactions_recorded))
        self._changed = dict_of(runtime.assembly.of(Plugin.on_stages_changed))
        self._pay = delete(debt).where(
            debt.c.plugin == bindparam("owner"), portable.is_in(debt.c.customer_id, "customers")
        )
        self._lock = _lock(portable)
        self._of_locked = portable.locked(
            select(*_row)
            .where(_owed, portable.is_in(debt.c.customer_id, "customers"))
            .order_by(debt.c.customer_id)
        )
        self._tried = portable.locked(
            select(debt.c.plugin, debt.c.customer_id).where(debt.c.attempt > 0), skip_locked=True
        )
        self._missed = _missed.where(
            portable.is_in(interaction.c.customer_id, "customers"),
            interaction.c.interaction_id >= bindparam("first"),
            interaction.c.source != bindparam("own"),
            ~in_shadow,
        )
        self._owe_all = (
            portable.insert(debt)
            .from_select(
                ["plugin", "customer_id", "first_interaction_id"],
                select(
                    bindparam("owner", type_=Text()),
                    customer.c.customer_id,
                    bindparam("first", type_=Whole),
                ).where(true()),
            )
            .on_conflict_do_nothing()
        )

    def owing(self, connection: Connection, by: int = _ALWAYS) -> list[Plugin]:
        """Return the plugins that are here and have debts to be paid by then, in plugin order."""
        owners = {row[0] for row in connection.execute(_owners, by=by)}
        return [plugin for plugin in self._runtime.assembly if plugin.name in owners]

    def owe_everything(self, unit: Unit, plugin: str) -> None:
        """
        Note that a plugin has to make anew what it derives, for every customer.

        About what was recorded by now it decides nothing; an older debt stays, with what it missed.
        """
        first = unit.opening.next_id(unit.connection)
        unit.connection.change(self._owe_all, owner=plugin, first=first)
        unit.opening.owes = True

    def put_off_no_longer(self, unit: Unit) -> None:
        """Let every debt be paid at once: whoever starts anew may have been mended."""
        tried = unit.connection.execute(self._tried)
        unit.connection.change_many(
            _put_off,
            [{"owner": owner, "debtor": debtor, "tried": 0, "again": 0} for owner, debtor in tried],
        )

    def work(self, *, put_off: bool = False) -> Iterator[Portion]:
        """
        Pay debts, each portion in a transaction of its own, and yield after each.

        Those that failed before wait for their time; with *put_off* they are tried, too.
        """
        with self._runtime.database.begin(read_only=True) as connection:
            by = _ALWAYS if put_off else self._runtime.clock.now()
            owing = self.owing(connection, by)
        for plugin in owing:
            yield from self._work_of(plugin, by)

    def _work_of(self, plugin: Plugin, by: int) -> Iterator[Portion]:
        beyond = 0

        def pay() -> Paid | None:
            with self._begin() as unit:
                return self.pay(unit, plugin, beyond, by)

        while (paid := retried(self._runtime.database, pay)) is not None:
            beyond = paid.last
            if paid.done or paid.failed:
                yield Portion(work=DEBTS, plugin=plugin.name, done=paid.done, failed=paid.failed)

    def pay(self, unit: Unit, plugin: Plugin, beyond: int = 0, by: int = _ALWAYS) -> Paid | None:
        """
        Pay one portion of a plugin's debts, customers in the order of their ids from *beyond*.

        Customers for whom it raises are found by halving; they are tried again later. Returns
        None when none is left; customers whom another transaction has are left for another time.
        """
        debtors, last = self._claim(unit.connection, plugin, beyond, by)
        if last is None:
            return None
        groups: dict[int, list[Debtor]] = {}
        for debtor in debtors:
            groups.setdefault(debtor.first, []).append(debtor)
        failures = [
            failure
            for group in groups.values()
            for failure in failing(group, lambda some: self._pay_for(unit, plugin, some))
        ]
        self._put_off(unit, plugin, failures)
        self._recorder.record_decisions(unit)
        return Paid(last=last, done=len(debtors) - len(failures), failed=len(failures))

    def _claim(
        self, connection: Connection, plugin: Plugin, beyond: int, by: int
    ) -> tuple[list[Debtor], int | None]:
        """Return debtors whose customers are locked, and the last one looked at."""
        owner = plugin.name
        if connection.database.portable.is_sqlite:
            rows = connection.execute(_oldest, owner=owner, beyond=beyond, by=by)
            return [Debtor(*row) for row in rows], rows[-1][0] if rows else None
        locked = [
            row[0] for row in connection.execute(self._lock, owner=owner, beyond=beyond, by=by)
        ]
        if not locked:
            return [], None
        # Read again under the lock: another transaction may have paid some, and have ended.
        rows = connection.execute(self._of_locked, owner=owner, by=by, customers=json_list(locked))
        return [Debtor(*row) for row in rows], locked[-1]

    def _pay_for(self, unit: Unit, plugin: Plugin, some: Sequence[Debtor]) -> Failure | None:
        customers, first = tuple(debtor.customer_id for debtor in some), some[0].first
        called = ["recompute_customers"]

        def catch_up() -> None:
            self.recompute(unit, plugin, CustomerList(customers, first))
            unit.connection.change(self._pay, owner=plugin.name, customers=json_list(customers))
            called.append("on_interactions_recorded")
            self._replay(unit, plugin, customers, first)
            changes = tuple(c for each in some for c in faults.read_missed(each.missed_stages))
            if changes and plugin.name in self._changed:
                called.append("on_stages_changed")
                call = self._recorder.changed_call(
                    unit, plugin, self._changed[plugin.name], changes
                )
                call.run(unit.context(plugin), call.event)
            # What came in late about somebody forgotten is derived again by what it missed.
            forget_derived(unit, plugin, CustomerList(customers))

        return attempt(unit, plugin, lambda: called[-1], catch_up)

    def _put_off(
        self, unit: Unit, plugin: Plugin, failures: Sequence[tuple[Debtor, Failure]]
    ) -> None:
        unit.connection.change_many(
            _put_off,
            [
                {
                    "owner": plugin.name,
                    "debtor": debtor.customer_id,
                    "tried": debtor.attempt + 1,
                    "again": next_try(unit.now, debtor.attempt),
                }
                for debtor, _ in failures
            ],
        )
        about = [(f"customer {debtor.customer_id}", failure) for debtor, failure in failures]
        note_failures(unit, plugin, about)

    def _replay(self, unit: Unit, plugin: Plugin, customers: tuple[int, ...], first: int) -> None:
        """Give the plugin the rows it missed, in their order."""
        if plugin.name not in self._recorded:
            return
        rows = unit.connection.execute(
            self._missed,
            customers=json_list(customers),
            first=first,
            own=own_source(plugin.name),
        )
        if rows:
            event = self._recorder.event(unit, rows, IdList(tuple(row[_ID] for row in rows)))
            context = unit.context(plugin)
            # What would have gone out when the first of them was recorded may be stale by now.
            context.sends_until = min(row[_RECORDED] for row in rows) + SENT_WITHIN
            try:
                self._recorded[plugin.name](context, event)
            finally:
                context.sends_until = None

    def recompute(self, unit: Unit, plugin: Plugin, selection: CustomerList | Everyone) -> None:
        """Let a plugin make its derived rows anew; it cannot decide anything meanwhile."""
        if plugin.name not in self._recompute:
            return
        context = unit.context(plugin)
        context.mode = "rebuild"
        try:
            self._recompute[plugin.name](context, CustomersRecompute(selection))
        finally:
            context.mode = "live"
        forget_derived(unit, plugin, selection)

    def rebuild(self, unit: Unit, plugin: Plugin) -> None:
        """
        Make everything a plugin derives anew. What it owes it still owes: nothing is decided.

        Raises:
            PluginError: If the plugin raises; nothing is changed then.
        """
        try:
            self.recompute(unit, plugin, Everyone())
        except RetryTransaction:
            raise
        except Exception as error:
            raise PluginError(
                plugin.name, f"the rebuild raised {type(error).__name__}: {error}"
            ) from error


def dict_of(compiled: Any) -> dict[str, Any]:
    return {plugin.name: function for plugin, function in compiled}


def _lock(portable: Portable) -> Select[Any]:
    chosen = select(debt.c.customer_id).join(customer, customer.c.customer_id == debt.c.customer_id)
    chosen = chosen.where(_next).order_by(debt.c.customer_id).limit(AT_ONCE)
    return portable.locked(chosen, of=customer, skip_locked=True)
