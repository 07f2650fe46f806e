"""A unit of work: one transaction, and how each plugin sees it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from attrs import evolve
from sqlalchemy import Executable, Table, bindparam, func, select

from crmcore.domain.clock import Calendar, Clock, to_datetime
from crmcore.domain.interaction import Draft
from crmcore.domain.timer import HOUR, CatchUp
from crmcore.errors import InputError, ModeError
from crmcore.hooks import Facts, Fold, Mode, Plugin, Selected
from crmcore.persistence.connection import Connection
from crmcore.persistence.ledger import interaction
from crmcore.persistence.portable import Portable, json_list
from crmcore.persistence.settings import raise_setting
from crmcore.services import faults, timers
from crmcore.services.encoding import Encoded
from crmcore.services.folds import facts_recorded_before, own_source
from crmcore.services.opening import TIME_RUN, Opening
from crmcore.services.runtime import Runtime

_NEVER = 2**63 - 1


class Unit:
    """One transaction of one application: the unit in which all is kept or nothing."""

    def __init__(
        self, runtime: Runtime, connection: Connection, *, actor: str | None = None
    ) -> None:
        self.runtime = runtime
        self.connection = connection
        self.actor = actor
        self.now = runtime.clock.now()
        self.passed: set[int] = set()
        """The instants at which something fell due, or will, as facts were recorded."""
        self.raised: list[tuple[str, str, Exception]] = []
        """What plugins raised, by plugin and hook, where only reading is allowed."""
        self._contexts: dict[str, PluginContext] = {}
        self._opening: Opening | None = None

    @contextmanager
    def whole(self) -> Iterator[None]:
        """Undo all that is done inside if it raises, so that the shop may catch it and go on."""
        self.look_again()
        try:
            with self.connection.savepoint():
                yield
        except BaseException:
            self._opening = None
            self.passed.clear()
            for context in self._contexts.values():
                context.decisions.clear()
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
        self._opening = Opening.read(self.connection, taking_id=count == 1)
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


def decided_about(draft: Draft) -> int:
    """Return the customer a decision is about; it has to say so, and to have a key."""
    if draft.customer is None or draft.source_key is None:
        raise InputError(
            f"a decision ({draft.kind!r}) names its customer by id, and has a source_key"
        )
    return draft.customer


class PluginContext:
    """The transaction as one plugin sees it; implements `crmcore.hooks.Context`."""

    def __init__(self, unit: Unit, plugin: Plugin) -> None:
        self._unit = unit
        self._connection = unit.connection
        self._plugin = plugin
        self.mode: Mode = "live"
        self.firing: int | None = None  # up to when timers are dealt with, while they are
        self.decisions: list[Encoded] = []

    @property
    def clock(self) -> Clock:
        return self._unit.runtime.clock

    @property
    def calendar(self) -> Calendar:
        return self._unit.runtime.calendar

    @property
    def currency(self) -> str:
        return self._unit.runtime.currency

    @property
    def actor(self) -> str | None:
        return self._unit.actor

    @property
    def has_debt(self) -> bool:
        return self._plugin.name in faults.count_debt(self._connection)

    def record(self, *drafts: Draft) -> None:
        self._live("record")
        runtime = self._unit.runtime
        owners = [decided_about(draft) for draft in drafts]
        # Before the plugin writes what it decided about them, too.
        runtime.identity.lock(self._connection, owners)
        settled = runtime.identity.settled(self._connection, owners)
        self._check_currencies(drafts)
        source = own_source(self._plugin.name)
        self.decisions += [
            runtime.ledger.encode(
                evolve(
                    draft,
                    customer=settled[owner][1],
                    source=source,
                    source_key=f"{draft.source_key}/{settled[owner][0]}",
                    actor=draft.actor or source,
                ),
                decided=True,
            )
            for draft, owner in zip(drafts, owners, strict=True)
        ]

    def fold(self, fold: Fold, event: Selected) -> int:
        return self._unit.runtime.folds.run(
            self._connection, fold, event.selection, self._plugin.name
        )

    def clear(self, table: Table, event: Selected) -> None:
        self._own(table)
        self._unit.runtime.folds.clear(self._connection, table, event.selection)

    def execute(self, statement: Executable, **values: Any) -> Sequence[tuple[Any, ...]]:
        return self._connection.execute(statement, **values)

    def execute_many(self, statement: Executable, rows: Sequence[Mapping[str, Any]]) -> None:
        self._connection.change_many(statement, rows)

    def write(self, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
        self._own(table)
        database = self._connection.database
        statement = database.once(f"replace {table.name}", lambda: database.portable.replace(table))
        self._connection.change_many(statement, rows)

    def facts_until(self, instant: int) -> Facts:
        return facts_recorded_before(instant)

    def set_timer(
        self,
        key: str,
        due: int,
        customer: int | None = None,
        *,
        catch_up: CatchUp = "late",
        grace: int = HOUR,
    ) -> None:
        self._live("set a timer")
        if self.firing is not None and due <= self.firing:
            raise InputError(
                f"what timer {key!r} missed is dealt with up to {to_datetime(self.firing)}, and it "
                f"was set again for {to_datetime(due)}; a later instant is expected, or it would "
                "never end"
            )
        timers.set_timer(
            self._connection,
            self._plugin.name,
            key,
            due,
            customer,
            catch_up=catch_up,
            grace=grace,
        )
        self._unit.passed.add(due)

    def cancel_timer(self, key: str, customer: int | None = None) -> None:
        self._live("cancel a timer")
        timers.cancel_timer(self._connection, self._plugin.name, key, customer)

    def find_timer(self, key: str, customer: int | None = None) -> int | None:
        return timers.find_timer(self._connection, self._plugin.name, key, customer)

    def latest(
        self,
        customers: Iterable[int],
        kinds: Collection[str],
        *,
        recorded_before: int | None = None,
    ) -> Mapping[int, int]:
        database = self._connection.database
        key = f"latest {' '.join(sorted(kinds))}"
        statement = database.once(key, lambda: _latest(database.portable, kinds))
        rows = self._connection.execute(
            statement,
            customers=json_list(set(customers)),
            before=_NEVER if recorded_before is None else recorded_before,
        )
        return dict(rows)

    def take_decisions(self) -> list[Encoded]:
        """Return what the plugin asked to have recorded, and forget it."""
        taken, self.decisions = self.decisions, []
        return taken

    def _live(self, what: str) -> None:
        if self.mode != "live":
            raise ModeError(
                f"plugin {self._plugin.name!r} tried to {what} while its tables are made anew; "
                "only live hooks decide"
            )

    def _check_currencies(self, drafts: Iterable[Draft]) -> None:
        """Refuse a foreign amount nobody can convert here, where the plugin can be told."""
        base = self._unit.runtime.currency
        foreign = {d.amount.currency for d in drafts if d.amount} - {base}
        if foreign and not self._unit.runtime.assembly.of(Plugin.choose_exchange_rate):
            raise InputError(
                f"a decision has an amount in {min(foreign)}, the shop counts in {base}, and no "
                "plugin answers choose_exchange_rate"
            )

    def _own(self, table: Table) -> None:
        if table.name not in {own.table.name for own in self._plugin.tables}:
            raise InputError(f"{table.name!r} is not a table of plugin {self._plugin.name!r}")


def _latest(portable: Portable, kinds: Collection[str]) -> Executable:
    columns = interaction.c
    ranked = (
        select(
            columns.customer_id,
            columns.interaction_id,
            func.row_number()
            .over(
                partition_by=columns.customer_id,
                order_by=(
                    columns.occurred_at.desc(),
                    columns.source.desc(),
                    columns.source_key.desc(),
                    columns.interaction_id.desc(),
                ),
            )
            .label("place"),
        )
        .where(
            portable.is_in(columns.customer_id, "customers"),
            columns.kind.in_(sorted(kinds)),
            columns.recorded_at < bindparam("before"),
        )
        .subquery()
    )
    return select(ranked.c.customer_id, ranked.c.interaction_id).where(ranked.c.place == 1)
