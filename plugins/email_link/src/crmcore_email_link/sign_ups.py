"""Sign-ups: somebody asks for mail, and confirms it by the address itself (double opt-in)."""

from __future__ import annotations

from typing import Any, Final, Literal

from attrs import frozen
from sqlalchemy import and_, bindparam, delete, exists, func, or_, select

from crmcore import (
    Content,
    Context,
    Draft,
    Identifier,
    MessageDraft,
    TimersDue,
    Transaction,
    normalise,
    to_datetime,
)
from crmcore.errors import InputError, nearest
from crmcore_email_link.addresses import parse
from crmcore_email_link.composing import BULK
from crmcore_email_link.letters import CONFIRM
from crmcore_email_link.locking import locked_message, locked_owner
from crmcore_email_link.reading import (
    Owner,
    Sent,
    consent,
    find_named,
    find_owner,
    said_of,
    withheld,
)
from crmcore_email_link.tables import Whole, Words, request
from crmcore_email_link.tokens import Tokens

PENDING: Final = "confirm"
"""What a message's data call what it is to confirm."""

_HOUR: Final = 3_600_000_000
_MINUTE: Final = 60_000_000
_TIMER: Final = "request/"
_NAME: Final = "email_link"
_BARRING: Final = ("blocked", "undeliverable", "complaint")
_NOES: Final = ("withdrawn", "refused", "expired", "merged")
_GRANTS: Final = ("given", "confirmed", "imported")

_r = request.c
_counts: Final = select(
    func.count(),
    func.count().filter(_r.mail_domain == bindparam("domain", type_=Words)),
    func.count().filter(_r.source == bindparam("asker", type_=Words)),
).where(_r.requested_at > bindparam("since", type_=Whole))
_last: Final = select(func.max(_r.requested_at)).where(
    _r.customer_id == bindparam("owner", type_=Whole),
    _r.point == bindparam("about", type_=Words),
)
_barred: Final = (
    select(func.count())
    .select_from(withheld)
    .where(
        withheld.c.point == bindparam("about", type_=Words),
        withheld.c.channel.in_(("email", "*")),
        withheld.c.reason.in_(_BARRING),
        withheld.c.lifted_at.is_(None),
        or_(withheld.c.until.is_(None), withheld.c.until > bindparam("now", type_=Whole)),
    )
)
_agreed: Final = exists().where(
    consent.c.customer_id == _r.customer_id,
    consent.c.point == _r.point,
    consent.c.channel == "email",
    consent.c.purpose == _r.purpose,
    consent.c.effect.in_(_GRANTS),
    consent.c.recorded_at <= bindparam("due", type_=Whole),
)
_expired: Final = select(_r.customer_id, _r.point, _r.purpose, _r.requested_at, ~_agreed).where(
    _r.expires_at <= bindparam("due", type_=Whole)
)
_forget: Final = delete(request).where(
    and_(
        _r.customer_id == bindparam("owner", type_=Whole),
        _r.point == bindparam("about", type_=Words),
        _r.purpose == bindparam("for_purpose", type_=Words),
    )
)


@frozen(kw_only=True)
class SignUpLimits:
    """
    How often somebody may ask, so that nobody is bombed with mails by others.

    Attributes:
        pause_minutes: Between two mails to one address.
        per_domain: Addresses of one domain within an hour.
        per_source: Addresses that one source asked for within an hour.
        in_all: The same of everybody.
    """

    pause_minutes: int
    per_domain: int
    per_source: int
    in_all: int


@frozen(kw_only=True)
class SignedUp:
    """
    What whoever signs up is told: the same, whether the address is known, new or withheld.

    Attributes:
        address: As it was written.
        purpose: What mail was asked for.
    """

    address: str
    purpose: str


@frozen(kw_only=True)
class Confirmed:
    """
    What became of a confirmation.

    Attributes:
        state: `confirmed`; or `void`, where the link is no link of ours, is too old, or nothing is
            open any more.
        purpose: What mail comes now, where it is confirmed.
        customer_id: To whom.
    """

    state: Literal["confirmed", "void"]
    purpose: str | None = None
    customer_id: int | None = None


VOID: Final = Confirmed(state="void")


def check_bulk(purpose: str) -> None:
    """Raise `InputError` unless mail of a purpose can be asked for."""
    if purpose not in BULK:
        raise InputError(
            f"the purpose is {purpose!r}{nearest(purpose, BULK)}; one of "
            f"{', '.join(sorted(BULK))} is expected"
        )


