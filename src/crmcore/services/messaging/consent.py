"""Consent kept: what interactions say of it brought into its tables, and made anew from them."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, delete, func, insert, select

from crmcore.domain.consent import ANY, CONSENT_KINDS, NARROWING
from crmcore.persistence.connection import Connection
from crmcore.persistence.consent import brake, consent, zone
from crmcore.persistence.customers import customer, identifier
from crmcore.persistence.ledger import in_shadow, interaction
from crmcore.persistence.portable import json_list
from crmcore.services.identities.owners import locked_owners
from crmcore.services.messaging import withholding
from crmcore.services.messaging.completing import Completing, brake_until
from crmcore.services.messaging.messages import BRAKES, CLOCKS
from crmcore.services.recording.encoding import Encoded
from crmcore.services.recording.ledger import COLUMNS
from crmcore.services.runtime import Runtime
from crmcore.services.unit import Unit

KINDS: Final = frozenset(kind.name for kind in CONSENT_KINDS)
DERIVED: Final = (consent, brake, zone)
_CONSENT: Final = "consent."
_SET, _LIFTED, _ZONE = "brake.set", "brake.lifted", "customer.zone_changed"
_SAID_NO: Final = frozenset({"withdrawn", "refused"})
_AT_ONCE: Final = 5000  # customers whose rows are made anew in one go

_ASKED: Final = (
    "interaction_id",
    "kind",
    "customer_id",
    "occurred_at",
    "recorded_at",
    "source",
    "source_key",
    "subject",
    "payload",
)
_PLACES: Final = [COLUMNS.index(name) for name in _ASKED]
_facts = (
    select(*(interaction.c[name] for name in _ASKED))
    .where(interaction.c.kind.in_(sorted(KINDS)), ~in_shadow)
    .order_by(interaction.c.interaction_id)
)
_insert = {table.name: insert(table) for table in DERIVED}
_last_customer = select(func.max(customer.c.customer_id))


def concerns(encoded: Iterable[Encoded]) -> bool:
    """Return whether anything that is to be recorded says something of consent."""
    return not KINDS.isdisjoint([each.kind.name for each in encoded])


class ConsentService:
    """Keeps what customers agreed to, brakes and zones, as the ledger tells them."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._completing = Completing(runtime)
        self.completed = self._completing.completed
        self.check_channel = self._completing.check_channel
        portable = runtime.database.portable
        self._facts_of = _facts.where(portable.is_in(interaction.c.customer_id, "customers"))
        self._zones_of = self._facts_of.where(interaction.c.kind == _ZONE)
        self._points_of = select(
            identifier.c.customer_id, identifier.c.scheme, identifier.c.point
        ).where(portable.is_in(identifier.c.customer_id, "customers"))
        self._forget = {
            table.name: delete(table).where(
                portable.is_in(table.c.customer_id, "customers"), *_recorded(table)
            )
            for table in DERIVED
        }

    # -- as it is recorded -------------------------------------------------------------------

    def follow(self, unit: Unit, rows: Sequence[Sequence[Any]]) -> None:
        """Take new rows of the ledger into the tables, and hold back what may not go any more."""
        facts = [[row[place] for place in _PLACES] for row in rows if row[1] in KINDS]
        if not facts:
            return
        connection = unit.connection
        self._write(connection, facts)
        moved = {fact[2] for fact in facts if fact[1] == _ZONE}
        if moved:
            listed = json_list(moved)
            connection.change(self._forget[zone.name], customers=listed)
            found = connection.execute(self._zones_of, customers=listed)
            connection.insert_rows(_insert[zone.name], list(_zones(found)))
            self._runtime.messages.hasten(unit, moved, CLOCKS)
        lifted = {fact[2] for fact in facts if fact[1] == _LIFTED}
        if lifted:
            self._runtime.messages.hasten(unit, lifted, BRAKES)
        narrowed = {fact[2] for fact in facts if _narrows(fact[1])}
        if narrowed:
            narrowed |= self._spread(unit, facts)
            self._runtime.messages.rejudge(unit, narrowed)

    def _write(self, connection: Connection, facts: Sequence[Sequence[Any]]) -> None:
        """Write the rows of consent and of brakes that facts give."""
        connection.insert_rows(_insert[consent.name], list(_consents(facts)))
        calendar = self._runtime.calendar
        connection.insert_rows(
            _insert[brake.name],
            [
                (
                    fact[2],
                    fact[0],
                    0,
                    values["brake"],
                    int(fact[1] == _SET),
                    fact[3],
                    brake_until(values.get("until"), calendar),
                )
                for fact in facts
                if fact[1] in (_SET, _LIFTED)
                for values in (json.loads(fact[8]),)
            ],
        )

    def _spread(self, unit: Unit, facts: Sequence[Sequence[Any]]) -> set[int]:
        """
        Note a no with the contact points it is about, so that it goes for whoever has them.

        Returns all who have them.
        """
        said = [
            (fact[2], fact[7], values["channel"], values["purpose"], fact[3])
            for fact in facts
            if fact[1].removeprefix(_CONSENT) in _SAID_NO
            for values in ({"channel": ANY, "purpose": ANY} | json.loads(fact[8]),)
        ]
        if not said:
            return set()
        connection = unit.connection
        own: dict[int, list[tuple[str, str]]] = {}
        listed = json_list({each[0] for each in said})
        for owner, scheme, point in connection.execute(self._points_of, customers=listed):
            own.setdefault(owner, []).append((scheme, point))
        rows: dict[tuple[str, str, str], int] = {}
        for owner, subject, channel, purpose, at in said:
            schemes = self._completing.schemes_of(channel)
            points = [p for scheme, p in own.get(owner, ()) if scheme in schemes]
            wide = withholding.UNSOLICITED if purpose == ANY else purpose
            for point in [subject] if subject != ANY else points:
                key = (point, channel, wide)
                rows[key] = max(rows.get(key, at), at)
        withholding.write(
            connection,
            [
                (*key, withholding.WITHDRAWN, at, None, unit.actor, None, None)
                for key, at in sorted(rows.items())
            ],
        )
        return locked_owners(connection, self._runtime.identity, {key[0] for key in rows})

    # -- made anew ---------------------------------------------------------------------------

    def recompute(self, unit: Unit, customers: Collection[int] | None = None) -> None:
        """Make the tables of some customers, or of all, anew from the ledger; nobody is told."""
        connection = unit.connection
        if customers is not None:
            self._recompute(connection, customers)
            return
        last = connection.execute(_last_customer)[0][0] or 0
        for low in range(1, last + 1, _AT_ONCE):
            self._recompute(connection, range(low, min(low + _AT_ONCE, last + 1)))

    def _recompute(self, connection: Connection, customers: Collection[int]) -> None:
        listed = json_list(customers)
        for statement in self._forget.values():
            connection.change(statement, customers=listed)
        facts = connection.execute(self._facts_of, customers=listed)
        self._write(connection, facts)
        connection.insert_rows(_insert[zone.name], list(_zones(facts)))

    # -- the list of those nobody writes to --------------------------------------------------

    def withhold(
        self,
        unit: Unit,
        points: Collection[str],
        *,
        reason: str,
        channel: str = ANY,
        purpose: str | None = None,
        until: int | None = None,
    ) -> None:
        """
        Let nobody write to these points any more, and hold back what is on its way.

        Who has them is locked first.
        """
        owners = locked_owners(unit.connection, self._runtime.identity, points)
        withholding.withhold(
            unit.connection,
            points,
            reason=reason,
            since=withholding.since_grants(unit.connection, points, unit.now),
            channel=channel,
            purpose=purpose,
            until=until,
            actor=unit.actor,
        )
        self._runtime.messages.rejudge(unit, owners)


