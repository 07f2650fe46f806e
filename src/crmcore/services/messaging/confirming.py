"""Confirming: the second half of a double opt-in, where a first half is open for it."""

from __future__ import annotations

import json
from collections.abc import Iterable

from crmcore.domain.clock import to_instant
from crmcore.domain.consent import ANY, NARROWING, ConsentEntry
from crmcore.domain.identity import Known
from crmcore.domain.interaction import Draft
from crmcore.errors import InputError
from crmcore.persistence.connection import Connection
from crmcore.services.identities.people import People
from crmcore.services.merging.merged_consent import entries_of
from crmcore.services.messaging.consent import ConsentService
from crmcore.services.messaging.withholding import TRUMPED, UNSOLICITED, of_point
from crmcore.services.unit import Unit

_OPENS = frozenset({"requested", "given", "confirmed", "imported"})


def confirmed_before(
    unit: Unit, people: People, consents: ConsentService, draft: Draft, customer: Known
) -> int | None:
    """
    Return the interaction that says already what a confirmation would; None: it is to be recorded.

    That is one of the same key, or the one by which it stands confirmed. Whoever has the contact
    point is locked from here on, so that no withdrawal passes what is recorded next.

    Raises:
        CustomerNotFoundError: If there is no such customer.
        InputError: If nothing of that purpose and channel is open to be confirmed.
    """
    ledger, connection = unit.runtime.ledger, unit.connection
    (encoded,) = consents.completed(unit, [ledger.encode(draft)])
    if encoded.source_key is not None:
        repeated = ledger.find_key(connection, draft.source, encoded.source_key)
        if repeated is not None:
            return repeated
    owner = people.id_of(unit, customer)
    point = encoded.subject or ANY
    payload = json.loads(encoded.payload)
    channel, purpose = payload["channel"], payload["purpose"]
    said = [
        entry
        for entry, _ in entries_of(connection, owner)
        if entry.covers(point, channel, purpose)
        and (draft.occurred_at is None or entry.occurred_at <= to_instant(draft.occurred_at))
    ]
    no = max(_noes(connection, said, point, channel, purpose), default=None)
    # What was imported counts only where nobody ever said no.
    opens = [
        entry
        for entry in said
        if entry.effect in _OPENS
        and (no is None or (entry.occurred_at > no and entry.effect != "imported"))
    ]
    if not opens:
        after = " after the no that was said" if no is not None else ""
        raise InputError(
            f"nothing is open to be confirmed: customer {owner} was neither asked for {purpose!r} "
            f"by {channel} nor agreed to it{after}; request_consent, with the same purpose, "
            "channel and address, is expected before"
        )
    last = max(opens, key=lambda e: (e.occurred_at, e.recorded_at, e.interaction_id))
    return last.interaction_id if last.effect == "confirmed" else None


def _noes(
    connection: Connection, said: Iterable[ConsentEntry], point: str, channel: str, purpose: str
) -> Iterable[int]:
    """Yield when a no was said that is about the same: by them, or by others with the address."""
    yield from (entry.occurred_at for entry in said if entry.effect in NARROWING)
    for each in of_point(connection, point):
        about = (ANY, UNSOLICITED, purpose) if purpose != "service" else (ANY, purpose)
        if (
            each.reason in TRUMPED
            and each.lifted_at is None
            and each.channel in (ANY, channel)
            and each.purpose in about
        ):
            yield each.since
