"""Messages: what the shop wants to say, on which channel, for which purpose."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, Literal, get_args

from attrs import field, frozen

from crmcore.domain.consent import Purpose
from crmcore.domain.identity import Known

State = Literal[
    "planned", "claimed", "handed", "accepted", "deferred", "failed", "unknown", "withheld"
]
STATES: Final[tuple[State, ...]] = get_args(State)
PENDING: Final = frozenset({"planned", "claimed", "handed", "deferred"})
"""The states of what is still to come; in all others it is settled."""

OnUnknown = Literal["leave", "resend"]
"""
What becomes of a message of which nobody knows whether the provider took it: nothing, so that
nobody gets it twice; or it is sent again, so that nobody misses it.
"""


@frozen(kw_only=True)
class Content:
    """
    What a message says, in the parts that its channel has.

    Attributes:
        subject: Of an email.
        text: Plain text; the whole of an SMS.
        html: The same in HTML, for channels that show it.
        headers: More headers of an email, such as `List-Unsubscribe`.
        data: What whoever renders it needs to know; JSON. It is personal, as all of this is.
    """

    text: str = ""
    subject: str | None = None
    html: str | None = None
    headers: Mapping[str, str] = field(factory=dict)
    data: Mapping[str, Any] = field(factory=dict)


@frozen(kw_only=True)
class MessageDraft:
    """
    Something to be said to one customer.

    Attributes:
        key: What it is, such as `news-2026-11` or `order-shipped/4711`: a customer gets it once.
        purpose: Has no default: whoever writes it has to say.
        asks: Whether it asks the customer for something, which has a budget of its own.
        priority: Of several that a cap does not let through together, the highest goes first.
        not_before, not_after: When it may go; after *not_after* it is withheld.
        caused_by: The interaction that led to it, by id.
    """

    key: str
    customer: Known
    purpose: Purpose
    channel: str
    content: Content
    asks: bool = False
    priority: int = 0
    not_before: datetime | int | None = None
    not_after: datetime | int | None = None
    caused_by: int | None = None


@frozen(kw_only=True)
class Message:
    """
    A message as it stands; instants in microseconds.

    Attributes:
        gate: Which gate withholds it or makes it wait, such as `consent` or `cap`; None: none.
        reason: What that gate said, in a sentence; or what the provider said.
        address: The identifier it goes to, such as `ada@example.com`; None if there is none.
    """

    id: int
    key: str
    plugin: str
    customer_id: int
    purpose: Purpose
    channel: str
    state: State
    priority: int
    asks: bool
    planned_at: int
    not_before: int
    not_after: int | None
    gate: str | None
    reason: str | None
    attempt: int
    handed_at: int | None
    settled_at: int | None
    provider_reference: str | None
    caused_by: int | None
    content: Content | None
    address: str | None = None


@frozen(kw_only=True)
class Channel:
    """
    A way to reach customers.

    Attributes:
        scheme: Of the identifiers it reaches: `email`, `phone`.
        idempotent: Whether the provider takes a key by which it knows a message it had before.
        on_unknown: What becomes of a message nobody knows the fate of, by purpose; all others are
            left. With an idempotent provider it is always sent again, with the same key.
        at_once: How many messages one call may carry.
    """

    name: str = field(kw_only=False)
    scheme: str
    idempotent: bool = False
    on_unknown: Mapping[Purpose, OnUnknown] = field(factory=dict)
    at_once: int = 1


@frozen(kw_only=True)
class Delivery:
    """One message on its way: what a channel is handed."""

    message: Message
    content: Content
    address: str
    idempotency_key: str


@frozen
class Accepted:
    """The provider took it; *reference* is its name for it."""

    reference: str | None = None


@frozen
class Deferred:
    """Not now: it is tried again, not before *retry_after* (seconds) if the provider said so."""

    reason: str
    retry_after: float | None = None


@frozen
class Failed:
    """
    The provider will not take it, now or later.

    Attributes:
        undeliverable: Whether the contact point itself is at fault: nothing goes there any more.
    """

    reason: str
    undeliverable: bool = False


@frozen
class Unknown:
    """Nobody can tell whether the provider took it."""

    reason: str


Outcome = Accepted | Deferred | Failed | Unknown
