"""Leaving: somebody wants no more mail, by a link, one click, a mail, or the preference centre."""

from __future__ import annotations

import re
from contextlib import suppress
from itertools import islice
from typing import Final

from attrs import frozen

from crmcore import Context, Draft, Transaction
from crmcore.errors import ErasedError
from crmcore_email_link.composing import BULK
from crmcore_email_link.links import UNSUBSCRIBE_BOX
from crmcore_email_link.locking import locked_message
from crmcore_email_link.reading import Sent, find_named, said_of
from crmcore_email_link.sign_ups import pending_of
from crmcore_email_link.tokens import LENGTH_IN_MAILBOX, Tokens

ANY: Final = "*"
_LONGEST: Final = 1_000_000
_MOST_BOXES: Final = 10
_HEAD_END: Final = re.compile(rb"\r?\n\r?\n|\r\r")
_SENT_TO: Final = re.compile(
    r"^(?:delivered-to|x-original-to|envelope-to|to)[ \t]*:.*(?:(?:\r\n?|\n)[ \t].*)*",
    re.IGNORECASE | re.MULTILINE,
)
_BOX: Final = re.compile(
    rf"(?<![\w.+-]){re.escape(UNSUBSCRIBE_BOX)}([a-z2-7]{{{LENGTH_IN_MAILBOX}}})@", re.IGNORECASE
)
_NOES: Final = ("withdrawn", "refused", "merged")
_GRANTS: Final = ("given", "confirmed", "imported", "requested")


@frozen
class Left:
    """
    Somebody wants no more mail.

    Attributes:
        sent: The message by which they said so.
        purpose: Mail of which they want no more; `*`: of any that nobody is owed.
    """

    sent: Sent
    purpose: str


def purpose_of(sent: Sent) -> str:
    """
    Return mail of which purpose ends, where somebody leaves by a message.

    By one that asks to confirm it is what it asks for; by any other that is owed it is all.
    """
    asked = pending_of(sent)
    if asked is not None:
        return asked["purpose"]
    return sent.purpose if sent.purpose in BULK else ANY


def leave(
    tx: Transaction, ctx: Context, tokens: Tokens, token: object, now: int, mechanism: str
) -> Left | None:
    """
    Record that who has a message's token wants no more of it; None: it is no token of ours.

    Told again it changes nothing, unless they agreed anew in between.
    """
    named = find_named(ctx.execute, tokens, "unsubscribe", token, now)
    # So that of several who leave at once the second one sees what the first one did.
    sent = locked_message(ctx, named.id) if named is not None else None
    if sent is None:
        return None
    purpose = purpose_of(sent)
    withdraw(tx, sent, purpose, mechanism)
    return Left(sent, purpose)


def withdraw(tx: Transaction, sent: Sent, purpose: str, mechanism: str) -> None:
    """Record a no for where a message went; what is on its way, and it is about, is withheld."""
    said = said_of(tx.connection.execute, sent.customer_id, sent.point or ANY, purpose)
    no = max((said[effect] for effect in _NOES if effect in said), default=None)
    yes = max((said[effect] for effect in _GRANTS if effect in said), default=None)
    if purpose != ANY and no is not None and (yes is None or yes <= no):
        return
    # Nothing goes to whom the shop has forgotten.
    with suppress(ErasedError):
        tx.record(
            Draft(
                "consent.withdrawn",
                customer=sent.customer_id,
                payload={
                    "purpose": purpose,
                    "channel": "email",
                    "mechanism": mechanism,
                    "reason": sent.key,  # by which message, so that it counts there
                },
                subject=sent.point,
                source="email_link",
                caused_by=sent.caused_by,
            )
        )


def leave_by_mail(
    tx: Transaction, ctx: Context, tokens: Tokens, raw: bytes, now: int
) -> Left | None:
    """
    Record that a mail to `u+TOKEN@` came: nothing in it matters but where it went.

    Who it is from is not looked at, as anybody can write that.
    """
    head = _HEAD_END.split(raw[:_LONGEST], maxsplit=1)[0].decode("ascii", "replace")
    # Whole addresses are not parsed: the standard library fails at some that nobody could have.
    boxes = (box for line in _SENT_TO.finditer(head) for box in _BOX.finditer(line[0]))
    for box in islice(boxes, _MOST_BOXES):
        found = leave(tx, ctx, tokens, box[1], now, "mail")
        if found is not None:
            return found
    return None
