"""The send gate: whether messages may go, asked for one of them or for a hundred thousand."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any, Final

from attrs import frozen
from sqlalchemy import FromClause, Select, select

from crmcore.domain.clock import Calendar
from crmcore.domain.consent import PURPOSES, REACHES
from crmcore.domain.gate import Answer, Go
from crmcore.domain.message import Channel
from crmcore.domain.quiet import day_bounds, quiet_until
from crmcore.errors import ConfigurationError
from crmcore.persistence.consent import zone
from crmcore.services.dispatcher import Dispatcher
from crmcore.services.messaging.facts import AT, CLOCKS
from crmcore.services.messaging.guards import GUARD, Guards, Held
from crmcore.services.messaging.verdicts import Verdict, Verdicts
from crmcore.services.runtime import Runtime
from crmcore.services.unit import Unit

_KEPT: Final = 64  # statements kept for as many tables of candidates
_NONE: Final[Mapping[str, Any]] = {}


@frozen(eq=False)
class _Question:
    """What is asked of one table of candidates, on one channel: made once, compiled once."""

    candidates: FromClause
    verdict: Verdict
    judged: Select[Any]
    answers: Select[Any]
    zones: Select[Any]


class GateService:
    """
    Judges messages by what customers agreed to, by what the shop has set, and by plugins' guards.

    *candidates* is a table expression with a row for each message, and the columns of
    `crmcore.services.messaging.facts.CANDIDATE`; *values* are those of its own parameters. Give
    the same expression each time: what is asked of it is compiled once for each.
    """

    def __init__(self, runtime: Runtime, dispatcher: Dispatcher) -> None:
        self._settings = runtime.gate
        self._calendar = runtime.calendar
        self._schemes = runtime.identity.schemes
        self._channels = runtime.assembly.channels
        self._verdicts = Verdicts(runtime.gate, runtime.database.portable)
        self._guards = Guards(runtime, dispatcher)
        self._questions: OrderedDict[tuple[int, str, str], _Question] = OrderedDict()

    def judged(
        self,
        unit: Unit,
        candidates: FromClause,
        channel: Channel,
        at: int,
        values: Mapping[str, Any] = _NONE,
    ) -> tuple[Select[Any], Mapping[str, Any]]:
        """
        Return what the core's gates say of candidates at an instant, as a statement and its values.

        Its columns are message_id, customer_id, point (the keyed hash of where it goes; NULL:
        nowhere), gate (NULL: go), reason, and may_go_at (NULL beside a gate: never).
        """
        asked = self._question(candidates, channel)
        return asked.judged, self._values(unit, asked, at, values)

    def holds(
        self,
        unit: Unit,
        candidates: FromClause,
        channel: Channel,
        at: int,
        values: Mapping[str, Any] = _NONE,
        *,
        is_claim: bool,
    ) -> list[Held]:
        """Return which candidates, that the core's gates let go, plugins hold back."""
        return self._guards.held(unit, candidates, channel, at, values, is_claim=is_claim)

    def explain(
        self,
        unit: Unit,
        candidate: FromClause,
        channel: Channel,
        at: int,
        values: Mapping[str, Any] = _NONE,
    ) -> list[Answer]:
        """Return what every gate says of one candidate, in the order in which they are asked."""
        asked = self._question(candidate, channel)
        rows = unit.connection.execute(asked.answers, **self._values(unit, asked, at, values))
        names = list(asked.answers.selected_columns.keys())
        answers = []
        for row in rows[:1]:
            found = dict(zip(names, row, strict=True))
            for number, gate in enumerate(asked.verdict.gates):
                reason = found[f"reason_{number}"]
                if reason is None and gate == "consent":
                    answers.append(Answer(gate=gate, answer="go", reason=found["standing"]))
                else:
                    answers.append(_answer(gate, reason, found[f"may_go_at_{number}"], at))
        held = self._guards.held(unit, candidate, channel, at, values, reads=True)
        said = [_answer(GUARD, each.reason, each.may_go_at, at) for each in held]
        return answers + (said or [Answer(gate=GUARD, answer="go")])

    def _question(self, candidates: FromClause, channel: Channel) -> _Question:
        key = id(candidates), channel.name, channel.scheme
        found = self._questions.get(key)
        if found is None:
            verdict = self._verdicts.of(candidates, channel, self.schemes_of(channel))
            joined = zone.join(candidates, candidates.c.customer_id == zone.c.customer_id)
            found = self._questions[key] = _Question(
                candidates,
                verdict,
                verdict.judged(),
                verdict.answers(),
                select(zone.c.zone).select_from(joined).distinct(),
            )
            if len(self._questions) > _KEPT:
                self._questions.popitem(last=False)
        return found

    @property
    def channel_names(self) -> list[str]:
        """The channels that messages, or consent, can be about."""
        return sorted({*REACHES, *self._channels})

    def channel(self, name: str) -> Channel | None:
        """Return a channel by name; one that nobody delivers on yet may be well known."""
        if name in self._channels:
            return self._channels[name]
        return Channel(name, scheme=REACHES[name]) if name in REACHES else None

    def schemes_of(self, channel: Channel) -> list[str]:
        """Return the schemes of identifiers that a channel reaches, those of guests among them."""
        guests = [each.name for each in self._schemes if each.guest_of == channel.scheme]
        return [channel.scheme, *guests]

    def _values(
        self, unit: Unit, asked: _Question, at: int, values: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        if not self._verdicts.needs_clocks:
            return {**values, AT: at}
        zones = [name for (name,) in unit.connection.execute(asked.zones, **values)]
        return {**values, AT: at, CLOCKS: json.dumps(list(self._clocks(zones, at)))}

    def _clocks(self, zones: Iterable[str], at: int) -> Iterable[list[Any]]:
        """Yield for each zone and purpose until when it is quiet, why, and the day's bounds."""
        for name in ("", *zones):
            calendar = self._calendar_of(name)
            day = day_bounds(calendar.zone, at, calendar.start_of)
            for purpose in PURPOSES:
                hours = self._settings.quiet_of(purpose)
                until = quiet_until(hours, calendar.zone, at)
                why = None
                if until is not None:
                    why = f"{', '.join(map(str, hours))} in {calendar.zone.key}"
                yield [name, purpose, why, until, *day]

    def _calendar_of(self, name: str) -> Calendar:
        """Return the calendar of a customer's zone; the shop's, where nothing is known of it."""
        if not name:
            return self._calendar
        try:
            return Calendar.named(name)
        except ConfigurationError:
            return self._calendar  # of an older or newer database of zones than this machine's


def _answer(gate: str, reason: str | None, may_go_at: int | None, at: int) -> Answer:
    said: Go = "go"
    if reason is not None:
        said = "no" if may_go_at is None else "wait" if may_go_at > at else "go"
    return Answer(gate=gate, answer=said, reason=reason, may_go_at=may_go_at)
