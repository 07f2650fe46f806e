"""Drafts checked and encoded, before anything is written."""

from __future__ import annotations

from typing import Final, NamedTuple

from crmcore.domain.clock import to_instant
from crmcore.domain.interaction import Draft, check_draft, is_plain
from crmcore.domain.kind import Kind, KindRegistry
from crmcore.domain.money import Money
from crmcore.domain.shadow import PLUGIN, is_shadow
from crmcore.errors import InputError, MoneyError
from crmcore.services.identities.identity import IdentityService
from crmcore.services.identities.registration import Names

_LARGEST: Final = 2**63 - 1  # what a 64-bit column holds


class Encoded(NamedTuple):
    """A draft whose every value was checked, ready to be written."""

    kind: Kind
    draft: Draft
    names: Names
    occurred_at: int | None
    payload: str
    personal: str | None
    amount_minor: int | None
    currency: str | None
    source_key: str | None
    subject: str | None


class Encoder:
    """Checks drafts against the kinds of one application."""

    def __init__(self, kinds: KindRegistry, identity: IdentityService, currency: str) -> None:
        self._kinds = kinds
        self._identity = identity
        self._currency = currency

    def _amount(self, draft: Draft) -> tuple[int | None, str | None]:
        """Return the draft's amount as it was given, or what its lines add up to."""
        amount = draft.amount
        if amount is None:
            if not draft.lines:
                return None, None
            minor = sum([line.amount_minor for line in draft.lines])
            if -_LARGEST <= minor <= _LARGEST:
                return minor, self._currency
            amount = Money(minor, self._currency)  # which says why not
        if not isinstance(amount, Money):
            raise MoneyError(
                f"amount {amount!r} is not Money; write Money.of('11.77', {self._currency!r})"
            )
        return amount.amount_minor, amount.currency

    def encode(self, draft: Draft, *, decided: bool = False) -> Encoded:
        """
        Check a draft; raises an `InputError` that names the field.

        Amounts come out signed: what they add to the customer's revenue. Only what was *decided*
        may have a plugin as its source.
        """
        kind = self._kinds[draft.kind]
        if not is_plain(draft):
            check_draft(draft)
        if not decided and (draft.source.startswith(PLUGIN) or is_shadow(draft.source)):
            raise InputError(
                f"source is {draft.source!r}, which only what that plugin decides may have; "
                "the shop's name for a system, such as 'shop', is expected"
            )
        payload, personal = self._kinds.encode(kind, draft.payload)
        if not draft.identifiers and draft.customer is None:
            raise InputError(
                f"{kind.name!r} names no customer; give an identifier such as "
                "Identifier('email', 'ada@example.com'), or the customer's id"
            )
        names = self._identity.schemes.names(draft.identifiers)
        if not names and draft.customer is None:
            listed = ", ".join(map(str, draft.identifiers))
            raise InputError(
                f"{kind.name!r} names no customer: {listed} is blocked, as many people have it or "
                "nobody has; give another identifier, or the customer's id"
            )
        minor, currency = self._amount(draft)
        if minor is not None and kind.sign < 0:
            minor = -abs(minor)
        at, key, subject = draft.occurred_at, draft.source_key, draft.subject
        without_addresses = self._identity.without_addresses
        return Encoded(
            kind,
            draft,
            names,
            None if at is None else to_instant(at),
            payload,
            personal,
            minor,
            currency,
            None if key is None else without_addresses(key),
            None if subject is None else without_addresses(subject),
        )
