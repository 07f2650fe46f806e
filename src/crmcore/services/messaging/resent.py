"""Resent: what is sent again under a key, where it says something else than before."""

from __future__ import annotations

import logging

from crmcore.domain.message import Message, MessageDraft

logger = logging.getLogger("crmcore")


def warn_of_difference(draft: MessageDraft, planned: Message) -> None:
    """
    Log a warning where a draft is not what was *planned* first under its key for its customer.

    That stands, as nobody is to get anything twice; what was given now does not go.
    """
    differs = [
        name
        for name in ("purpose", "channel", "asks", "priority")
        if getattr(draft, name) != getattr(planned, name)
    ]
    # Once emptied, nobody knows what it said.
    if planned.content is not None and draft.content.to_json() != planned.content.to_json():
        differs.append("content")
    if differs:
        logger.warning(
            "message %d was planned before under the key %r, and what is given now differs in its "
            "%s; it does not go, and what was planned first stands",
            planned.id,
            planned.key,
            " and ".join(differs),
        )
