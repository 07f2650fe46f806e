"""The context of a plugin: a transaction as one plugin sees it, and ways to answer."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import nullcontext
from datetime import datetime
from typing import TYPE_CHECKING, Any, Unpack

from attrs import evolve
from sqlalchemy import Executable, Table, bindparam, func, select

from crmcore.domain.clock import Calendar, Clock, to_datetime
from crmcore.domain.interaction import Draft
from crmcore.domain.message import (
    Broadcast,
    BroadcastFields,
    Content,
    MessageDraft,
    check_key,
)
from crmcore.domain.shadow import is_shadow
from crmcore.domain.task import TaskDraft
from crmcore.domain.timer import HOUR, CatchUp
from crmcore.errors import CustomerNotFoundError, InputError, ModeError
from crmcore.hooks import Audience, Facts, Fold, Mode, Plugin, PluginTable, Selected
from crmcore.persistence.ledger import interaction
from crmcore.persistence.portable import Portable, json_list
from crmcore.persistence.settings import read_setting, write_setting
from crmcore.services import faults
from crmcore.services.background import timers
from crmcore.services.identities.registration import Owner
from crmcore.services.privacy.erased import erased_among
from crmcore.services.recording.encoding import Encoded
from crmcore.services.recording.folds import facts_recorded_before, own_source, seen_by
from crmcore.services.segments.view import SegmentsView
from crmcore.services.staff import tasks

if TYPE_CHECKING:
    from crmcore.services.unit import Unit

_NEVER = 2**63 - 1
OWNER = "customer_id"


def decided_about(draft: Draft) -> int:
    """Return the customer a decision is about; it has to say so, and to have a key."""
    if draft.customer is None or draft.source_key is None:
        raise InputError(
            f"a decision ({draft.kind!r}) names its customer by id, and has a source_key"
        )
    return draft.customer


def task_about(draft: TaskDraft) -> int:
    """Return the customer a plugin's task is about; it has to name them by id."""
    if type(draft.customer) is not int:
        raise InputError(f"a plugin's task ({draft.key!r}) names its customer by id")
    return draft.customer


