"""Bounces and complaints: what comes back tells where nothing is to go any more."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from sqlalchemy import bindparam, select

from crmcore.domain.consent import ANY
from crmcore.domain.feedback import BOUNCED, COMPLAINED, MessageBounced, MessageComplained
from crmcore.domain.interaction import Interaction
from crmcore.errors import IdentifierError
from crmcore.persistence.connection import Connection
from crmcore.persistence.customers import identifier
from crmcore.persistence.messages import message
from crmcore.services.encoding import Encoded
from crmcore.services.ledger import COLUMNS
from crmcore.services.runtime import Runtime
from crmcore.services.unit import Unit
from crmcore.services.withholding import COMPLAINT, UNDELIVERABLE, withhold

_KINDS: Final = frozenset({BOUNCED, COMPLAINED})
_KIND: Final = COLUMNS.index("kind")
_DEFAULT: Final = "email"  # of which a complaint or bounce is, where nothing says otherwise

_m = message.c
_where_it_went = (
    select(_m.point)
    .where(
        _m.customer_id == bindparam("customer"),
        _m.point.is_not(None),
        (_m.message_key == bindparam("key")) | (_m.provider_reference == bindparam("named")),
    )
    .order_by(_m.planned_at.desc(), _m.message_id.desc())
    .limit(1)
)
_points = select(identifier.c.scheme, identifier.c.point).where(
    identifier.c.customer_id == bindparam("customer"), identifier.c.point.is_not(None)
)


def concerns(encoded: Iterable[Encoded]) -> bool:
    """Return whether any of these tells of something that came back."""
    return any(each.kind.name in _KINDS for each in encoded)


class BounceService:
    """Withholds the contact points at which nothing arrives, or from which somebody complained."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def follow(self, unit: Unit, rows: Sequence[Sequence[Any]]) -> None:
        """Do what bounces and complaints among rows of the ledger ask for; they are locked."""
        customers = set()
        for row in rows:
            if row[_KIND] not in _KINDS:
                continue
            fact = self._runtime.ledger.as_interaction(row)
            found: object = fact.payload
            if isinstance(found, MessageComplained):
                reason = COMPLAINT
            elif isinstance(found, MessageBounced) and found.bounce == "hard":
                reason = UNDELIVERABLE
            else:
                continue
            withhold(
                unit.connection,
                self._points(unit.connection, fact, found),
                reason=reason,
                since=fact.occurred_instant,
                channel=fact.channel if fact.channel in self._runtime.assembly.channels else ANY,
                actor=fact.source,
            )
            customers.add(fact.customer_id)
        self._runtime.messages.rejudge(unit, customers)

    def _points(
        self, connection: Connection, fact: Interaction, found: MessageBounced | MessageComplained
    ) -> set[str]:
        """Return the point that is named; or where the message went; or all there are for it."""
        channel = self._runtime.assembly.channels.get(fact.channel or "")
        schemes = self._runtime.identity.schemes
        scheme = _DEFAULT if channel is None else channel.scheme
        if isinstance(found.address, str):
            if channel is None and "@" not in found.address:
                scheme = "phone"
            try:
                value = schemes.normalise(scheme, found.address).value
            except IdentifierError:
                return set()
            return {self._runtime.identity.point_of(scheme, value)}
        went = connection.execute(
            _where_it_went,
            customer=fact.customer_id,
            key=found.message,
            named=found.reference,
        )
        if went:
            return {went[0][0]}
        rows = connection.execute(_points, customer=fact.customer_id)
        return {
            point
            for name, point in rows
            if name == scheme or (name in schemes and schemes[name].guest_of == scheme)
        }
