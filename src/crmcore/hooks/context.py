"""What a hook is given beside its event: the transaction, the clock, and ways to answer."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, Protocol, Unpack

from sqlalchemy import Executable, Table

from crmcore.domain.clock import Calendar, Clock
from crmcore.domain.interaction import Draft
from crmcore.domain.message import Broadcast, BroadcastFields, Content, MessageDraft
from crmcore.domain.task import TaskDraft
from crmcore.domain.timer import HOUR, CatchUp
from crmcore.hooks.fold import Facts, Fold
from crmcore.hooks.message import Audience
from crmcore.hooks.segments import Segments
from crmcore.hooks.selection import Selected

Mode = Literal["live", "rebuild"]


class Context(Protocol):
    """
    The transaction a hook runs in, as one plugin sees it.

    All instants are integer microseconds UTC. In `after_` hooks there is none: what is asked is
    read at once, what is recorded and set is done when the hook has returned, and `fold`,
    `clear`, `write` and `execute_many` raise `ModeError`.
    """

    @property
    def mode(self) -> Mode:
        """`live` decides; in `rebuild`, recording and setting timers raise `ModeError`."""

    @property
    def clock(self) -> Clock:
        """What tells the time; in a trial and in tests it is not the machine's."""

    @property
    def calendar(self) -> Calendar:
        """Civil days in the shop's zone."""

    @property
    def currency(self) -> str:
        """The shop's base currency, an ISO 4217 code."""

    @property
    def actor(self) -> str | None:
        """Who acts, where the shop said so."""

    @property
    def segments(self) -> Segments:
        """The named segments, and who is in them."""

    def record(self, *drafts: Draft) -> None:
        """
        Record what the plugin decided, when all plugins have had the present batch.

        The source becomes `plugin:<name>`, or `shadow:<name>` in shadow; `source_key` is required,
        and is made the customer's own, so it need not name the customer: deciding twice is one row.
        """

    def add_task(self, *drafts: TaskDraft) -> None:
        """
        Add something that staff are to do for a customer, whom the draft names by id.

        Of one key a customer has one task of the plugin's: adding it again changes nothing. What
        becomes of it the ledger tells: `task.assigned`, `task.escalated`, `task.done`.
        """

    def send(self, *drafts: MessageDraft) -> None:
        """
        Plan messages; each goes once to its customer, when the gate lets it.

        Of one key a customer has one message of the plugin's: sending it again changes nothing.
        What is planned in a batch is judged at the end of it. Raises `ModeError` in `rebuild`.
        """

    def broadcast(
        self,
        key: str,
        audience: Audience,
        *,
        not_before: datetime | int | None = None,
        not_after: datetime | int | None = None,
        **values: Unpack[BroadcastFields],
    ) -> None:
        """
        Plan a message for many; whom it is for is frozen now.

        Args:
            key: What it is, such as `news-2026-11`; planning it again changes nothing.
            audience: A Core select of ids of customers, such ids, or `"everyone"`.
            not_before: When it may go at the earliest: an aware datetime, or microseconds.
            not_after: When nobody wants it any more.
            values: `purpose`, `channel`, `content`, and perhaps `asks` and `priority`.
        """

    def find_broadcast(self, key: str) -> Broadcast:
        """Return a broadcast of the plugin's; raises `NotFoundError` if there is none."""

    def stop_broadcast(self, key: str) -> None:
        """Call a broadcast of the plugin's off: what was not handed over is withheld."""

    def pause_broadcast(self, key: str) -> None:
        """Let nothing more of a broadcast of the plugin's be handed over until it is resumed."""

    def resume_broadcast(self, key: str) -> None:
        """Let a paused broadcast of the plugin's go on with whom it has not reached."""

    def edit_broadcast(self, key: str, content: Content) -> None:
        """Say something else to whom a paused broadcast of the plugin's has not reached."""

    def fold(self, fold: Fold, event: Selected) -> int:
        """Run *fold* over the facts of *event*; returns the number of rows written."""

    def clear(self, table: Table, event: Selected) -> None:
        """Delete the rows of the event's customers from a derived table of the plugin."""

    def execute(self, statement: Executable, **values: Any) -> Sequence[tuple[Any, ...]]:
        """
        Run a Core statement and return its rows, as tuples.

        Keep the statement in a variable of its own: it is compiled once for each object.
        """

    def execute_many(self, statement: Executable, rows: Sequence[Mapping[str, Any]]) -> None:
        """Run a Core statement once for each of *rows*, in one call of the driver."""

    def write(self, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert *rows* into a table of the plugin, or replace those with the same key."""

    def facts_until(self, instant: int) -> Facts:
        """
        Return the facts that had been recorded before *instant*, with the plugin's debt or not.

        What a plugin's own table holds while it has no debt and nothing came after, so ask for
        it only where `has_debt`, or where the event is late: each instant makes a statement of its
        own, that is compiled anew, and reads the ledger.
        """

    @property
    def has_debt(self) -> bool:
        """Whether some customers' facts have not reached the plugin's tables yet."""

    def set_timer(
        self,
        key: str,
        due: int,
        customer: int | None = None,
        *,
        catch_up: CatchUp = "late",
        grace: int = HOUR,
    ) -> None:
        """
        Ask to be called at *due*; replaces the timer with the same key and customer.

        *catch_up* says what becomes of it if nobody fires it then: `late` acts upon each missed
        instant, `merge` once for all of them, `skip` not at all where more than *grace*
        microseconds have passed.

        Raises:
            InputError: If there is no such policy; or if, while timers are acted upon, *due* is
                not after the event's `until`.
        """

    def set_timers(
        self, key: str, dues: Mapping[int, int], *, missed: Collection[int] = ()
    ) -> None:
        """
        Ask to be called for many customers, at the instant that *dues* has for each one's id.

        What `set_timer` does for each of them, with `catch_up` being `late`, in one statement.
        *missed* are earlier instants at which it would have been called, had facts of the batch
        been recorded as they happened: a replay then records up to there first.
        """

    def cancel_timer(self, key: str, customer: int | None = None) -> None:
        """Take back a timer; nothing happens if there is none."""

    def find_timer(self, key: str, customer: int | None = None) -> int | None:
        """Return when the timer is due, or None if there is none."""

    def find_note(self, key: str) -> str | None:
        """Return what the plugin noted under *key*, or None."""

    def set_note(self, key: str, text: str) -> None:
        """
        Note something about the whole shop, such as with which settings it was last there.

        Nothing about customers: nobody would erase it. It takes no part in any replay.
        """

    def latest(
        self,
        customers: Iterable[int],
        kinds: Collection[str],
        *,
        recorded_before: int | None = None,
    ) -> Mapping[int, int]:
        """
        Return each customer's latest interaction of these kinds, by id of the customer.

        With *recorded_before*, of those only that had been recorded before that instant.

        Between interactions of one instant the source's keys decide, not the order of arrival.
        """
