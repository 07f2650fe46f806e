"""What a shop asks of addresses: captured with an order, signed up, confirmed, and ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Final

from crmcore import Context, Interaction, Transaction
from crmcore_email_link.capture import Basis, capture
from crmcore_email_link.composing import Composer
from crmcore_email_link.leaving import Left, leave, leave_by_mail
from crmcore_email_link.sign_ups import Confirmed, SignedUp, SignUpLimits, confirm, sign_up

PENDING_DAYS: Final = 7
"""Within as many days who signed up is to confirm it."""


class SubscribingApi:
    """The part of the plugin that is about who gets mail, and who no more."""

    __slots__ = ()

    if TYPE_CHECKING:
        _acting: Callable[[Transaction], AbstractContextManager[Context]]
        sign_up_pause_minutes: int
        sign_ups_per_domain: int
        sign_ups_per_source: int
        sign_ups_in_all: int

        @property
        def composer(self) -> Composer: ...

    def capture(
        self,
        tx: Transaction,
        order_id: str,
        address: str,
        *,
        bases: Mapping[str, Basis],
        locale: str | None = None,
        notice_version: str | None = None,
        customer: int | None = None,
    ) -> Interaction:
        """
        Record the address of an order, and why mail may go there; told again it changes nothing.

        A soft opt-in counts only where nobody ever said no; `consent` is what somebody agreed to
        just now, and may follow a no.

        Args:
            tx: The transaction in which the order is recorded.
            order_id: The shop's own name of the order.
            address: As the customer wrote it.
            bases: By purpose, `soft_opt_in`, `consent` or, for service, `contract`.
            locale: In which the customer ordered, such as `de-AT`.
            notice_version: Which text they saw; for a soft opt-in and for consent there is one.
            customer: Who it is, where they are known; None: a guest with that address.

        Raises:
            IdentifierError: If nothing could be sent there.
            InputError: If a purpose and its basis do not fit.
        """
        return capture(
            tx,
            order_id,
            address,
            bases=bases,
            locale=locale,
            notice_version=notice_version,
            customer=customer,
        )

    def sign_up(
        self,
        tx: Transaction,
        address: str,
        purpose: str,
        *,
        wording: str,
        language: str | None = None,
        source: str | None = None,
        evidence: str | None = None,
    ) -> SignedUp:
        """
        Ask whoever has an address to confirm that they want mail of a purpose.

        The answer is the same for any address. No mail goes where one went a while ago, where it
        is confirmed already, or where nothing is to go; nor beyond the limits in the settings.

        Args:
            tx: The transaction; what it asks for goes when it has committed.
            address: As it was written.
            purpose: `news`, `promotion`, `survey` or `care`.
            wording: Which text was seen, and in which version, such as `footer/3`.
            language: In which the page was, such as `de`.
            source: Who asks, as far as the page knows, such as an address of the network; it is
                forgotten with the request.
            evidence: What proves the request; it is kept with the consent.

        Raises:
            IdentifierError: If nothing could be sent there, whoever has it.
            InputError: If there is no such purpose.
        """
        limits = SignUpLimits(
            pause_minutes=self.sign_up_pause_minutes,
            per_domain=self.sign_ups_per_domain,
            per_source=self.sign_ups_per_source,
            in_all=self.sign_ups_in_all,
        )
        with self._acting(tx) as ctx:
            return sign_up(
                tx,
                ctx,
                limits,
                PENDING_DAYS,
                address,
                purpose,
                wording=wording,
                language=language,
                source=source,
                evidence=evidence,
            )

    def confirm(self, tx: Transaction, token: str, *, evidence: str | None = None) -> Confirmed:
        """
        Confirm what a link was sent for, by its token; following it twice changes nothing.

        The address is proved by it, so a guest becomes a customer who is known by it.
        """
        tokens = self.composer.links.tokens
        with self._acting(tx) as ctx:
            return confirm(tx, ctx, tokens, PENDING_DAYS, token, ctx.clock.now(), evidence)

    def unsubscribe(self, tx: Transaction, token: str, *, mechanism: str = "link") -> Left | None:
        """
        Record that who got a mail wants no more of it, by the token of its link; None: no such.

        It ends mail of the message's purpose to where it went. Told again it changes nothing.
        """
        tokens = self.composer.links.tokens
        with self._acting(tx) as ctx:
            return leave(tx, ctx, tokens, token, ctx.clock.now(), mechanism)

    def unsubscribe_by_mail(self, tx: Transaction, raw: bytes) -> Left | None:
        """Record the same by a mail that came to an address that begins with `u+`; None: no."""
        with self._acting(tx) as ctx:
            return leave_by_mail(tx, ctx, self.composer.links.tokens, raw, ctx.clock.now())
