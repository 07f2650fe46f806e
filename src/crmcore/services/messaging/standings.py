"""Standings: where consent stands, and what made it so; and why a message would go or not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from attrs import evolve, field, frozen
from sqlalchemy import bindparam, select

from crmcore.domain.consent import (
    ANY,
    PURPOSES,
    Basis,
    ConsentEntry,
    Effect,
    Purpose,
    Standing,
    allows,
    decisive,
    standing_of,
)
from crmcore.domain.gate import Answer
from crmcore.domain.message import Channel
from crmcore.domain.structuring import Erased
from crmcore.errors import InputError, nearest
from crmcore.hooks import IdList
from crmcore.persistence.connection import Connection
from crmcore.persistence.customers import identifier
from crmcore.persistence.messages import message
from crmcore.persistence.schema import Whole, Words
from crmcore.services.merging.merged_consent import entries_of
from crmcore.services.messaging.gate import GateService
from crmcore.services.runtime import Runtime
from crmcore.services.unit import Unit


@frozen(kw_only=True)
class Consent:
    """
    Where consent stands for one contact point, channel and purpose; instants in microseconds.

    Attributes:
        point: The contact point's keyed hash.
        address: The point itself; None, where the customer has it no longer.
        channel: On which messages may go.
        purpose: What messages are for.
        standing: What holds now.
        basis: What a message of the purpose needs to go.
        allowed: Whether consent lets it go.
        effect: What was said last that counts, such as `withdrawn`, or `merged`: the narrower of
            two customers' answers, who became one. None: nothing was said.
        interaction_id: The interaction that made it so.
        occurred_at: When that was said.
        recorded_at: When it was recorded.
        wording: Which text the customer saw, in which version.
        language: In which language.
        mechanism: How they said it, such as `form`.
        evidence: What proves it.
    """

    point: str
    address: str | None
    channel: str
    purpose: Purpose
    standing: Standing
    basis: Basis
    allowed: bool
    effect: Effect | None = None
    interaction_id: int | None = None
    occurred_at: int | None = None
    recorded_at: int | None = None
    wording: str | None = None
    language: str | None = None
    mechanism: str | None = None
    evidence: str | Erased | None = field(default=None, repr=False)


_ADDRESSES: Final = (
    select(identifier.c.scheme, identifier.c.identifier_value, identifier.c.point)
    .where(identifier.c.customer_id == bindparam("owner"))
    .order_by(identifier.c.scheme, identifier.c.identifier_value)
)
_TYPES: Final[dict[str, Any]] = {
    "message_id": Whole,
    "customer_id": Whole,
    "plugin": Words,
    "message_key": Words,
    "purpose": Words,
    "asks": Whole,
    "not_before": Whole,
    "not_after": Whole,
}
_one = select(
    *(bindparam(f"one_{name}", type_=kind).label(name) for name, kind in _TYPES.items())
).subquery("gate_one")
_stored = (
    select(*(message.c[name] for name in _TYPES), message.c.channel)
    .where(
        message.c.customer_id == bindparam("owner"),
        message.c.plugin == bindparam("by_plugin"),
        message.c.message_key == bindparam("key"),
    )
    .order_by(message.c.message_id.desc())
    .limit(1)
)
_WORDS: Final = ("wording", "language", "mechanism", "evidence")


class Standings:
    """Tells where consent stands, and what the gate says of one message."""

    def __init__(self, runtime: Runtime, gate: GateService) -> None:
        self._runtime = runtime
        self._gate = gate

    def of(self, unit: Unit, customer: int, as_of: int | None = None) -> list[Consent]:
        """
        Return where consent stands for each point, channel and purpose; by these.

        With *as_of*, from what had been recorded by that instant.
        """
        connection = unit.connection
        every = [entry for entry, _ in entries_of(connection, customer)]
        entries = [e for e in every if as_of is None or e.recorded_at <= as_of]
        addresses: dict[str, str] = {}
        cells = {
            (e.point, e.channel, e.purpose)
            for e in entries
            if ANY not in (e.point, e.channel, e.purpose)
        }
        channels = self._channels(every)
        for scheme, value, point in connection.execute(_ADDRESSES, owner=customer):
            addresses[point] = value
            for channel in channels:
                if scheme in self._gate.schemes_of(channel):
                    cells |= {(point, channel.name, purpose) for purpose in PURPOSES}
        found = [self._consent(entries, cell, addresses.get(cell[0])) for cell in sorted(cells)]
        return self._worded(connection, found, entries)

    def _channels(self, entries: Iterable[ConsentEntry]) -> list[Channel]:
        """Return the channels there are, and those that anything was said of."""
        known = dict(self._runtime.assembly.channels)
        for name in sorted({entry.channel for entry in entries} - {ANY}):
            channel = self._gate.channel(name)
            if channel is not None:
                known[name] = channel
        return list(known.values())

    def _consent(
        self, entries: Sequence[ConsentEntry], cell: tuple[str, str, str], address: str | None
    ) -> Consent:
        point, channel, purpose = cell
        standing = standing_of(entries, *cell)
        by = decisive(entries, *cell, standing)
        basis = self._runtime.gate.basis_of(purpose)  # type: ignore[arg-type]
        return Consent(
            point=point,
            address=address,
            channel=channel,
            purpose=purpose,  # type: ignore[arg-type]
            standing=standing,
            basis=basis,
            allowed=allows(standing, basis),
            effect=None if by is None else by.effect,
            interaction_id=None if by is None else by.interaction_id,
            occurred_at=None if by is None else by.occurred_at,
            recorded_at=None if by is None else by.recorded_at,
        )

    def _worded(
        self, connection: Connection, found: list[Consent], entries: Sequence[ConsentEntry]
    ) -> list[Consent]:
        """Return consents with what was recorded of them; who confirms, confirms what they saw."""
        ids = tuple(sorted({e.interaction_id for e in entries}))
        read = self._runtime.ledger.read(connection, IdList(ids)) if ids else []
        payloads = {each.id: each.payload for each in read}
        worded = []
        for each in found:
            told: dict[str, Any] = {}
            if each.interaction_id is not None:
                told = _told(payloads[each.interaction_id])
            if each.effect == "confirmed":
                cell = each.point, each.channel, each.purpose
                asked = decisive(
                    [e for e in entries if e.occurred_at <= (each.occurred_at or 0)],
                    *cell,
                    "requested",
                )
                if asked is not None:
                    told = _told(payloads[asked.interaction_id]) | told
            worded.append(evolve(each, **told))
        return worded

    # -- why a message goes, or not ----------------------------------------------------------

    def explain(
        self,
        unit: Unit,
        customer: int,
        key: str,
        *,
        plugin: str = "",
        purpose: str | None = None,
        channel: str | None = None,
        asks: bool = False,
        at: int | None = None,
    ) -> list[Answer]:
        """
        Return what every gate says of a customer's message, planned or only thought of.

        Raises:
            InputError: If no such message is planned, and its purpose or channel is not said.
        """
        connection = unit.connection
        rows = connection.execute(_stored, owner=customer, by_plugin=plugin, key=key)
        values: dict[str, Any] = dict.fromkeys(_TYPES)
        values |= {"customer_id": customer, "plugin": plugin, "message_key": key, "not_before": 0}
        if rows:
            values = dict(zip(_TYPES, rows[0], strict=False))
        if (purpose is None and not rows) or (channel is None and not rows):
            raise InputError(
                f"no message {key!r} is planned for customer {customer}; say its purpose and "
                "channel, to hear what would become of it"
            )
        if purpose is not None:
            if purpose not in PURPOSES:
                raise InputError(
                    f"purpose is {purpose!r}{nearest(purpose, PURPOSES)}; "
                    f"{' or '.join(map(repr, PURPOSES))} is expected"
                )
            values["purpose"] = purpose
        values["asks"] = int(asks or bool(values["asks"]))
        name = channel if channel is not None else rows[0][len(_TYPES)]
        found = self._gate.channel(name)
        if found is None:
            known = self._gate.channel_names
            raise InputError(
                f"channel is {name!r}{nearest(name, known)}; "
                f"{' or '.join(map(repr, known))} is expected"
            )
        given = {f"one_{each}": value for each, value in values.items()}
        return self._gate.explain(unit, _one, found, unit.now if at is None else at, given)


def _told(payload: Any) -> dict[str, Any]:
    """Return what a payload says of the text, how it was agreed to, and what proves it."""
    told = {name: getattr(payload, name, None) for name in _WORDS}
    return {name: value for name, value in told.items() if value is not None}
