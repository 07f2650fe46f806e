"""Consenting: the part of a transaction by which a shop tells what customers agreed to."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, TypeVar, Unpack

from crmcore.domain.arguments import check_text
from crmcore.domain.clock import to_instant
from crmcore.domain.consent import ANY, Purpose
from crmcore.domain.identity import Identifier, Known
from crmcore.domain.interaction import Draft, DraftFields, Interaction
from crmcore.errors import InputError, nearest
from crmcore.hooks import IdList
from crmcore.services.identities.people import People
from crmcore.services.messaging import withholding
from crmcore.services.messaging.confirming import confirmed_before
from crmcore.services.messaging.consent import ConsentService
from crmcore.services.recording.recorder import Recorder
from crmcore.services.unit import Unit

T = TypeVar("T")


class Consenting:
    """Consent, brakes, zones, and the list of those nobody writes to."""

    _unit: Unit
    _people: People
    _recorder: Recorder

    if TYPE_CHECKING:

        def record(self, kind: str | Draft, **values: Unpack[DraftFields]) -> Interaction: ...

        def _whole(self, work: Callable[[], T]) -> T: ...

    def give_consent(
        self,
        customer: Known,
        purpose: Purpose,
        channel: str,
        *,
        point: str | None = None,
        wording: str | None = None,
        language: str | None = None,
        mechanism: str | None = None,
        evidence: str | None = None,
        occurred_at: datetime | None = None,
        source_key: str | None = None,
    ) -> Interaction:
        """Record that a customer agreed; see `Crm.give_consent`."""
        return self._grant(
            "consent.given",
            customer,
            {
                "purpose": purpose,
                "channel": channel,
                "point": point,
                "wording": wording,
                "language": language,
                "mechanism": mechanism,
                "evidence": evidence,
            },
            occurred_at,
            source_key,
        )

    def request_consent(
        self,
        customer: Known,
        purpose: Purpose,
        channel: str,
        *,
        point: str | None = None,
        wording: str | None = None,
        language: str | None = None,
        mechanism: str | None = None,
        evidence: str | None = None,
        occurred_at: datetime | None = None,
        source_key: str | None = None,
    ) -> Interaction:
        """Record that a customer asked for something, and is to confirm it."""
        return self._grant(
            "consent.requested",
            customer,
            {
                "purpose": purpose,
                "channel": channel,
                "point": point,
                "wording": wording,
                "language": language,
                "mechanism": mechanism,
                "evidence": evidence,
            },
            occurred_at,
            source_key,
        )

    def confirm_consent(
        self,
        customer: Known,
        purpose: Purpose,
        channel: str,
        *,
        point: str | None = None,
        evidence: str | None = None,
        occurred_at: datetime | None = None,
        source_key: str | None = None,
    ) -> Interaction:
        """Record that a customer confirmed what they asked for; see `Crm.confirm_consent`."""
        values = {
            "purpose": purpose,
            "channel": channel,
            "point": point,
            "mechanism": "double_opt_in",
            "evidence": evidence,
        }
        draft = self._said("consent.confirmed", customer, values, occurred_at, source_key)
        unit, consents = self._unit, self._recorder.consents

        def confirm() -> Interaction:
            before = confirmed_before(unit, self._people, consents, draft, customer)
            if before is not None:
                return unit.runtime.ledger.read(unit.connection, IdList((before,)))[0]
            return self.record(draft)

        return self._whole(confirm)

    def withdraw_consent(
        self,
        customer: Known,
        purpose: str = ANY,
        channel: str = ANY,
        *,
        point: str | None = None,
        mechanism: str | None = None,
        reason: str | None = None,
        occurred_at: datetime | None = None,
        source_key: str | None = None,
    ) -> Interaction:
        """Record that a customer said no; see `Crm.withdraw_consent`."""
        values = {
            "purpose": purpose,
            "channel": channel,
            "point": point,
            "mechanism": mechanism,
            "reason": reason,
        }
        return self._grant("consent.withdrawn", customer, values, occurred_at, source_key)

    def _grant(
        self,
        kind: str,
        customer: Known,
        values: dict[str, Any],
        occurred_at: datetime | None,
        source_key: str | None,
    ) -> Interaction:
        return self.record(self._said(kind, customer, values, occurred_at, source_key))

    def _said(
        self,
        kind: str,
        customer: Known,
        values: dict[str, Any],
        occurred_at: datetime | None,
        source_key: str | None,
    ) -> Draft:
        payload = {name: value for name, value in values.items() if value is not None}
        return self._draft(kind, customer, payload, occurred_at, source_key)

    def set_brake(
        self, customer: Known, brake: str, *, until: datetime | date | None = None
    ) -> Interaction:
        """Let nothing but service go to a customer for a while; see `Crm.set_brake`."""
        if until is not None and not isinstance(until, date):
            raise InputError(f"until is {until!r}; a date or an aware datetime is expected")
        ends = {} if until is None else {"until": until.isoformat()}
        return self.record(self._draft("brake.set", customer, {"brake": brake, **ends}))

    def lift_brake(self, customer: Known, brake: str) -> Interaction:
        """End a brake that was set."""
        return self.record(self._draft("brake.lifted", customer, {"brake": brake}))

    def set_zone(self, customer: Known, zone: str) -> Interaction:
        """Note by which clocks a customer lives, such as `Europe/Berlin`."""
        return self.record(self._draft("customer.zone_changed", customer, {"zone": zone}))

    def _draft(
        self,
        kind: str,
        customer: Known,
        payload: dict[str, Any],
        occurred_at: datetime | None = None,
        source_key: str | None = None,
    ) -> Draft:
        named: dict[str, Any] = {"customer": customer}
        if isinstance(customer, Identifier):
            named = {"identifiers": (customer,)}
        elif type(customer) is not int:
            raise InputError(
                f"{customer!r} names no customer; an id, or an identifier such as "
                "Identifier('email', 'ada@example.com'), is expected"
            )
        return Draft(
            kind,
            payload=payload,
            occurred_at=occurred_at,
            source_key=source_key,
            actor=self._unit.actor,
            **named,
        )

    # -- the list of those nobody writes to --------------------------------------------------

    def withhold(
        self,
        point: Identifier,
        reason: str = withholding.BLOCKED,
        *,
        channel: str = ANY,
        until: datetime | None = None,
    ) -> str:
        """Let nobody write to a contact point; see `Crm.withhold`."""
        reasons = withholding.WIDTH
        if reason not in reasons:
            raise InputError(
                f"reason is {reason!r}{nearest(reason, reasons)}; "
                f"{' or '.join(map(repr, reasons))} is expected"
            )
        service = ConsentService(self._unit.runtime)
        service.check_channel(channel)
        hashed = self._point(point)

        def work() -> str:
            ends = None if until is None else to_instant(until)
            service.withhold(self._unit, [hashed], reason=reason, channel=channel, until=ends)
            return hashed

        return self._whole(work)

    def lift_withholding(self, point: Identifier | str, reason: str | None = None) -> int:
        """Let a contact point be written to again; see `Crm.lift_withholding`."""
        check_text("reason", reason)
        hashed = point if isinstance(point, str) else self._point(point)
        return self._whole(
            lambda: withholding.lift(
                self._unit.connection,
                hashed,
                reason=reason,
                now=self._unit.now,
                actor=self._unit.actor,
            )
        )

    def _point(self, point: Identifier) -> str:
        """Return a contact point's keyed hash."""
        identity = self._unit.runtime.identity
        if not isinstance(point, Identifier):
            raise InputError(
                f"{point!r} is no contact point; an identifier such as "
                "Identifier('email', 'ada@example.com') is expected"
            )
        found = identity.schemes.normalised(point)
        return identity.point_of(found.scheme, found.value)
