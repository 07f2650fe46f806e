"""Consenting: what customers agreed to, and why a message goes to them or not."""

from __future__ import annotations

from datetime import date, datetime

from crmcore.app.opened import Opened
from crmcore.domain.arguments import check_text
from crmcore.domain.clock import to_instant
from crmcore.domain.consent import ANY, Purpose
from crmcore.domain.gate import Answer
from crmcore.domain.identity import Identifier, Known
from crmcore.domain.interaction import Interaction
from crmcore.errors import InputError
from crmcore.services.messaging import withholding
from crmcore.services.messaging.standings import Consent
from crmcore.services.messaging.withholding import BLOCKED, Withheld


class ConsentingOfCrm(Opened):
    """The part of `Crm` that is about what may be said to whom."""

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
        actor: str | None = None,
    ) -> Interaction:
        """
        Record that a customer agreed to messages of a purpose, on a channel.

        Args:
            customer: By id, or by an identifier, which registers whom nobody knows yet.
            purpose: What the messages are for: `service`, `care`, `news`, `promotion`, `survey`.
            channel: On which, such as `email`.
            point: The address it is for; by default the one that the customer has.
            wording: Which text they were shown, and in which version, such as `newsletter/3`.
            language: In which language, such as `de`.
            mechanism: How, such as `form` or `counter`.
            evidence: What proves it; it is personal, so an erasure empties it.
            occurred_at: When they agreed; now, unless it is said.
            source_key: What makes it one, however often it is told.
            actor: Who does it, such as `staff:grace`.

        Raises:
            InputError: If there is no such purpose or channel, or the customer has no address
                for it, or several.
        """
        return self.run_transaction(
            lambda tx: tx.give_consent(
                customer,
                purpose,
                channel,
                point=point,
                wording=wording,
                language=language,
                mechanism=mechanism,
                evidence=evidence,
                occurred_at=occurred_at,
                source_key=source_key,
            ),
            actor=actor,
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
        actor: str | None = None,
    ) -> Interaction:
        """
        Record that a customer asked for something, and is to confirm it: a double opt-in's half.

        Takes what `give_consent` takes. Until `confirm_consent` nothing goes.
        """
        return self.run_transaction(
            lambda tx: tx.request_consent(
                customer,
                purpose,
                channel,
                point=point,
                wording=wording,
                language=language,
                mechanism=mechanism,
                evidence=evidence,
                occurred_at=occurred_at,
                source_key=source_key,
            ),
            actor=actor,
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
        actor: str | None = None,
    ) -> Interaction:
        """
        Record that a customer confirmed by the address itself, such as by a link sent to it.

        What stands confirmed already is returned as it was recorded, and nothing is changed.

        Raises:
            CustomerNotFoundError: If nobody is known by the identifier.
            InputError: Unless `request_consent` or another grant of the same purpose, channel and
                address is there, and no withdrawal followed it: an old link confirms nothing.
        """
        return self.run_transaction(
            lambda tx: tx.confirm_consent(
                customer,
                purpose,
                channel,
                point=point,
                evidence=evidence,
                occurred_at=occurred_at,
                source_key=source_key,
            ),
            actor=actor,
        )

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
        actor: str | None = None,
    ) -> Interaction:
        """
        Record that a customer said no; what is on its way, and it is about, is withheld.

        Without a purpose it is about all of them, without a channel or point about all of these.
        What somebody is owed (`service`) goes on.
        """
        return self.run_transaction(
            lambda tx: tx.withdraw_consent(
                customer,
                purpose,
                channel,
                point=point,
                mechanism=mechanism,
                reason=reason,
                occurred_at=occurred_at,
                source_key=source_key,
            ),
            actor=actor,
        )

    def consents(self, customer: Known, *, as_of: datetime | None = None) -> list[Consent]:
        """
        Return where consent stands for each point, channel and purpose, and what made it so.

        With *as_of*, from what had been recorded by that instant.
        """
        until = None if as_of is None else to_instant(as_of)
        with self._read() as unit:
            found = self._parts.people.id_of(unit, customer)
            return self._parts.standings.of(unit, found, until)

    def set_brake(
        self,
        customer: Known,
        brake: str,
        *,
        until: datetime | date | None = None,
        actor: str | None = None,
    ) -> Interaction:
        """
        Let nothing but service go to a customer for a while, such as on `complaint`, `mourning`.

        It is on until it is lifted, or until *until*: an instant, or a day of the shop's zone
        when that begins. What it stops while it has no end is withheld, and else it waits.
        """
        return self.run_transaction(
            lambda tx: tx.set_brake(customer, brake, until=until), actor=actor
        )

    def lift_brake(self, customer: Known, brake: str, *, actor: str | None = None) -> Interaction:
        """End a brake that was set."""
        return self.run_transaction(lambda tx: tx.lift_brake(customer, brake), actor=actor)

    def set_zone(self, customer: Known, zone: str, *, actor: str | None = None) -> Interaction:
        """Note by which clocks a customer lives, such as `Europe/Berlin`: quiet hours follow it."""
        return self.run_transaction(lambda tx: tx.set_zone(customer, zone), actor=actor)

    # -- the list of those nobody writes to --------------------------------------------------

    def withhold(
        self,
        point: Identifier,
        reason: str = BLOCKED,
        *,
        channel: str = ANY,
        until: datetime | None = None,
        actor: str | None = None,
    ) -> str:
        """
        Let nobody write to a contact point, whoever has it, now or later.

        Args:
            point: Such as an email address, known or not.
            reason: `blocked` or `undeliverable` stop everything; `complaint`, `withdrawn` and
                `erased` what nobody is owed, the last two until a later consent.
            channel: On which; by default on all.
            until: When it ends by itself; None: when it is lifted.
            actor: Who does it, such as `staff:grace`.

        Returns:
            The point's keyed hash, by which it is kept: the list tells nobody's address.
        """
        return self.run_transaction(
            lambda tx: tx.withhold(point, reason, channel=channel, until=until), actor=actor
        )

    def lift_withholding(
        self, point: Identifier | str, reason: str | None = None, *, actor: str | None = None
    ) -> int:
        """
        Let a contact point, or its keyed hash, be written to again; as far as consent goes.

        Returns how many entries were lifted: those of one reason, or all.
        """
        return self.run_transaction(lambda tx: tx.lift_withholding(point, reason), actor=actor)

    def withheld(self, point: Identifier | None = None) -> list[Withheld]:
        """Return what nobody writes to; of one point, what was lifted, too."""
        if point is None:
            with self._read() as unit:
                return withholding.standing(unit.connection, unit.now)
        if not isinstance(point, Identifier):
            raise InputError(f"{point!r} is no identifier; one is expected")
        identity = self._runtime.identity
        found = identity.schemes.normalised(point)
        with self._read() as unit:
            hashed = identity.point_of(found.scheme, found.value)
            return withholding.of_point(unit.connection, hashed)

    def explain_send(
        self,
        customer: Known,
        key: str,
        *,
        plugin: str = "",
        purpose: Purpose | None = None,
        channel: str | None = None,
        asks: bool = False,
        at: datetime | None = None,
    ) -> list[Answer]:
        """
        Return what every gate says of a message to a customer, in the order of their asking.

        Of one that is planned by *key*; or of one only thought of, with its *purpose* and
        *channel*. *at* is now, unless another instant is given.

        Raises:
            InputError: If no such message is planned, and purpose or channel is not said.
        """
        for name, value in (("key", key), ("plugin", plugin), ("channel", channel)):
            check_text(name, value)
        instant = None if at is None else to_instant(at)
        with self._read() as unit:
            found = self._parts.people.id_of(unit, customer)
            answers = self._parts.standings.explain(
                unit,
                found,
                key,
                plugin=plugin,
                purpose=purpose,
                channel=channel,
                asks=asks,
                at=instant,
            )
        self._note_raised(unit)
        return answers