def _recorded(table: Any) -> list[ColumnElement[bool]]:
    """Return the condition for rows that follow from the ledger: not those of merges."""
    return [table.c.merge_id == 0] if "merge_id" in table.columns else []


def _narrows(kind: str) -> bool:
    return kind == _SET or kind.removeprefix(_CONSENT) in NARROWING


def _consents(facts: Iterable[Sequence[Any]]) -> Iterator[tuple[Any, ...]]:
    for fact in facts:
        interaction_id, kind, owner, occurred_at, recorded_at, _, _, subject, payload = fact
        if kind.startswith(_CONSENT):
            values = {"channel": ANY, "purpose": ANY} | json.loads(payload)
            effect = kind.removeprefix(_CONSENT)
            about = (subject or ANY, values["channel"], values["purpose"])
            yield (owner, interaction_id, 0, *about, effect, occurred_at, recorded_at)


def _zones(facts: Iterable[Sequence[Any]]) -> Iterator[tuple[Any, ...]]:
    """Yield for each customer the zone they were last said to live in."""
    latest: dict[int, Sequence[Any]] = {}
    for fact in facts:
        if fact[1] == _ZONE and (fact[2] not in latest or _order(fact) > _order(latest[fact[2]])):
            latest[fact[2]] = fact
    for owner, fact in sorted(latest.items()):
        yield owner, json.loads(fact[8])["zone"], fact[3], fact[0]


def _order(fact: Sequence[Any]) -> tuple[Any, ...]:
    """Return what decides between facts; of one instant, not the order of their arrival."""
    return fact[3], fact[5], fact[6] or "", fact[0]
