"""Repeated: what is told again of a key, where it is told otherwise than before."""

from __future__ import annotations

import logging

from crmcore.hooks import IdList
from crmcore.persistence.connection import Connection
from crmcore.services.privacy.erased import erased_among
from crmcore.services.recording.encoding import Encoded
from crmcore.services.recording.ledger import CANCELLED
from crmcore.services.runtime import Runtime

logger = logging.getLogger("crmcore")


def warn_of_difference(
    runtime: Runtime, connection: Connection, told: Encoded, interaction_id: int
) -> None:
    """
    Log a warning where what was *told* is not what was recorded first under its key.

    That stands, as it should where a webhook comes twice; where a key is given to two things, the
    second is lost, and somebody has to hear of it.
    """
    (kept,) = runtime.ledger.read(connection, IdList((interaction_id,)))
    differs = []
    if told.kind.name != kept.kind:
        differs.append("kind")
    amount = told.amount_minor, told.currency
    is_derived = told.amount_minor is None and kept.kind == CANCELLED
    if amount != (kept.amount_minor, kept.currency) and not is_derived:
        differs.append("amount")
    if not _is_of(runtime, connection, told, kept.customer_id):
        differs.append("customer")
    if differs:
        logger.warning(
            "%s %d was recorded before under this source and key, and what is told now differs "
            "in its %s; what was recorded first stands",
            kept.kind,
            interaction_id,
            " and ".join(differs),
        )


def _is_of(runtime: Runtime, connection: Connection, told: Encoded, owner: int) -> bool:
    """Return whether what was told is, for all we know, of a customer."""
    identity, given = runtime.identity, told.draft.customer
    if given is not None:
        return identity.present(connection, [given])[given] == owner
    if owner in identity.find(connection, told.names).values():
        return True
    return bool(erased_among(connection, [owner]))  # whom no name leads to any more
