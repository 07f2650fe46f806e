"""What comes back: bounces, complaints and what providers tell, made into facts of the ledger."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any, Final, Literal

from attrs import frozen

from crmcore import Context, Draft, Erased, Kind, Transaction, personal, to_datetime
from crmcore.errors import ErasedError
from crmcore_email_link import complaints
from crmcore_email_link.bounces import classify
from crmcore_email_link.leaving import leave_by_mail, purpose_of, withdraw
from crmcore_email_link.reading import Sent, find_named
from crmcore_email_link.received import keep
from crmcore_email_link.tokens import Tokens
from crmcore_email_link.tracking.hits import Told as Hit
from crmcore_email_link.tracking.hits import What as Followable
from crmcore_email_link.tracking.hits import record_hit
from crmcore_email_link.tracking.tracker import Tracker
from crmcore_email_link.webhooks import Feedback

What = Literal["hard", "soft", "block", "complaint", "unsubscribed", "delivered", "reported"]

BLOCKED: Final = "email_link.blocked"
REPORTED: Final = "email_link.reported"
_MAIL: Final = "mail"
_UNTOLD: Final = ("opened", "clicked")
_PRIVATE: Final = frozenset({"auto_reply"})
_LONGEST_KIND: Final = 40
_LONGEST_REASON: Final = 500


@frozen(kw_only=True)
class Blocked:
    """
    A message was refused for what we are or what it says; nothing is wrong with the address.

    Attributes:
        message: Its key.
        status: The enhanced status code, such as `5.7.1`.
        reason: What the receiver said.
    """

    message: str | None = None
    status: str | None = None
    reason: str | Erased | None = personal(default=None)


@frozen(kw_only=True)
class Reported:
    """
    A provider passed on a report that asks for nothing, such as that a mail was no spam after all.

    Attributes:
        message: Its key.
        report: What kind of report, as RFC 5965 and its registry call it: `not-spam`, `fraud`,
            `auth-failure`.
    """

    message: str | None = None
    report: str = "other"


KINDS: Final = (
    Kind(
        BLOCKED,
        payload=Blocked,
        follows=True,
        description="A message was refused for a reason of ours, such as reputation or policy.",
    ),
    Kind(
        REPORTED,
        payload=Reported,
        follows=True,
        description="A provider passed on a report that asks for nothing, such as not-spam.",
    ),
)
_KIND_OF: Final[dict[What, str]] = {
    "hard": "message.bounced",
    "soft": "message.bounced",
    "block": BLOCKED,
    "complaint": "message.complained",
    "delivered": "message.delivered",
    "reported": REPORTED,
}


@frozen(kw_only=True)
class Taken:
    """
    Something came back and was understood.

    Attributes:
        what: What it was.
        sent: The message it is about.
        interaction_id: What was recorded of it, or had been before; None: nothing had to be.
    """

    what: What
    sent: Sent
    interaction_id: int | None


@frozen(kw_only=True)
class _Told:
    """What is told of one message, whoever tells it."""

    what: What
    source: str
    key: str
    at: int
    reason: str | None = None
    status: str | None = None
    report: str | None = None


def find_ours(
    tx: Transaction, tokens: Tokens, token: str | None, message_id: str | None, now: int
) -> Sent | None:
    """
    Return the message that something is about, by our own token alone; None: it is none of ours.

    The token stands in the return path, and again in the Message-ID. An address in a report names
    nobody: anybody can write one. Nor can anything come back of what was never handed over.
    """
    local = (message_id or "").strip().strip("<>").partition("@")[0]
    for candidate in (token, local.rpartition(".")[2]):
        sent = find_named(tx.connection.execute, tokens, "verp", candidate, now)
        if sent is not None and sent.handed_at is not None:
            return sent
    return None


def take_mail(tx: Transaction, ctx: Context, tokens: Tokens, raw: bytes, now: int) -> Taken | None:
    """
    Take a mail that came to the mailbox of return paths, or of unsubscribing, as what it is.

    Taken twice it is recorded once: of one message there is one bounce of each kind. As it came it
    is kept for a while, unless it is what somebody wrote while away, which is theirs.
    """
    left = leave_by_mail(tx, ctx, tokens, raw, now)
    if left is not None:
        _keep_mail(ctx, left.sent, "unsubscribed", raw, now)
        return Taken(what="unsubscribed", sent=left.sent, interaction_id=None)
    complaint = complaints.parse(raw)
    if complaint is not None:
        sent = find_ours(tx, tokens, complaint.token, complaint.message_id, now)
        if sent is None:
            return None
        what, said = _complained(complaint)
        _keep_mail(ctx, sent, what, raw, now)
        return _take(tx, sent, _of_mail(what, sent, now, reason=said, report=said))
    report = classify(raw)
    sent = find_ours(tx, tokens, report.token, report.message_id, now)
    if sent is None or report.kind in _PRIVATE:
        return None
    _keep_mail(ctx, sent, report.kind, raw, now)
    kind = report.kind
    if kind not in ("hard", "soft", "block", "delivered"):
        return None
    worst = next((each for each in report.recipients if each.kind == kind), None)
    reason = worst.diagnostic if worst is not None else None
    status = worst.status if worst is not None else None
    return _take(tx, sent, _of_mail(kind, sent, now, reason=reason, status=status))


def _complained(complaint: complaints.ComplaintReport) -> tuple[What, str | None]:
    """Return what a complaint asks for, and what is said of it."""
    if not complaint.suppresses:
        return "reported", complaint.feedback_type
    return ("complaint" if complaint.feedback_type == "abuse" else "unsubscribed"), (
        complaint.user_agent
    )


def take_feedback(
    tx: Transaction,
    ctx: Context,
    tokens: Tokens,
    events: Iterable[Feedback],
    now: int,
    tracker: Tracker,
) -> list[Taken]:
    """
    Take what a provider told, once it was verified; what is told twice is recorded once.

    In any order: what was refused, or complained of, stays so whatever is told of it later. Opens
    and clicks are taken of those alone who allow the shop to see them, and never kept as they came.
    """
    events = list(events)
    followed = [
        (event, sent)
        for event in events
        if event.kind in _UNTOLD
        and tracker.keeps(event.kind)
        and not ctx.has_debt  # a no may not have reached the tables yet
        and (sent := find_ours(tx, tokens, event.token, event.message_id, now)) is not None
    ]
    ours = [
        (event, sent)
        for event in events
        if event.kind not in _UNTOLD
        and (sent := find_ours(tx, tokens, event.token, event.message_id, now)) is not None
    ]
    for owner in sorted({sent.customer_id for _, sent in (*ours, *followed)}):
        ctx.cancel_timer("none", owner)  # in the order in which everybody locks customers
    for event, sent in followed:
        _take_followed(tx, tracker, event, sent, now)
    taken = []
    for event, sent in ours:
        keep(
            ctx,
            sent.id,
            source=event.provider,
            event=f"{event.event_id}/{event.kind}",
            kind=event.kind,
            raw=event.raw,
            now=now,
        )
        what = event.kind
        if what not in ("hard", "soft", "block", "complaint", "unsubscribed", "delivered"):
            continue
        key = hashlib.sha256(event.event_id.encode("utf-8", "surrogatepass")).hexdigest()[:32]
        told = _Told(
            what=what,
            source=f"email_link:{event.provider}",
            key=f"{key}/{what}",
            at=max(min(event.at, now), sent.handed_at or now),
            reason=event.reason,
            status=event.status,
        )
        taken.append(_take(tx, sent, told))
    return taken


def _take_followed(
    tx: Transaction, tracker: Tracker, event: Feedback, sent: Sent, now: int
) -> None:
    """Record what a provider tells of an open or a click: that it was, and nothing of who asked."""
    what: Followable = "opened" if event.kind == "opened" else "clicked"
    mailed = tracker.find(tx.connection.execute, what, sent.id, now)
    if mailed is None:
        return
    key = hashlib.sha256(event.event_id.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    at = max(min(event.at, now), sent.handed_at or now)
    is_early = mailed.is_early(at, tracker.pause)
    told = Hit(
        what=what,
        at=at,
        seen_as="machine" if is_early else "unknown",
        why="early" if is_early else "provider",
        source=f"email_link:{event.provider}",
        source_key=f"{key}/{what}",
    )
    record_hit(tx, mailed, told)


def _keep_mail(ctx: Context, sent: Sent, kind: str, raw: bytes, now: int) -> None:
    event = hashlib.sha256(raw).hexdigest()
    keep(ctx, sent.id, source=_MAIL, event=event, kind=kind, raw=raw, now=now)


def _of_mail(
    what: What,
    sent: Sent,
    now: int,
    *,
    reason: str | None = None,
    status: str | None = None,
    report: str | None = None,
) -> _Told:
    return _Told(
        what=what,
        source="email_link:mail",
        key=f"{sent.id}/{sent.planned_at}/{what if what != 'reported' else report}",
        at=now,
        reason=reason,
        status=status,
        report=report,
    )


def _take(tx: Transaction, sent: Sent, told: _Told) -> Taken:
    if told.what == "unsubscribed":
        withdraw(tx, sent, purpose_of(sent), "provider")
        return Taken(what=told.what, sent=sent, interaction_id=None)
    payload: dict[str, Any] = {"message": sent.key}
    if told.what == "reported":
        payload["report"] = _printable(told.report or "other")[:_LONGEST_KIND]
    elif told.what != "delivered" and told.reason:
        payload["reason"] = _printable(told.reason)
    if told.what in ("hard", "soft"):
        payload["bounce"] = told.what
    if told.what in ("hard", "soft", "complaint") and sent.address is not None:
        payload["address"] = sent.address
    if told.what == "block" and told.status is not None:
        payload["status"] = _printable(told.status)
    draft = Draft(
        _KIND_OF[told.what],
        customer=sent.customer_id,
        channel="email",
        payload=payload,
        occurred_at=to_datetime(told.at),
        source=told.source,
        source_key=told.key,
    )
    try:
        found: int | None = tx.record(draft).id
    except ErasedError:
        found = None  # nothing goes to whom the shop has forgotten
    return Taken(what=told.what, sent=sent, interaction_id=found)


def _printable(text: str) -> str:
    """Return what a receiver said, as every database can store it."""
    kept = "".join(each if each.isprintable() else " " for each in text[:_LONGEST_REASON])
    return " ".join(kept.split())