def sign_up(
    tx: Transaction,
    ctx: Context,
    limits: SignUpLimits,
    pending_days: int,
    address: str,
    purpose: Any,
    *,
    wording: str,
    language: str | None,
    source: str | None,
    evidence: str | None,
) -> SignedUp:
    """Ask whoever has an address to confirm that they want mail; see `EmailLink.sign_up`."""
    check_bulk(purpose)
    parsed = parse(address)
    if not wording:
        raise InputError("no wording is given; the text that was seen, such as 'footer/3'")
    guest = normalise("guest_email", parsed.match_key)
    answer = SignedUp(address=address, purpose=purpose)
    now = ctx.clock.now()
    if _is_too_much(ctx, limits, parsed.domain, source or "", now):
        return answer
    owner = locked_owner(ctx, guest.value)
    if owner is not None and not _may_be_asked(ctx, limits, owner, purpose, now):
        return answer
    asked = tx.request_consent(
        guest if owner is None else owner.customer_id,
        purpose,
        "email",
        point=guest.value,
        wording=wording,
        language=language,
        mechanism="form",
        evidence=evidence,
    )
    point, until = asked.subject or "", now + pending_days * 24 * _HOUR
    if owner is None and _last_asked(ctx, asked.customer_id, point) is not None:
        return answer  # somebody was quicker to ask for an address that nobody had
    row = (asked.customer_id, point, purpose, now, until, parsed.domain, source or "")
    ctx.write(request, [dict(zip(request.c.keys(), row, strict=True))])
    ctx.set_timer(f"{_TIMER}{purpose}/{point}", until, asked.customer_id)
    data = {
        "template": CONFIRM,
        PENDING: {"purpose": purpose, "point": point},
        **({"language": language} if language else {}),
    }
    ctx.send(
        MessageDraft(
            key=f"confirm/{purpose}/{now}",
            customer=asked.customer_id,
            purpose="service",
            channel="email",
            content=Content(data=data),
            not_after=until,
            caused_by=asked.id,
        )
    )
    return answer


def _is_too_much(ctx: Context, limits: SignUpLimits, domain: str, source: str, now: int) -> bool:
    rows = ctx.execute(_counts, domain=domain, asker=source, since=now - _HOUR)
    in_all, of_domain, of_source = rows[0]
    return (
        in_all >= limits.in_all
        or of_domain >= limits.per_domain
        or (bool(source) and of_source >= limits.per_source)
    )


def _last_asked(ctx: Context, customer_id: int, point: str) -> int | None:
    found: int | None = ctx.execute(_last, owner=customer_id, about=point)[0][0]
    return found


def _may_be_asked(ctx: Context, limits: SignUpLimits, owner: Owner, purpose: str, now: int) -> bool:
    """Return whether a mail goes to ask: not again so soon, nor where it would change nothing."""
    last = _last_asked(ctx, owner.customer_id, owner.point)
    if last is not None and now - last < limits.pause_minutes * _MINUTE:
        return False
    if ctx.execute(_barred, about=owner.point, now=now)[0][0]:
        return False
    said = said_of(ctx.execute, owner.customer_id, owner.point, purpose)
    no = max((said[effect] for effect in _NOES if effect in said), default=-1)
    return bool(said.get("confirmed", -1) <= no)


def confirm(
    tx: Transaction,
    ctx: Context,
    tokens: Tokens,
    pending_days: int,
    token: object,
    now: int,
    evidence: str | None,
) -> Confirmed:
    """Confirm what a link was sent for; see `EmailLink.confirm`."""
    named = find_named(ctx.execute, tokens, "confirm", token, now)
    # So that of several who follow it at once the second one sees what the first one did.
    sent = locked_message(ctx, named.id) if named is not None else None
    asked = pending_of(sent)
    if sent is None or asked is None or sent.address is None or asked["point"] != sent.point:
        return VOID
    if now > sent.planned_at + pending_days * 24 * _HOUR:
        return VOID
    try:
        found = tx.confirm_consent(
            sent.customer_id,
            asked["purpose"],  # type: ignore[arg-type]  # sign_up checked it
            "email",
            point=sent.address,
            evidence=evidence or f"link of message {sent.key} followed",
        )
    except InputError:
        return VOID  # a no came in between, or it was never open
    owner = find_owner(tx.connection.execute, sent.address)
    if owner is not None and owner.scheme == "guest_email":
        tx.prove(owner.customer_id, Identifier("email", sent.address), reason="double opt-in")
    return Confirmed(state="confirmed", purpose=asked["purpose"], customer_id=found.customer_id)


def pending_of(sent: Sent | None) -> dict[str, str] | None:
    """Return what a message asks to confirm, by purpose and point; None: it is no such message."""
    if sent is None or sent.plugin != _NAME or sent.content is None:
        return None
    found = sent.content.data.get(PENDING)
    return found if isinstance(found, dict) and {"purpose", "point"} <= found.keys() else None


def expire(ctx: Context, event: TimersDue) -> None:
    """Note that what nobody confirmed in time is not open any more, and forget who asked."""
    about = {timer.customer_id for timer in event}
    rows = [row for row in ctx.execute(_expired, due=event.due) if row[0] in about]
    for owner, point, purpose, requested_at, is_open in rows:
        if is_open:
            ctx.record(
                Draft(
                    "consent.expired",
                    customer=owner,
                    payload={"purpose": purpose, "channel": "email"},
                    subject=point,
                    occurred_at=to_datetime(event.due),
                    source_key=f"expired/{purpose}/{point}/{requested_at}",
                )
            )
    ctx.execute_many(
        _forget, [{"owner": row[0], "about": row[1], "for_purpose": row[2]} for row in rows]
    )
