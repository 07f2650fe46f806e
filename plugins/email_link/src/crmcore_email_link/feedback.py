"""What comes back: bounces, complaints and what providers tell, made into facts of the ledger."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any, Final, Literal

from attrs import frozen

from crmcore import Draft, Erased, Kind, Transaction, personal, to_datetime
from crmcore.errors import ErasedError
from crmcore_email_link import complaints
from crmcore_email_link.bounces import classify
from crmcore_email_link.leaving import leave_by_mail, purpose_of, withdraw
from crmcore_email_link.reading import Sent, find_sent
from crmcore_email_link.tokens import Tokens
from crmcore_email_link.webhooks import Feedback

What = Literal["hard", "soft", "block", "complaint", "unsubscribed", "delivered"]

BLOCKED: Final = "email_link.blocked"
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


KINDS: Final = (
    Kind(
        BLOCKED,
        payload=Blocked,
        follows=True,
        description="A message was refused for a reason of ours, such as reputation or policy.",
    ),
)
_KIND_OF: Final[dict[What, str]] = {
    "hard": "message.bounced",
    "soft": "message.bounced",
    "block": BLOCKED,
    "complaint": "message.complained",
    "delivered": "message.delivered",
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
        number = tokens.read("verp", candidate, at=now)
        sent = find_sent(tx.connection.execute, number) if number is not None else None
        if sent is not None and sent.handed_at is not None:
            return sent
    return None


def take_mail(tx: Transaction, tokens: Tokens, raw: bytes, now: int) -> Taken | None:
    """
    Take a mail that came to the mailbox of return paths, or of unsubscribing, as what it is.

    Taken twice it is recorded once: of one message there is one bounce of each kind.
    """
    left = leave_by_mail(tx, tokens, raw, now)
    if left is not None:
        return Taken(what="unsubscribed", sent=left.sent, interaction_id=None)
    complaint = complaints.parse(raw)
    if complaint is not None:
        sent = find_ours(tx, tokens, complaint.token, complaint.message_id, now)
        if sent is None or not complaint.suppresses:
            return None
        opts_out = complaint.feedback_type != "abuse"
        what: What = "unsubscribed" if opts_out else "complaint"
        return _take(tx, sent, _of_mail(what, sent, now, complaint.user_agent, None))
    report = classify(raw)
    sent = find_ours(tx, tokens, report.token, report.message_id, now)
    kind = report.kind
    if sent is None or kind not in ("hard", "soft", "block", "delivered"):
        return None
    worst = next((each for each in report.recipients if each.kind == kind), None)
    reason = worst.diagnostic if worst is not None else None
    status = worst.status if worst is not None else None
    return _take(tx, sent, _of_mail(kind, sent, now, reason, status))


def take_feedback(
    tx: Transaction, tokens: Tokens, events: Iterable[Feedback], now: int
) -> list[Taken]:
    """
    Take what a provider told, once it was verified; what is told twice is recorded once.

    In any order: what was refused, or complained of, stays so whatever is told of it later. Opens
    and clicks are left out, as nobody was asked whether they may be looked at.
    """
    taken = []
    for event in events:
        what = event.kind
        if what not in ("hard", "soft", "block", "complaint", "unsubscribed", "delivered"):
            continue
        sent = find_ours(tx, tokens, event.token, event.message_id, now)
        if sent is None:
            continue
        key = hashlib.sha256(event.event_id.encode()).hexdigest()[:32]
        told = _Told(
            what=what,
            source=f"email_link:{event.provider}",
            key=f"{key}/{what}",
            at=min(event.at, now),
            reason=event.reason,
            status=event.status,
        )
        taken.append(_take(tx, sent, told))
    return taken


def _of_mail(what: What, sent: Sent, now: int, reason: str | None, status: str | None) -> _Told:
    return _Told(
        what=what,
        source="email_link:mail",
        key=f"{sent.id}/{sent.planned_at}/{what}",
        at=now,
        reason=reason,
        status=status,
    )


def _take(tx: Transaction, sent: Sent, told: _Told) -> Taken:
    if told.what == "unsubscribed":
        withdraw(tx, sent, purpose_of(sent), "provider")
        return Taken(what=told.what, sent=sent, interaction_id=None)
    payload: dict[str, Any] = {"message": sent.key}
    if told.what != "delivered" and told.reason:
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
