"""Verdicts: what every gate of the core says of many messages at once, as one statement."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from attrs import frozen
from sqlalchemy import (
    CTE,
    ColumnElement,
    FromClause,
    Select,
    and_,
    case,
    cast,
    func,
    literal,
    or_,
    select,
)

from crmcore.domain.clock import DAY
from crmcore.domain.consent import Basis
from crmcore.domain.gate import Cap, GateSettings, Holdout
from crmcore.domain.holdout import PRIME
from crmcore.domain.message import Channel
from crmcore.domain.shadow import shadow_of
from crmcore.persistence.portable import Portable
from crmcore.persistence.schema import Whole, Words
from crmcore.services.messaging.facts import NOTHING, Facts, at, kept

_NEEDS: Final[Mapping[Basis, str]] = {
    "opt_in": "an opt-in",
    "double_opt_in": "a confirmed opt-in",
    "opt_out": "that nobody objects",
}


@frozen
class Said:
    """
    What one gate says, as columns.

    Attributes:
        reason: NULL lets the message go.
        may_go_at: NULL, beside a reason, never lets it go.
    """

    gate: str
    reason: ColumnElement[Any]
    may_go_at: ColumnElement[Any] = NOTHING


@frozen(eq=False)
class Verdict:
    """
    The gates' answers about candidates.

    Attributes:
        gates: Their names, in the order in which they are asked.
        said: A row for each candidate, with `reason_<n>` and `may_go_at_<n>` for each gate.
    """

    gates: tuple[str, ...]
    said: CTE
    portable: Portable

    def answers(self) -> Select[Any]:
        """Return what every gate says, and what is known of consent."""
        return select(*self.said.columns)

    def judged(self) -> Select[Any]:
        """
        Return the one gate for each candidate that decides.

        The first that says no; or else that which says the latest instant.
        """
        row = self.said.c
        waits = [func.coalesce(row[f"may_go_at_{n}"], at) for n in range(len(self.gates))]
        greatest = func.max if self.portable.is_sqlite else func.greatest
        last = select(self.said, greatest(at, *waits).label("last")).subquery("gate_last")
        row = last.c
        noes = [
            and_(row[f"reason_{n}"].is_not(None), row[f"may_go_at_{n}"].is_(None))
            for n in range(len(self.gates))
        ]
        latest = [
            and_(row[f"reason_{n}"].is_not(None), row[f"may_go_at_{n}"] == row.last)
            for n in range(len(self.gates))
        ]

        def first(values: Sequence[Any]) -> ColumnElement[Any]:
            pairs = [*zip(noes, values, strict=True), *zip(latest, values, strict=True)]
            return case(*pairs, else_=None)

        return select(
            row.message_id,
            row.customer_id,
            row.point,
            first([literal(gate, Words) for gate in self.gates]).label("gate"),
            first([row[f"reason_{n}"] for n in range(len(self.gates))]).label("reason"),
            case((or_(*noes), NOTHING), (or_(*latest), row.last), else_=None).label("may_go_at"),
        )


class Verdicts:
    """Builds the statement for what the shop has set."""

    def __init__(self, settings: GateSettings, portable: Portable) -> None:
        self._settings = settings
        self._portable = portable
        self._facts = Facts(settings, portable)
        self.needs_clocks = self._facts.needs_clocks

    def of(self, candidates: FromClause, channel: Channel, schemes: Iterable[str]) -> Verdict:
        """Return what the gates say of candidates whose messages go on a channel."""
        facts = self._facts.of(candidates, channel.name, schemes)
        gates = list(self._gates(facts, channel))
        columns = [facts.c[name] for name in ("message_id", "customer_id", "point", "standing")]
        for number, each in enumerate(gates):
            columns.append(each.reason.label(f"reason_{number}"))
            columns.append(cast(each.may_go_at, Whole).label(f"may_go_at_{number}"))
        said = kept(select(*columns), "gate_said")
        return Verdict(tuple(each.gate for each in gates), said, self._portable)

    # -- the gates, in the order in which they are asked -------------------------------------

    def _gates(self, facts: CTE, channel: Channel) -> Iterator[Said]:
        row = facts.c
        yield Said(
            "erased",
            case(
                (row.known.is_(None), literal("there is no such customer", Words)),
                (row.erased_at.is_not(None), "the shop has forgotten this customer"),
            ),
        )
        yield Said(
            "address",
            case((row.point.is_(None), literal(f"nothing to reach by {channel.scheme}", Words))),
        )
        yield Said(
            "withheld",
            case((row.withheld.is_not(None), _told("the address is withheld: ", row.withheld))),
        )
        yield Said("consent", case((row.agreed == 0, self._lacking(row))))
        yield Said(
            "withdrawn",
            case((row.withdrawn.is_not(None), _told("consent was ", row.withdrawn, " for it"))),
        )
        yield Said(
            "brake",
            case((row.brake.is_not(None), _told("a brake is on: ", row.brake))),
            case((row.brake_endless == 0, row.brake_until)),
        )
        if self._settings.holdouts:
            yield Said("holdout", case(*(_left_out(row, h) for h in self._settings.holdouts)))
        yield Said(
            "expired",
            case((row.not_after < at, literal("it is too late for it", Words))),
        )
        if self._settings.quiet:
            why = _told("quiet hours: ", row.quiet_why)
            yield Said("quiet", case((row.quiet_until.is_not(None), why)), row.quiet_until)
        for number, cap in enumerate(self._facts.caps):
            yield _capped(row, cap, number, channel.name)

    def _lacking(self, row: Any) -> ColumnElement[Any]:
        needed = case(
            *(
                (row.purpose.in_(self._facts.on[basis]), literal(needs, Words))
                for basis, needs in _NEEDS.items()
                if self._facts.on[basis]
            ),
            else_="a basis",
        )
        return _told(row.purpose, " needs ", needed, ", and consent is ", row.standing)


def _told(*parts: ColumnElement[Any] | str) -> ColumnElement[Any]:
    """Return texts and columns of text, one after the other."""
    told = [literal(each, Words) if isinstance(each, str) else each for each in parts]
    found = told[0]
    for each in told[1:]:
        found = found.concat(each)
    return found


def _capped(row: Any, cap: Cap, number: int, channel: str) -> Said:
    if cap.channels and channel not in cap.channels:
        return Said("cap", NOTHING)
    reason = literal(str(cap), Words)
    if cap.most == 0:
        about = row.purpose.in_(cap.about)
        return Said("cap", case((and_(about, row.asks == 1) if cap.asks else about, reason)))
    nth = row[f"cap_{number}"]
    room_at = row.day_end if cap.per else nth + cap.days * DAY  # type: ignore[operator]
    said = nth.is_not(None)
    return Said("cap", case((said, reason)), case((said, room_at)))


def _left_out(row: Any, holdout: Holdout) -> tuple[ColumnElement[bool], ColumnElement[Any]]:
    arm = holdout.arm
    about = [row.purpose.in_(holdout.about)]
    if holdout.plugins:
        about.append(row.plugin.in_([*holdout.plugins, *map(shadow_of, holdout.plugins)]))
    if holdout.keys:
        about.append(or_(*(_is_key(row.message_key, key) for key in holdout.keys)))
    place = (row.bucket * arm.factor + arm.offset) % PRIME
    return and_(*about, place < holdout.below), literal(f"held out by {holdout.name!r}", Words)


def _is_key(key: ColumnElement[str], wanted: str) -> ColumnElement[bool]:
    """Return whether a key is the one wanted, or begins with it where it ends with a star."""
    if not wanted.endswith("*"):
        return key == wanted
    start = wanted[:-1]
    return func.substr(key, 1, len(start)) == start
