"""Entries: what a row of a history says, or several rows of one interaction together."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any

import attrs
from attrs import Factory, define

from crmcore.domain.identity import Identifier
from crmcore.domain.interaction import Draft, Line
from crmcore.domain.kind import Kind
from crmcore.domain.money import Money
from crmcore.errors import InputError
from crmcore.replay.payloads import Payload

_SAME_IN_ALL_ROWS = ("currency", "channel", "actor", "thread", "touch", "subject", "key")


@define(kw_only=True, eq=False)
class Entry:
    """
    An interaction in the making.

    Attributes:
        line: The first line that says something of it.
        undoing: Whether it takes an order back; its amounts are then made positive.
        identifiers: One place for each column of the mapping, None where the cell is empty.
    """

    line: int
    kind: Kind
    undoing: bool
    at: datetime | None
    identifiers: tuple[Identifier | None, ...]
    amount: int | None = None
    lines: list[Line] = Factory(list)
    payload: Payload = None
    currency: str | None = None
    channel: str | None = None
    actor: str | None = None
    thread: str | None = None
    touch: str | None = None
    subject: str | None = None
    key: str | None = None

    def add_amount(self, amount: int | None, lines: list[Line], at: datetime | None) -> None:
        """Add what another row brings, whose other cells say the same."""
        if amount is not None:
            self.amount = amount + (self.amount or 0)
        self.lines += lines
        if at is not None and (self.at is None or at < self.at):
            self.at = at

    def add(self, other: Entry) -> None:
        """
        Add what another row says; its empty cells say nothing.

        Raises:
            InputError: If both say something that has to be the same, and is not.
        """
        self.identifiers = tuple(
            _same("identifier", mine, theirs)
            for mine, theirs in zip(self.identifiers, other.identifiers, strict=True)
        )
        for name in _SAME_IN_ALL_ROWS:
            theirs = getattr(other, name)
            if theirs is not None:
                setattr(self, name, _same(name, getattr(self, name), theirs))
        if other.payload is not None and other.payload != self.payload:
            self.payload = _joined(self.payload or {}, other.payload)
        self.add_amount(other.amount, other.lines, other.at)

    def draft(self, *, source: str, source_key: str) -> Draft:
        """
        Return the interaction.

        Raises:
            InputError: If it has no time or no identifier.
        """
        if self.at is None:
            raise InputError("the time is empty")
        identifiers = tuple(dict.fromkeys([i for i in self.identifiers if i is not None]))
        if not identifiers:
            raise InputError(
                "every identifier is empty, so it belongs to no customer; leave_out can leave "
                "such rows out"
            )
        amount, lines = self.amount, self.lines
        if self.undoing and amount is not None:
            amount, lines = _as_magnitudes(amount, lines)
        money = None
        if amount is not None and self.currency is not None:
            money = Money(amount, self.currency)
        return Draft(
            self.kind.name,
            identifiers=identifiers,
            occurred_at=self.at,
            amount=money,
            lines=tuple(lines),
            payload=self.payload,
            source=source,
            source_key=source_key,
            channel=self.channel,
            actor=self.actor,
            subject=self.subject,
            thread=self.thread,
            touch=self.touch,
        )


def _same(name: str, mine: Any, theirs: Any) -> Any:
    """Return what both rows say, or the one that says something."""
    if mine is None or theirs is None or mine == theirs:
        return theirs if mine is None else mine
    raise InputError(
        f"its {name} {str(theirs)!r} differs from {str(mine)!r} in another row of the same "
        "interaction; name what tells them apart in group_by"
    )


def _joined(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> Payload:
    joined = dict(mine)
    for name, value in theirs.items():
        joined[name] = _same(f"payload.{name}", joined.get(name), value)
    return MappingProxyType(joined)


def _as_magnitudes(amount: int, lines: list[Line]) -> tuple[int, list[Line]]:
    """
    Return the amount that is taken back, and its lines, as positive numbers.

    Where rows of both signs were added up (money back, less a fee that was kept), it is the
    sum that turns, and every line with it; units have the sign of what they cost.
    """
    sign = -1 if amount < 0 else 1

    def turned(line: Line) -> Line:
        minor = sign * line.amount_minor
        units, cost = abs(line.quantity), line.cost_minor
        if minor < 0:
            units = -units
        if cost is not None:
            cost = -abs(cost) if minor < 0 else abs(cost)
        if minor == line.amount_minor and units == line.quantity and cost == line.cost_minor:
            return line
        return attrs.evolve(line, amount_minor=minor, quantity=units, cost_minor=cost)

    return sign * amount, [turned(line) for line in lines]
