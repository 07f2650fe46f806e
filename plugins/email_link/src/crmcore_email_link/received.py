"""Received: what came back as it came, so that one can go back to it; for a while."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

from attrs import frozen
from sqlalchemy import bindparam, delete, func, select

from crmcore import Context, TimersDue
from crmcore_email_link.locking import locked_message
from crmcore_email_link.reading import Execute
from crmcore_email_link.tables import Whole, Words, received

LONGEST: Final = 65_536
"""Characters of one that are kept; a bounce says what it says long before."""

MOST: Final = 20
"""Of one message; whoever has its return path could fill the database otherwise."""

TIMER: Final = "received"

_DAY: Final = 86_400_000_000

_r = received.c
_count: Final = select(func.count()).where(
    _r.customer_id == bindparam("owner", type_=Whole),
    _r.message_id == bindparam("number", type_=Whole),
)
_known: Final = select(func.count()).where(
    _r.customer_id == bindparam("owner", type_=Whole),
    _r.source == bindparam("by", type_=Words),
    _r.event == bindparam("known_as", type_=Words),
)
_forget: Final = delete(received).where(_r.received_at < bindparam("before", type_=Whole))
_of_message: Final = (
    select(_r.source, _r.event, _r.received_at, _r.kind, _r.raw)
    .where(_r.message_id == bindparam("number", type_=Whole))
    .order_by(_r.received_at, _r.source, _r.event)
)


@frozen(kw_only=True)
class Received:
    """
    Something that came back, as it came.

    Attributes:
        source: Who told it, such as `ses`; or `mail`.
        event: By which it is known again.
        received_at: When it came, in microseconds.
        kind: What it was taken for then, such as `hard`.
        raw: What came, cut off where it is long. Octets that are no text are written as a
            backslash, `x` and two digits.
    """

    source: str
    event: str
    received_at: int
    kind: str
    raw: str


def keep(
    ctx: Context, number: int, *, source: str, event: str, kind: str, raw: bytes | str, now: int
) -> None:
    """
    Keep what came back of a message; told again it stands as it came first.

    What is about nobody we wrote to is not kept, as nobody could say whose it is when they want
    to be forgotten; nor is anything of who has been.
    """
    sent = locked_message(ctx, number)
    if sent is None:
        return
    known_as = hashlib.sha256(event.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    whose = {"owner": sent.customer_id}
    if ctx.execute(_known, by=source, known_as=known_as, **whose)[0][0]:
        return
    if ctx.execute(_count, number=sent.id, **whose)[0][0] >= MOST:
        return
    row = (sent.customer_id, source, known_as, sent.id, now, kind, storable(raw))
    ctx.write(received, [dict(zip(received.c.keys(), row, strict=True))])


def received_of(execute: Execute, number: int) -> Sequence[Received]:
    """Return what came back of a message, in order."""
    names = ("source", "event", "received_at", "kind", "raw")
    rows = execute(_of_message, number=number)
    return [Received(**dict(zip(names, row, strict=True))) for row in rows]


def forget_old(ctx: Context, event: TimersDue, days: int) -> None:
    """Forget what was kept for long enough, and look again tomorrow."""
    ctx.execute_many(_forget, [{"before": event.until - days * _DAY}])
    ctx.set_timer(TIMER, event.until + _DAY, catch_up="merge")


def begin(ctx: Context) -> None:
    """See to it that somebody looks, once a day."""
    if ctx.find_timer(TIMER) is None:
        ctx.set_timer(TIMER, ctx.clock.now() + _DAY, catch_up="merge")


def storable(raw: bytes | str) -> str:
    r"""
    Return what came as text that every database can hold.

    >>> storable(b"Gr\xfc\xc3\x9fe\0")
    'Gr\\xfcße\\x00'
    """
    cut = raw[:LONGEST]
    octets = cut.encode("utf-8", "backslashreplace") if isinstance(cut, str) else cut
    return octets.decode("utf-8", "backslashreplace").replace("\0", "\\x00")[:LONGEST]
