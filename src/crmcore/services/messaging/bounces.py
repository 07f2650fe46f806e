"""Bounces and complaints: what comes back tells where nothing is to go any more."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final

from sqlalchemy import select

from crmcore.domain.consent import ANY
from crmcore.domain.feedback import BOUNCED, COMPLAINED, MessageBounced, MessageComplained
from crmcore.domain.interaction import Interaction
from crmcore.errors import IdentifierError
from crmcore.persistence.connection import Connection
from crmcore.persistence.customers import identifier
from crmcore.persistence.messages import message
from crmcore.persistence.portable import json_list
from crmcore.services.identities.owners import locked_owners, owners_of, sharing
from crmcore.services.messaging.withholding import COMPLAINT, UNDELIVERABLE, entry, write
from crmcore.services.recording.encoding import Encoded
from crmcore.services.recording.ledger import COLUMNS
from crmcore.services.runtime import Runtime
from crmcore.services.unit import Unit

_KINDS: Final = frozenset({BOUNCED, COMPLAINED})
_KIND: Final = COLUMNS.index("kind")
_DEFAULT: Final = "email"  # of which a complaint or bounce is, where nothing says otherwise

_Came = MessageBounced | MessageComplained
_m = message.c


def concerns(encoded: Iterable[Encoded]) -> bool:
    """Return whether any of these tells of something that came back."""
    return any(each.kind.name in _KINDS for each in encoded)


class BounceService:
    """Withholds the contact points at which nothing arrives, or from which somebody complained."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        portable = runtime.database.portable
        self._went = (
            select(_m.customer_id, _m.message_key, _m.provider_reference, _m.point)
            .where(portable.is_in(_m.customer_id, "customers"), _m.point.is_not(None))
            .order_by(_m.planned_at.desc(), _m.message_id.desc())
        )
        self._owned = select(
            identifier.c.customer_id, identifier.c.scheme, identifier.c.point
        ).where(portable.is_in(identifier.c.customer_id, "customers"))

    def lock(self, unit: Unit, encoded: Sequence[Encoded]) -> None:
        """Lock all whom bounces and complaints among drafts concern, before these are recorded."""
        connection, identity = unit.connection, self._runtime.identity
        names = {name for each in encoded for name in each.names}
        given = {each.draft.customer for each in encoded if each.draft.customer is not None}
        came = [each for each in encoded if each.kind.name in _KINDS]
        told = {
            point
            for each in came
            for address in (json.loads(each.personal or "{}").get("address"),)
            if isinstance(address, str)
            for point in self._told(each.draft.channel, address)
        }
        present = identity.present(connection, given) if given else {}
        owners = {*identity.find(connection, names).values(), *present.values()}
        alike = sharing(connection, owners) | owners_of(connection, told)
        identity.look_up(connection, names, given | alike)

    def follow(self, unit: Unit, rows: Sequence[Sequence[Any]]) -> None:
        """Do what bounces and complaints among rows of the ledger ask for; they are locked."""
        came: list[tuple[Interaction, _Came, str]] = []
        for row in rows:
            if row[_KIND] not in _KINDS:
                continue
            fact = self._runtime.ledger.as_interaction(row)
            found: object = fact.payload
            if isinstance(found, MessageComplained):
                came.append((fact, found, COMPLAINT))
            elif isinstance(found, MessageBounced) and found.bounce == "hard":
                came.append((fact, found, UNDELIVERABLE))
        if not came:
            return
        points = self._points(unit.connection, [(fact, found) for fact, found, _ in came])
        channels = self._runtime.assembly.channels
        withheld: dict[tuple[str, ...], tuple[Any, ...]] = {}
        for (fact, _, reason), about in zip(came, points, strict=True):
            channel = fact.channel if fact.channel in channels else ANY
            for point in about:
                row = entry(
                    point, reason, fact.occurred_instant, channel=channel, actor=fact.source
                )
                earlier = withheld.get(row[:4])
                if earlier is None or earlier[4] < row[4]:
                    withheld[row[:4]] = row
        write(unit.connection, sorted(withheld.values(), key=lambda row: row[:4]))
        owners = locked_owners(
            unit.connection, self._runtime.identity, {key[0] for key in withheld}
        )
        self._runtime.messages.rejudge(unit, owners)

    def _points(
        self, connection: Connection, came: Sequence[tuple[Interaction, _Came]]
    ) -> list[set[str]]:
        """Return for each the point that is named; or where it went; or all there are for it."""
        listed = json_list({fact.customer_id for fact, _ in came})
        unnamed = any(not isinstance(found.address, str) for _, found in came)
        went: dict[tuple[int, str, str], str] = {}
        owned: dict[int, list[tuple[str, str]]] = {}
        if unnamed:
            for owner, key, named, point in connection.execute(self._went, customers=listed):
                went.setdefault((owner, "key", key), point)
                went.setdefault((owner, "named", named), point)
            for owner, scheme, point in connection.execute(self._owned, customers=listed):
                owned.setdefault(owner, []).append((scheme, point))
        points = []
        for fact, found in came:
            owner = fact.customer_id
            if isinstance(found.address, str):
                points.append(self._told(fact.channel, found.address))
                continue
            by = (("named", found.reference), ("key", found.message))
            sent = [went[owner, how, v] for how, v in by if v and (owner, how, v) in went]
            points.append({sent[0]} if sent else self._all(fact.channel, owned.get(owner, ())))
        return points

    def _told(self, channel: str | None, address: str) -> set[str]:
        """Return the point that an address is, written as its channel has it."""
        scheme = self._scheme_of(channel)
        if channel not in self._runtime.assembly.channels and "@" not in address:
            scheme = "phone"
        identity = self._runtime.identity
        try:
            return {identity.point_of(scheme, identity.schemes.normalise(scheme, address).value)}
        except IdentifierError:
            return set()

    def _all(self, channel: str | None, owned: Iterable[tuple[str, str]]) -> set[str]:
        """Return the points that a channel reaches, of those that somebody has."""
        schemes, scheme = self._runtime.identity.schemes, self._scheme_of(channel)
        return {
            point
            for name, point in owned
            if name == scheme or (name in schemes and schemes[name].guest_of == scheme)
        }

    def _scheme_of(self, channel: str | None) -> str:
        found = self._runtime.assembly.channels.get(channel or "")
        return _DEFAULT if found is None else found.scheme