class PluginContext:
    """The transaction as one plugin sees it; implements `crmcore.hooks.Context`."""

    def __init__(self, unit: Unit, plugin: Plugin) -> None:
        self._unit = unit
        self._connection = unit.connection
        self._plugin = plugin
        self._acting = unit.runtime.acting_name(plugin.name)
        self.mode: Mode = "live"
        self.firing: int | None = None  # up to when timers are dealt with, while they are
        self.sends_until: int | None = None  # after which nobody wants what is sent late
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

    @property
    def segments(self) -> SegmentsView:
        return SegmentsView(self._unit.runtime.segments, lambda: nullcontext(self._connection))

    def record(self, *drafts: Draft) -> None:
        self._live("record")
        runtime = self._unit.runtime
        owners = [decided_about(draft) for draft in drafts]
        # Before the plugin writes what it decided about them, too.
        runtime.identity.lock(self._connection, owners)
        settled = runtime.identity.settled(self._connection, owners)
        self._check_currencies(drafts)
        source = own_source(self._acting)
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

    def add_task(self, *drafts: TaskDraft) -> None:
        self._live("add a task")
        runtime = self._unit.runtime
        owners = [task_about(draft) for draft in tasks.checked(drafts)]
        given = runtime.identity.look_up(self._connection, (), set(owners)).given if owners else {}
        # Of somebody the shop has forgotten it is told late facts; there is nothing to do for them.
        gone = erased_among(self._connection, {each[0] for each in given.values()})
        found, facts = tasks.add_tasks(
            runtime,
            self._connection,
            [
                (draft, Owner(*given[owner]))
                for draft, owner in zip(drafts, owners, strict=True)
                if given[owner][0] not in gone
            ],
            plugin=self._acting,
            actor=None,
            now=self._unit.now,
        )
        self.decisions += facts
        self._unit.passed.update(
            each.escalate_instant
            for each in found
            if each.escalate_instant is not None and each.recorded_instant == self._unit.now
        )

    def send(self, *drafts: MessageDraft) -> None:
        self._live("send")
        messages = self._unit.runtime.messages
        messages.send(self._unit, drafts, self._acting, not_after=self.sends_until)

    def broadcast(
        self,
        key: str,
        audience: Audience,
        *,
        not_before: datetime | int | None = None,
        not_after: datetime | int | None = None,
        **values: Unpack[BroadcastFields],
    ) -> None:
        self._live("send")
        messages = self._unit.runtime.messages
        last = self.sends_until if not_after is None else not_after
        terms = {**values, "not_before": not_before, "not_after": last}
        draft = messages.broadcasts.checked(key, terms)
        messages.broadcasts.plan(self._unit, draft, audience, self._acting)

    def find_broadcast(self, key: str) -> Broadcast:
        return self._unit.runtime.messages.broadcasts.find(
            self._connection, check_key(key), self._acting
        )

    def stop_broadcast(self, key: str) -> None:
        self._live("stop a broadcast")
        self._unit.runtime.messages.broadcasts.stop(self._unit, key, self._acting)

    def pause_broadcast(self, key: str) -> None:
        self._live("pause a broadcast")
        self._unit.runtime.messages.broadcasts.pause(self._unit, key, self._acting)

    def resume_broadcast(self, key: str) -> None:
        self._live("resume a broadcast")
        self._unit.runtime.messages.broadcasts.resume(self._unit, key, self._acting)

    def edit_broadcast(self, key: str, content: Content) -> None:
        self._live("edit a broadcast")
        self._unit.runtime.messages.broadcasts.edit(self._unit, key, content, self._acting)

    def fold(self, fold: Fold, event: Selected) -> int:
        return self._unit.runtime.folds.run(self._connection, fold, event.selection, self._acting)

    def clear(self, table: Table, event: Selected) -> None:
        self._own(table)
        self._unit.runtime.folds.clear(self._connection, table, event.selection)

    def execute(self, statement: Executable, **values: Any) -> Sequence[tuple[Any, ...]]:
        return self._connection.execute(statement, **values)

    def execute_many(self, statement: Executable, rows: Sequence[Mapping[str, Any]]) -> None:
        self._connection.change_many(statement, rows)

    def write(self, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
        policy = self._own(table).merge
        if self.mode == "live" and policy != "keep_both" and OWNER in table.columns:
            rows = self._settle(rows)
        database = self._connection.database
        statement = database.once(f"replace {table.name}", lambda: database.portable.replace(table))
        self._connection.change_many(statement, rows)

    def facts_until(self, instant: int) -> Facts:
        return facts_recorded_before(instant, self._acting)

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
        self._check_due(key, due)
        timers.set_timer(
            self._connection,
            self._plugin.name,
            key,
            due,
            self._settled(customer),
            catch_up=catch_up,
            grace=grace,
        )
        self._unit.passed.add(due)

    def set_timers(
        self, key: str, dues: Mapping[int, int], *, missed: Collection[int] = ()
    ) -> None:
        self._live("set timers")
        self._unit.passed.update(missed)
        if not dues:
            return
        for due in dues.values():
            self._check_due(key, due)
        rows = self._settle([{OWNER: each, "due": due} for each, due in sorted(dues.items())])
        # Of two who are one by now, the earlier counts.
        settled: dict[int, int] = {}
        for row in rows:
            owner, due = row[OWNER], row["due"]
            settled[owner] = min(due, settled.get(owner, due))
        timers.set_timers(self._connection, self._plugin.name, key, settled)
        self._unit.passed.update(settled.values())

    def _check_due(self, key: str, due: int) -> None:
        if self.firing is not None and due <= self.firing:
            raise InputError(
                f"what timer {key!r} missed is dealt with up to {to_datetime(self.firing)}, and it "
                f"was set again for {to_datetime(due)}; a later instant is expected, or it would "
                "never end"
            )

    def cancel_timer(self, key: str, customer: int | None = None) -> None:
        self._live("cancel a timer")
        whose = self._settled(customer)
        timers.cancel_timer(self._connection, self._plugin.name, key, whose)

    def find_timer(self, key: str, customer: int | None = None) -> int | None:
        # Not locked, since it is asked where nothing can be written, too.
        whose = self._settled(customer, lock=False)
        return timers.find_timer(self._connection, self._plugin.name, key, whose)

    def find_note(self, key: str) -> str | None:
        return read_setting(self._connection, f"note:{self._plugin.name}:{key}")

    def set_note(self, key: str, text: str) -> None:
        self._live("set a note")
        write_setting(self._connection, f"note:{self._plugin.name}:{key}", text)

    def latest(
        self,
        customers: Iterable[int],
        kinds: Collection[str],
        *,
        recorded_before: int | None = None,
    ) -> Mapping[int, int]:
        database = self._connection.database
        own = self._acting if is_shadow(self._acting) else ""
        key = f"latest {own} {' '.join(sorted(kinds))}"
        statement = database.once(key, lambda: _latest(database.portable, kinds, own))
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

    def _settled(self, customer: int | None, *, lock: bool = True) -> int | None:
        """
        Return the id a customer has now, locked, so that no merge takes them away.

        An id that is no customer's is returned as it is.
        """
        if not customer or customer in self._unit.settled:
            return customer
        identity = self._unit.runtime.identity
        try:
            if lock:
                found = identity.look_up(self._connection, (), [customer])
                return found.given[customer].customer_id
            return identity.present(self._connection, [customer])[customer]
        except CustomerNotFoundError:
            return customer

    def _settle(self, rows: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
        """Return rows of a plugin's table as those of whom their customers are now, locked."""
        asked = {row.get(OWNER) for row in rows} - self._unit.settled
        wanted = [each for each in asked if isinstance(each, int)]
        if not wanted:
            return rows
        present: dict[Any, Any]
        try:
            given = self._unit.runtime.identity.look_up(self._connection, (), wanted).given
            present = {each: owner.customer_id for each, owner in given.items()}
        except CustomerNotFoundError:
            present = {each: self._settled(each) for each in sorted(wanted)}
        if all(each == owner for each, owner in present.items()):
            return rows
        return [{**row, OWNER: present.get(row[OWNER], row[OWNER])} for row in rows]

    def _check_currencies(self, drafts: Iterable[Draft]) -> None:
        """Refuse a foreign amount nobody can convert here, where the plugin can be told."""
        base = self._unit.runtime.currency
        foreign = {d.amount.currency for d in drafts if d.amount} - {base}
        if foreign and not self._unit.runtime.answering(Plugin.choose_exchange_rate):
            raise InputError(
                f"a decision has an amount in {min(foreign)}, the shop counts in {base}, and no "
                "plugin answers choose_exchange_rate"
            )

    def _own(self, table: Table) -> PluginTable:
        for own in self._plugin.tables:
            if own.table.name == table.name:
                return own
        raise InputError(f"{table.name!r} is not a table of plugin {self._plugin.name!r}")


def _latest(portable: Portable, kinds: Collection[str], own: str) -> Executable:
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
            seen_by(own),
        )
        .subquery()
    )
    return select(ranked.c.customer_id, ranked.c.interaction_id).where(ranked.c.place == 1)
