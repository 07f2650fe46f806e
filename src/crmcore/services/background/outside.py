"""Outside: how a plugin sees the application where no transaction is open."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NoReturn, TypeVar, Unpack

from attrs import evolve
from sqlalchemy import Executable, Table, UpdateBase

from crmcore.domain.clock import Calendar, Clock
from crmcore.domain.interaction import Draft
from crmcore.domain.message import (
    Broadcast,
    BroadcastFields,
    Content,
    MessageDraft,
    check_content,
)
from crmcore.domain.task import TaskDraft
from crmcore.domain.timer import HOUR, CatchUp, skip_after
from crmcore.errors import ModeError
from crmcore.hooks import Audience, Facts, Fold, Mode, Plugin, Selected
from crmcore.services.context import PluginContext, decided_about, task_about
from crmcore.services.recording.folds import facts_recorded_before, own_source
from crmcore.services.runtime import Runtime
from crmcore.services.segments.view import SegmentsView
from crmcore.services.staff.tasks import checked
from crmcore.services.unit import Unit

T = TypeVar("T")


class OutsideContext:
    """
    The application as a plugin sees it after the commit; implements `crmcore.hooks.Context`.

    What is asked is read in a short transaction of its own. What is recorded or set is kept, and
    done by `apply`, so that it happens together with moving the plugin's cursor on.
    """

    mode: Mode = "live"
    actor: str | None = None

    def __init__(self, runtime: Runtime, plugin: Plugin) -> None:
        self._runtime = runtime
        self._plugin = plugin
        self._acting = runtime.acting_name(plugin.name)
        self._acts: list[Callable[[PluginContext], None]] = []

    def apply(self, context: PluginContext) -> None:
        """Do what the plugin asked for, in an open transaction."""
        for act in self._acts:
            act(context)

    @property
    def clock(self) -> Clock:
        return self._runtime.clock

    @property
    def calendar(self) -> Calendar:
        return self._runtime.calendar

    @property
    def currency(self) -> str:
        return self._runtime.currency

    @property
    def has_debt(self) -> bool:
        return self._read(lambda ctx: ctx.has_debt)

    @property
    def segments(self) -> SegmentsView:
        return SegmentsView(
            self._runtime.segments, lambda: self._runtime.database.begin(read_only=True)
        )

    def record(self, *drafts: Draft) -> None:
        for draft in drafts:  # what is not right is said where the plugin can be told
            decided_about(draft)
            as_decided = evolve(draft, source=own_source(self._acting))
            self._runtime.ledger.encode(as_decided, decided=True)
        self._acts.append(lambda ctx: ctx.record(*drafts))

    def add_task(self, *drafts: TaskDraft) -> None:
        for draft in checked(drafts):
            task_about(draft)
        self._acts.append(lambda ctx: ctx.add_task(*drafts))

    def send(self, *drafts: MessageDraft) -> None:
        for draft in drafts:
            self._runtime.messages.check(draft)
        self._acts.append(lambda ctx: ctx.send(*drafts))

    def broadcast(
        self,
        key: str,
        audience: Audience,
        *,
        not_before: datetime | int | None = None,
        not_after: datetime | int | None = None,
        **values: Unpack[BroadcastFields],
    ) -> None:
        terms = {**values, "not_before": not_before, "not_after": not_after}
        self._runtime.messages.broadcasts.checked(key, terms)
        self._acts.append(
            lambda ctx: ctx.broadcast(
                key, audience, not_before=not_before, not_after=not_after, **values
            )
        )

    def find_broadcast(self, key: str) -> Broadcast:
        return self._read(lambda ctx: ctx.find_broadcast(key))

    def stop_broadcast(self, key: str) -> None:
        self.find_broadcast(key)  # that there is none is said where the plugin can be told
        self._acts.append(lambda ctx: ctx.stop_broadcast(key))

    def pause_broadcast(self, key: str) -> None:
        self.find_broadcast(key)
        self._acts.append(lambda ctx: ctx.pause_broadcast(key))

    def resume_broadcast(self, key: str) -> None:
        self.find_broadcast(key)
        self._acts.append(lambda ctx: ctx.resume_broadcast(key))

    def edit_broadcast(self, key: str, content: Content) -> None:
        check_content(content)
        self.find_broadcast(key)
        self._acts.append(lambda ctx: ctx.edit_broadcast(key, content))

    def set_timer(
        self,
        key: str,
        due: int,
        customer: int | None = None,
        *,
        catch_up: CatchUp = "late",
        grace: int = HOUR,
    ) -> None:
        skip_after(due, catch_up, grace)
        self._acts.append(
            lambda ctx: ctx.set_timer(key, due, customer, catch_up=catch_up, grace=grace)
        )

    def set_timers(
        self, key: str, dues: Mapping[int, int], *, missed: Collection[int] = ()
    ) -> None:
        self._acts.append(lambda ctx: ctx.set_timers(key, dues, missed=missed))

    def find_note(self, key: str) -> str | None:
        return self._read(lambda ctx: ctx.find_note(key))

    def set_note(self, key: str, text: str) -> None:
        self._acts.append(lambda ctx: ctx.set_note(key, text))

    def cancel_timer(self, key: str, customer: int | None = None) -> None:
        self._acts.append(lambda ctx: ctx.cancel_timer(key, customer))

    def find_timer(self, key: str, customer: int | None = None) -> int | None:
        return self._read(lambda ctx: ctx.find_timer(key, customer))

    def execute(self, statement: Executable, **values: Any) -> Sequence[tuple[Any, ...]]:
        if isinstance(statement, UpdateBase):
            self._refuse("change a table")
        return self._read(lambda ctx: ctx.execute(statement, **values))

    def facts_until(self, instant: int) -> Facts:
        return facts_recorded_before(instant, self._acting)

    def latest(
        self,
        customers: Iterable[int],
        kinds: Collection[str],
        *,
        recorded_before: int | None = None,
    ) -> Mapping[int, int]:
        return self._read(lambda ctx: ctx.latest(customers, kinds, recorded_before=recorded_before))

    def execute_many(self, statement: Executable, rows: Sequence[Mapping[str, Any]]) -> None:
        self._refuse("change a table")

    def write(self, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
        self._refuse(f"write to {table.name}")

    def fold(self, fold: Fold, event: Selected) -> int:
        self._refuse("fold facts")

    def clear(self, table: Table, event: Selected) -> None:
        self._refuse(f"clear {table.name}")

    def _read(self, ask: Callable[[PluginContext], T]) -> T:
        with self._runtime.database.begin(read_only=True) as connection:
            return ask(Unit(self._runtime, connection).context(self._plugin))

    def _refuse(self, what: str) -> NoReturn:
        raise ModeError(
            f"plugin {self._plugin.name!r} tried to {what} in an after_ hook, where no transaction "
            "is open; write in an on_ hook, or record a decision here"
        )
