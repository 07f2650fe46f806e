"""Settling: what became of messages that were handed over, noted and told."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from attrs import evolve, frozen
from sqlalchemy import bindparam, delete, func, select, update

from crmcore.domain.clock import SECOND, to_datetime
from crmcore.domain.feedback import FAILED, SENT, UNKNOWN
from crmcore.domain.interaction import Draft
from crmcore.domain.message import (
    Accepted,
    Channel,
    Deferred,
    Failed,
    Message,
    Outcome,
    State,
    Unknown,
)
from crmcore.errors import RetryTransaction
from crmcore.hooks import DeliveriesChanged, DeliveryChanged, Plugin
from crmcore.persistence.connection import Connection
from crmcore.persistence.messages import attempt, message
from crmcore.persistence.portable import json_list
from crmcore.services.background.backoff import MOST_ATTEMPTS, next_ask, next_try
from crmcore.services.dispatcher import Dispatcher
from crmcore.services.identities.owners import owners_of
from crmcore.services.messaging.claims import Handed
from crmcore.services.messaging.messages import MessageService
from crmcore.services.messaging.withholding import UNDELIVERABLE, withhold
from crmcore.services.privacy.erased import erased_among
from crmcore.services.recording.encoding import Encoded
from crmcore.services.runtime import Runtime
from crmcore.services.unit import Unit

CORE: Final = "crmcore"
"""The source of what the core decides."""

PROVIDER: Final = "provider"
"""What stands as the gate of a message that its provider did not take, or not yet."""

ERASED: Final = "the customer was erased"

_MOST_LOOKS: Final = 10
_NOT_TAKEN: Final = ("deferred", "failed")
_NAMES: Final[dict[type[Any], str]] = {
    Accepted: "accepted",
    Deferred: "deferred",
    Failed: "failed",
    Unknown: "unknown",
}
_KINDS: Final = {"accepted": SENT, "failed": FAILED, "unknown": UNKNOWN}
_m = message.c
_settle = (
    update(message)
    .where(_m.message_id == bindparam("settled"))
    .values(
        state=bindparam("now_is"),
        gate=bindparam("held_by"),
        reason=bindparam("said"),
        not_before=bindparam("again"),
        handed_at=bindparam("handed"),
        settled_at=bindparam("ended"),
        provider_reference=bindparam("named"),
        attempt=bindparam("tried"),
        lease=None,
        leased_until=None,
    )
)
_note_attempt = (
    update(attempt)
    .where(
        attempt.c.message_id == bindparam("tried"),
        attempt.c.attempt == bindparam("number"),
        # The number of an attempt that was none is given again.
        attempt.c.handed_at == bindparam("since"),
    )
    .values(
        settled_at=bindparam("at"),
        outcome=bindparam("how"),
        detail=bindparam("said"),
        provider_reference=bindparam("named"),
    )
)
_take_back_attempt = delete(attempt).where(
    attempt.c.message_id == bindparam("tried"), attempt.c.attempt == bindparam("number")
)


@frozen
class Settled:
    """What became of a message; *outcome* is what was said of the attempt at it."""

    handed: Handed
    outcome: Outcome
    state: State
    again: int | None = None
    reason: str | None = None

    @property
    def was_tried(self) -> bool:
        """Whether there was an attempt at it at all."""
        return not isinstance(self.outcome, Deferred) or self.outcome.counts


def decide(
    handed: Handed,
    outcome: Outcome,
    channel: Channel | None,
    now: int,
    *,
    since: int,
    was_unknown: bool = False,
) -> Settled:
    """
    Return what becomes of a message after an attempt at it.

    Args:
        handed: The attempt.
        outcome: What was said of it.
        channel: None if nobody brings it any more, so that nothing can be tried again.
        now: The present instant.
        since: When it might have gone at the earliest.
        was_unknown: Whether the fate of an earlier attempt at it is not known either.
    """
    tried, is_last = handed.message.attempt, handed.message.attempt >= MOST_ATTEMPTS
    match outcome:
        case Accepted():
            return Settled(handed, outcome, "accepted")
        case Failed(reason):
            return Settled(handed, outcome, "failed", reason=reason)
        case Deferred(reason, retry_after, counts):
            if counts and is_last:
                return Settled(
                    handed, outcome, "failed", reason=f"given up after {tried} attempts: {reason}"
                )
            again = next_try(now, tried - 1 if counts else 0)
            if retry_after is not None:
                again = max(again, now + int(retry_after * SECOND))
            elif not counts:
                again = next_ask(now, since)
            return Settled(handed, outcome, "deferred", again, reason)
        case Unknown(reason):
            if channel is not None and not is_last:
                # The provider knows the key, so trying again harms nobody. Where it does not,
                # somebody may have got it already: a third copy would help nobody.
                resend = channel.on_unknown.get(handed.message.purpose) == "resend"
                if channel.idempotent or (resend and not was_unknown):
                    at = next_try(now, tried - 1) if channel.idempotent else now
                    return Settled(handed, outcome, "planned", at, reason)
            return Settled(handed, outcome, "unknown", reason=reason)


class Settling:
    """Notes outcomes, records what they mean, and tells plugins; in an open transaction."""

    def __init__(self, runtime: Runtime, messages: MessageService, dispatcher: Dispatcher) -> None:
        self._runtime = runtime
        self._messages = messages
        self._dispatcher = dispatcher
        self._changed = runtime.assembly.of(Plugin.on_deliveries_changed)
        self._standing = select(
            _m.message_id,
            _m.customer_id,
            _m.state,
            _m.attempt,
            _m.point,
            _m.handed_at,
            func.coalesce(_m.earliest, _m.planned_at),
        ).where(runtime.database.portable.is_in(_m.message_id, "messages"))
        self._unknown_before = select(attempt.c.message_id, attempt.c.attempt).where(
            runtime.database.portable.is_in(attempt.c.message_id, "messages"),
            attempt.c.outcome == _NAMES[Unknown],
        )

    def settle(
        self, unit: Unit, results: Sequence[tuple[Handed, Outcome]], channel: Channel | None
    ) -> list[Encoded]:
        """Note what became of messages; returns what is to be recorded of it."""
        connection = unit.connection
        standing = self._locked(connection, results)
        erased = frozenset[int]()
        if unit.opening.erasures:
            erased = frozenset(erased_among(connection, {at[1] for at in standing.values()}))
        unknown_before = self._unknown(connection, results, channel)
        attempts, untried, rows, done = [], [], [], []
        for handed, outcome in results:
            at = standing[handed.message.id]
            if at[1] in erased and not isinstance(outcome, Accepted):
                # What the provider says may hold the address, which has been forgotten.
                outcome = evolve(outcome, reason=ERASED)
            handed = evolve(handed, message=evolve(handed.message, customer_id=at[1]))
            was_unknown = handed.message.id in unknown_before
            since = max(handed.message.planned_at, at[6])
            settled = decide(
                handed, outcome, channel, unit.now, since=since, was_unknown=was_unknown
            )
            is_about_it = _still_counts(at, handed, outcome)
            if is_about_it:
                rows.append(_message_row(settled, unit.now))
                done.append(settled)
            if is_about_it and not settled.was_tried:
                untried.append({"tried": at[0], "number": handed.message.attempt})
            else:
                attempts.append(_attempt_row(settled, unit.now))
        connection.change_many(_note_attempt, attempts)
        connection.change_many(_take_back_attempt, untried)
        connection.change_many(_settle, rows)
        self._withhold(unit, done, standing)
        self.tell(unit, [(m, standing[m.id][2]) for each in done for m in [each.handed.message]])
        return [encoded for each in done for encoded in self._facts(each, unit.now)]

    def _locked(
        self, connection: Connection, results: Sequence[tuple[Handed, Outcome]]
    ) -> dict[int, Any]:
        """
        Return how messages stand, their customers locked, whoever they are by now.

        With them is locked who else has an address at which nothing will ever arrive.
        """
        listed = json_list([handed.message.id for handed, _ in results])
        dead = {handed.message.id for handed, outcome in results if _is_dead(outcome)}
        for _ in range(_MOST_LOOKS):
            rows = connection.execute(self._standing, messages=listed)
            owners = {row[1] for row in rows}
            points = {row[4] for row in rows if row[0] in dead and row[4] is not None}
            self._runtime.identity.lock(connection, owners | owners_of(connection, points))
            rows = connection.execute(self._standing, messages=listed)
            if {row[1] for row in rows} <= owners:
                return {row[0]: row for row in rows}
        raise RetryTransaction("customers were merged again and again while they were locked")

    def _unknown(
        self,
        connection: Connection,
        results: Sequence[tuple[Handed, Outcome]],
        channel: Channel | None,
    ) -> set[int]:
        """Return those whose fate is unknown now, and was after an earlier attempt already."""
        tried = {h.message.id: h.message.attempt for h, o in results if isinstance(o, Unknown)}
        if not tried or channel is None or channel.idempotent or not channel.on_unknown:
            return set()
        rows = connection.execute(self._unknown_before, messages=json_list(tried))
        return {found for found, number in rows if number < tried[found]}

    def _withhold(self, unit: Unit, done: Iterable[Settled], standing: dict[int, Any]) -> None:
        """Let nothing more go to contact points at which nothing will ever arrive."""
        dead = [standing[each.handed.message.id] for each in done if _is_dead(each.outcome)]
        points = {row[4] for row in dead if row[4] is not None}
        if points:
            withhold(unit.connection, points, reason=UNDELIVERABLE, since=unit.now, actor=CORE)
            owners = owners_of(unit.connection, points)
            self._messages.rejudge(unit, owners | {row[1] for row in dead})

    def tell(self, unit: Unit, changed: Sequence[tuple[Message, State]]) -> None:
        """Tell plugins what became of messages, given with the state they were in."""
        if not self._changed or not changed:
            return
        found = self._messages.read(unit.connection, [each.id for each, _ in changed])
        event = DeliveriesChanged(
            tuple(
                DeliveryChanged(message=now, before=before)
                for now, (_, before) in zip(found, changed, strict=True)
            )
        )
        for plugin, run in self._changed:
            self._dispatcher.isolated(
                unit,
                plugin,
                self._changed.name,
                lambda run=run, plugin=plugin: run(unit.context(plugin), event),  # type: ignore[misc]
            )

    def _facts(self, settled: Settled, now: int) -> list[Encoded]:
        """Return what the ledger is told; of what is merely tried again, nothing."""
        how = _NAMES[type(settled.outcome)]
        if settled.state in ("accepted", "failed"):
            how = settled.state
        sent, key = settled.handed.message, settled.handed.key
        if how not in _KINDS or (how == "unknown" and settled.again is not None):
            return []
        payload = {
            "message": sent.key,
            "plugin": sent.plugin,
            "purpose": sent.purpose,
            "reference": getattr(settled.outcome, "reference", None),
            "reason": settled.reason,
            **({"asks": True} if sent.asks else {}),
        }
        draft = Draft(
            _KINDS[how],
            customer=sent.customer_id,
            occurred_at=to_datetime(now),
            source=CORE,
            source_key=f"{how}:{key}",
            channel=sent.channel,
            caused_by=sent.caused_by,
            payload=payload,
        )
        return [self._runtime.ledger.encode(draft, decided=True)]


def _is_dead(outcome: Outcome) -> bool:
    """Return whether nothing will ever arrive where a message went."""
    return isinstance(outcome, Failed) and outcome.undeliverable


def _still_counts(at: Sequence[Any], handed: Handed, outcome: Outcome) -> bool:
    """
    Return whether an outcome is still about the message as it stands.

    One that comes late is, until somebody else has handed the message over again; where it was
    taken, that also keeps it from being handed over again.
    """
    _, _, state, tried, _, handed_at, _ = at
    # By its instant too: the number of an attempt that was none is given again.
    if tried != handed.message.attempt or handed_at is None:
        return False
    if handed_at != handed.message.handed_at:
        return False
    if isinstance(outcome, Accepted):
        return state in ("handed", "unknown", "planned", "claimed")
    return state in ("handed", "unknown")


def _attempt_row(settled: Settled, now: int) -> dict[str, Any]:
    return {
        "tried": settled.handed.message.id,
        "number": settled.handed.message.attempt,
        "since": settled.handed.message.handed_at,
        "at": now,
        "how": _NAMES[type(settled.outcome)],
        "said": getattr(settled.outcome, "reason", None),
        "named": getattr(settled.outcome, "reference", None),
    }


def _message_row(settled: Settled, now: int) -> dict[str, Any]:
    sent = settled.handed.message
    is_over = settled.again is None
    return {
        "settled": sent.id,
        "now_is": settled.state,
        "held_by": None if settled.state == "accepted" else PROVIDER,
        "said": settled.reason,
        "again": sent.not_before if is_over else settled.again,
        # Nobody has got what was deferred or failed, so it counts for no cap; unless it was handed
        # over before, and nobody knows what became of that.
        "handed": settled.handed.earlier if settled.state in _NOT_TAKEN else sent.handed_at,
        "ended": now if is_over else None,
        "named": getattr(settled.outcome, "reference", None),
        "tried": sent.attempt if settled.was_tried else sent.attempt - 1,
    }
