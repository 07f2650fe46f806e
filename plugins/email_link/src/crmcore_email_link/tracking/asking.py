"""Asking: who ticks the box in the preference centre confirms it by the address itself."""

from __future__ import annotations

from typing import Final

from sqlalchemy import bindparam, func, select

from crmcore import Content, Context, MessageDraft, Transaction
from crmcore.errors import ErasedError
from crmcore_email_link.letters import ASK_TRACKING
from crmcore_email_link.reading import Execute, Sent, message
from crmcore_email_link.tables import Whole
from crmcore_email_link.tracking.consents import allow, allowed_among, refuse, refused_at

ASKED: Final = "tracking"
"""What a message's data call what it asks to allow."""

_NAME: Final = "email_link"
_DAY: Final = 86_400_000_000
_KEY: Final = "tracking/"

_m = message.c
_asked: Final = select(func.count()).where(
    _m.customer_id == bindparam("owner", type_=Whole),
    _m.plugin == _NAME,
    func.substr(_m.message_key, 1, len(_KEY)) == _KEY,
    _m.planned_at >= bindparam("no", type_=Whole),
)


def ask(
    ctx: Context, sent: Sent, now: int, *, wording: str, language: str, pending_days: int
) -> None:
    """
    Send a mail by whose link its reader allows it: who was forwarded one of ours is not they.

    There is one such mail a day for each customer, however often the box is ticked.
    """
    data = {
        "template": ASK_TRACKING,
        ASKED: {"wording": wording, "point": sent.point},
        "language": language,
    }
    ctx.send(
        MessageDraft(
            key=f"{_KEY}{ctx.calendar.day_of(now)}",
            customer=sent.customer_id,
            purpose="service",
            channel="email",
            content=Content(data=data),
            not_after=now + pending_days * _DAY,
        )
    )


def asked_of(sent: Sent | None) -> dict[str, str] | None:
    """Return what a message asks to allow, by wording and point; None: it is no such message."""
    if sent is None or sent.plugin != _NAME or sent.content is None:
        return None
    found = sent.content.data.get(ASKED)
    return found if isinstance(found, dict) and {"wording", "point"} <= found.keys() else None


def allow_as_asked(tx: Transaction, sent: Sent, now: int, pending_days: int) -> bool:
    """Record that who was asked by a message allows it; False: the link holds no longer."""
    asked = asked_of(sent)
    if asked is None or asked["point"] != sent.point or sent.address is None:
        return False
    if now > sent.planned_at + pending_days * _DAY:
        return False
    execute = tx.connection.execute
    if is_allowed(execute, sent.customer_id, now):
        return True
    no = refused_at(execute, sent.customer_id)
    if no is not None and no >= sent.planned_at:
        return False  # they thought better of it
    language = sent.content.data.get("language") if sent.content is not None else None
    try:
        allow(
            tx,
            sent.customer_id,
            wording=asked["wording"],
            language=language if isinstance(language, str) else None,
            mechanism="double_opt_in",
            evidence=f"link of message {sent.key} followed",
        )
    except ErasedError:
        return False
    return True


def refuse_by_link(tx: Transaction, sent: Sent, now: int) -> None:
    """Record that who got a mail wants no tracking; told again it is nothing new, until asked."""
    execute, owner = tx.connection.execute, sent.customer_id
    no = refused_at(execute, owner)
    if no is None or is_allowed(execute, owner, now) or execute(_asked, owner=owner, no=no)[0][0]:
        refuse(tx, sent.customer_id, now, mechanism="link")


def is_allowed(execute: Execute, customer: int, now: int) -> bool:
    """Return whether a customer allows it."""
    return bool(allowed_among(execute, [customer], now))
