"""Delivery: plugins are told what was committed, outside any transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any, Final, TypeVar

from attrs import frozen

from crmcore.domain.shadow import is_shadow
from crmcore.errors import StorageError
from crmcore.hooks import IdList, InteractionsRecorded, Plugin
from crmcore.persistence.connection import Connection
from crmcore.services.background.cursors import (
    AT_ONCE,
    LEASED_FOR,
    Cursors,
    Lease,
    LeaseLost,
    Position,
    Waiting,
)
from crmcore.services.background.debts import dict_of
from crmcore.services.background.halving import Failure, attempt, note_failures
from crmcore.services.background.instance import note_instance
from crmcore.services.background.outside import OutsideContext
from crmcore.services.background.portion import Begin, Portion, retried
from crmcore.services.recording.folds import own_source
from crmcore.services.recording.ledger import COLUMNS
from crmcore.services.recording.recorder import Recorder
from crmcore.services.runtime import Runtime
from crmcore.services.unit import Unit

_ID, _KIND, _SOURCE, _CUSTOMER, _FOR = (
    COLUMNS.index(c) for c in ("interaction_id", "kind", "source", "customer_id", "recorded_for")
)
_RENEWED_AFTER: Final = LEASED_FOR // 3

T = TypeVar("T")
Row = tuple[Any, ...]


class _UndoneError(Exception):
    """A plugin asked for something that cannot be done; all is undone."""


@frozen
class Told:
    """Rows that a plugin was told together, what it asked for, and what it raised, if it did."""

    rows: Sequence[Row]
    context: OutsideContext
    failure: Failure | None


class Delivery:
    """Calls `after_interactions_recorded`, from each plugin's own cursor."""

    def __init__(self, runtime: Runtime, recorder: Recorder, begin: Begin) -> None:
        self._runtime = runtime
        self._recorder = recorder
        self._begin = begin
        self._cursors = Cursors(runtime.database.portable)
        hook = runtime.assembly.of(Plugin.after_interactions_recorded)
        self._hook = hook.name
        self._run = dict_of(hook)
        self._plugins = [plugin for plugin, _ in hook]

    def start(self, unit: Unit) -> None:
        """Make cursors ready: those of a restored database are put right, new plugins get one."""
        note_instance(unit.connection)
        for plugin in self._plugins:
            self._cursors.start(unit.connection, plugin.name, self._hook)
        self._cursors.unpark(unit.connection, unit.now)

    def work(self) -> Iterator[Portion]:
        """Tell plugins what was committed, and yield after each portion."""
        for plugin in self._plugins:
            yield from self._work_of(plugin)

    def _work_of(self, plugin: Plugin) -> Iterator[Portion]:
        with self._runtime.database.begin(read_only=True) as connection:
            if not self._cursors.has_work(connection, plugin.name, self._hook, self._now()):
                return
        with self._begin() as unit:
            lease = self._cursors.lease(unit.connection, plugin.name, self._hook, unit.now)
        if lease is None:
            return
        try:
            for step in (self._try_again, self._go_on):
                while (portion := step(plugin, lease)) is not None:
                    if portion.done or portion.failed:
                        yield portion
        except LeaseLost:
            return
        finally:
            with suppress(StorageError), self._begin() as unit:  # it ends by itself otherwise
                self._cursors.release(unit.connection, lease)

    # -- the cursor --------------------------------------------------------------------------

    def _go_on(self, plugin: Plugin, lease: Lease) -> Portion | None:
        """Tell what follows the cursor; None when nothing does."""
        with self._runtime.database.begin(read_only=True) as connection:
            rows = self._cursors.following(connection, lease)
            if not rows:
                return None
            owners = {row[at] for row in rows for at in (_CUSTOMER, _FOR)}
            waiting = self._cursors.backlogged(connection, lease, owners)
        mine = self._not_own(
            plugin, (row for row in rows if waiting.isdisjoint((row[_CUSTOMER], row[_FOR])))
        )

        def move(connection: Connection) -> None:
            self._cursors.move(connection, lease, Position.of(rows[-1]), self._now())

        return self._tell_all(plugin, lease, mine, move)

    def _tell_all(
        self, plugin: Plugin, lease: Lease, mine: list[Row], move: Callable[[Connection], None]
    ) -> Portion | None:
        groups: dict[int, list[Row]] = {}
        for row in mine:
            groups.setdefault(row[_CUSTOMER], []).append(row)
        told = [self._tell(plugin, mine)] if mine else []
        if len(groups) > 1:
            # Together, or else customer by customer, to see for whom it raises.
            done = self._move_on(plugin, lease, told, move, whole=True)
            if done is not None:
                return done
            told = list(self._one_by_one(plugin, lease, groups.values()))
        return self._move_on(plugin, lease, told, move)

    def _one_by_one(
        self, plugin: Plugin, lease: Lease, groups: Iterable[list[Row]]
    ) -> Iterator[Told]:
        renewed = self._now()
        for rows in groups:
            if self._now() - renewed > _RENEWED_AFTER:
                with self._begin() as unit:
                    self._cursors.renew(unit.connection, lease, unit.now)
                renewed = self._now()
            yield self._tell(plugin, rows)

    def _move_on(
        self,
        plugin: Plugin,
        lease: Lease,
        told: Sequence[Told],
        move: Callable[[Connection], None],
        *,
        whole: bool = False,
    ) -> Portion | None:
        """
        Do what the plugin asked for, and move the cursor; whom it failed with waits from now on.

        With *whole* nothing is done if it failed, and None is returned.
        """
        if whole and any(each.failure for each in told):
            return None

        def settle() -> Portion | None:
            with self._begin() as unit:
                move(unit.connection)
                failures = self._apply(unit, plugin, told)
                if whole and failures:
                    raise _UndoneError
                failed = [
                    Waiting(each.rows[0][_CUSTOMER], Position.of(each.rows[0]))
                    for each, _ in failures
                ]
                if failed:
                    # A merge, which locks them too, is done then, or sees that they wait.
                    self._runtime.identity.lock(unit.connection, [w.customer_id for w in failed])
                    self._cursors.put_off(unit.connection, lease, failed, unit.now)
                self._recorder.record_decisions(unit)
            return self._portion(plugin, told, failures)

        try:
            return self._retried(settle)
        except _UndoneError:
            return None

    # -- those who wait ----------------------------------------------------------------------

    def _try_again(self, plugin: Plugin, lease: Lease) -> Portion | None:
        """Tell what a customer's rows have waited for; None when nobody is to be tried."""
        with self._runtime.database.begin(read_only=True) as connection:
            waiting = self._cursors.next_waiting(connection, lease, self._now())
            if waiting is None:
                return None
            rows = self._cursors.rows_of(connection, lease, waiting)
        mine = self._not_own(plugin, rows)
        told = [self._tell(plugin, mine)] if mine else []

        def settle() -> Portion:
            with self._begin() as unit:
                connection = unit.connection
                self._cursors.renew(connection, lease, unit.now)
                failures = self._apply(unit, plugin, told)
                if failures:
                    self._cursors.put_off_again(connection, lease, waiting, unit.now)
                elif len(rows) == AT_ONCE:
                    self._cursors.go_on(connection, lease, waiting, Position.of(rows[-1]), unit.now)
                else:
                    self._cursors.settle(connection, lease, waiting)
                self._recorder.record_decisions(unit)
            return self._portion(plugin, told, failures)

        return self._retried(settle)

    # -- both --------------------------------------------------------------------------------

    def _tell(self, plugin: Plugin, rows: Sequence[Row]) -> Told:
        context = OutsideContext(self._runtime, plugin)
        as_interaction = self._runtime.ledger.as_interaction
        event = InteractionsRecorded(
            kinds=frozenset(row[_KIND] for row in rows),
            size=len(rows),
            selection=IdList(tuple(row[_ID] for row in rows)),
            load=lambda: [as_interaction(row) for row in rows],
        )
        try:
            self._run[plugin.name](context, event)
        except Exception as error:
            return Told(rows, context, Failure(self._hook, error))
        return Told(rows, context, None)

    def _apply(
        self, unit: Unit, plugin: Plugin, told: Sequence[Told]
    ) -> list[tuple[Told, Failure]]:
        """Do what the plugin asked for; returns what it failed with, then or before."""
        failures = []
        for each in told:
            failure = each.failure or attempt(
                unit,
                plugin,
                self._hook,
                lambda each=each: each.context.apply(unit.context(plugin)),  # type: ignore[misc]
            )
            if failure is not None:
                failures.append((each, failure))
        about = [(f"customer {each.rows[0][_CUSTOMER]}", failure) for each, failure in failures]
        note_failures(unit, plugin, about)
        return failures

    def _portion(
        self, plugin: Plugin, told: Sequence[Told], failures: Sequence[tuple[Told, Failure]]
    ) -> Portion:
        failed = sum(len(each.rows) for each, _ in failures)
        done = sum(len(each.rows) for each in told) - failed
        return Portion(work=self._hook, plugin=plugin.name, done=done, failed=failed)

    def _retried(self, work: Callable[[], T]) -> T:
        done = retried(self._runtime.database, lambda: (work(),))
        if done is None:
            raise LeaseLost  # others are at it; it is told again the next time
        return done[0]

    def _not_own(self, plugin: Plugin, rows: Iterable[Row]) -> list[Row]:
        own = own_source(plugin.name)
        return [row for row in rows if row[_SOURCE] != own and not is_shadow(row[_SOURCE])]

    def _now(self) -> int:
        return self._runtime.clock.now()
