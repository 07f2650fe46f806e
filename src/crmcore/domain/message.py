"""Messages: what the shop wants to say, on which channel, for which purpose."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, Literal, Required, TypedDict, get_args

from attrs import asdict, field, frozen

from crmcore.domain.clock import to_datetime, to_instant
from crmcore.domain.consent import PURPOSES, Purpose
from crmcore.domain.identity import Known
from crmcore.domain.structuring import unfit
from crmcore.errors import InputError, nearest

State = Literal[
    "planned", "claimed", "handed", "accepted", "deferred", "failed", "unknown", "withheld"
]
STATES: Final[tuple[State, ...]] = get_args(State)
PENDING: Final = frozenset({"planned", "claimed", "handed", "deferred"})
"""The states of what is still to come; in all others it is settled."""

LONGEST_KEY: Final = 255
_HIGHEST: Final = 1_000_000

OnUnknown = Literal["leave", "resend"]
"""
What becomes of a message of which nobody knows whether the provider took it: nothing, so that
nobody gets it twice; or it is sent again, once, so that hardly anybody misses it.
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

    def to_json(self) -> str:
        """Return it as JSON, without the parts that say nothing."""
        found = {name: value for name, value in asdict(self).items() if value}
        return json.dumps(found, ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Content:
        """Return what `to_json` wrote."""
        return cls(**json.loads(text))


@frozen(kw_only=True)
class MessageDraft:
    """
    Something to be said to one customer.

    Attributes:
        key: What it is, such as `news-2026-11` or `order-shipped/4711`: a customer gets it once.
        customer: Whom it is for, by id or identifier.
        purpose: Has no default: whoever writes it has to say.
        channel: On which it goes, such as `email`.
        content: What it says.
        asks: Whether it asks the customer for something, which has a budget of its own.
        priority: Of several that a cap does not let through together, the highest goes first.
        not_before: When it may go at the earliest: an aware datetime, or microseconds.
        not_after: After when it is withheld instead.
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
        id: Its own.
        key: What it is, such as `news-2026-11`.
        plugin: Whose it is; empty: the shop's own.
        customer_id: Whom it is for.
        purpose: What it is for.
        channel: On which it goes.
        state: Where it stands.
        priority: Of several that a cap does not let through together, the highest goes first.
        asks: Whether it asks the customer for something.
        planned_at: When it was planned.
        not_before: When it may go at the earliest, as far as is known.
        not_after: After when nobody wants it; None: it has no end.
        gate: Which gate withholds it or makes it wait, such as `consent` or `cap`; None: none.
        reason: What that gate said, in a sentence; or what the provider said.
        attempt: How many attempts there were.
        handed_at: When it was last handed over; None: never.
        settled_at: When nothing more was to become of it; None until then.
        provider_reference: The provider's name for it.
        caused_by: The id of the interaction that led to it.
        content: What it says; None once it was emptied.
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
        name: As messages give it, such as `email`.
        scheme: Of the identifiers it reaches: `email`, `phone`.
        idempotent: Whether the provider takes a key by which it knows a message it had before.
        on_unknown: What becomes of a message nobody knows the fate of, by purpose; all others are
            left. With an idempotent provider it is always sent again, with the same key.
        at_once: How many messages one call may carry.
        answers_within: Seconds that one call may take. Of what was handed over and not answered by
            then nobody knows the fate, as after a crash.
    """

    name: str = field(kw_only=False)
    scheme: str
    idempotent: bool = False
    on_unknown: Mapping[Purpose, OnUnknown] = field(factory=dict)
    at_once: int = 1
    answers_within: float = 60.0


class BroadcastFields(TypedDict, total=False):
    """What a broadcast says beside its key; the first three are required."""

    purpose: Required[Purpose]
    channel: Required[str]
    content: Required[Content]
    asks: bool
    priority: int


@frozen(kw_only=True)
class Broadcast:
    """
    Something that is said to many at once.

    Attributes:
        key: What it is, such as `news-2026-11`.
        plugin: Whose it is; empty: the shop's own.
        purpose: What it is for.
        channel: On which it goes.
        audience: How many it was planned for; counted then, and never again.
        planned_at: When it was planned, in microseconds.
        paused_at: Since when it is paused, in microseconds; None: it is not.
        stopped_at: When it was called off, in microseconds; None: it was not.
        actor: Who planned it, where the shop said so.
        states: How many of them stand in which state; they always add up to the audience.
    """

    key: str
    plugin: str
    purpose: Purpose
    channel: str
    audience: int
    planned_at: int
    paused_at: int | None
    stopped_at: int | None
    actor: str | None
    states: Mapping[State, int]

    @property
    def pending(self) -> int:
        """How many are still to come."""
        return sum(count for state, count in self.states.items() if state in PENDING)


@frozen(kw_only=True)
class Delivery:
    """
    One message on its way: what a channel is handed.

    Attributes:
        message: The message.
        content: What it says, after plugins prepared it.
        address: Where it goes, such as `ada@example.com`.
        idempotency_key: By which a provider knows it again: the same in every attempt.
    """

    message: Message
    content: Content
    address: str
    idempotency_key: str


@frozen
class Accepted:
    """
    The provider took it; *reference* is its name for it.

    Attributes:
        reference: The provider's name for the message, by which it tells of it later.
    """

    reference: str | None = None


@frozen
class Deferred:
    """
    Not now: it is tried again, not before *retry_after* (seconds) if the provider said so.

    Attributes:
        reason: What the provider said.
        retry_after: Seconds before which it is not tried again, where the provider said so.
        counts: Whether it was an attempt, after eight of which a message has failed. It was none
            where nobody was asked: it was not its turn, or nobody could be reached at all.
            Unless *retry_after* says when, it is tried again after an eighth of the time it waits
            already, from a minute to half an hour.
    """

    reason: str
    retry_after: float | None = None
    counts: bool = True


@frozen
class Failed:
    """
    The provider will not take it, now or later.

    Attributes:
        reason: What the provider said.
        undeliverable: Whether the contact point itself is at fault: nothing goes there any more.
    """

    reason: str
    undeliverable: bool = False


@frozen
class Unknown:
    """
    Nobody can tell whether the provider took it.

    Attributes:
        reason: What is known of it.
    """

    reason: str


Outcome = Accepted | Deferred | Failed | Unknown
"""What a channel says became of one attempt at a message."""


def check_key(key: object) -> str:
    """Return what a message is called; raises `InputError` if it is no such name."""
    if not isinstance(key, str) or not 0 < len(key) <= LONGEST_KEY:
        raise InputError(
            f"the message's key is {key!r}; text of 1 to {LONGEST_KEY} characters is expected, "
            "such as 'news-2026-11'"
        )
    for problem in unfit(key, "key"):
        raise InputError(problem)
    return key


def check_purpose(purpose: object) -> Purpose:
    """Return what a message is for; raises `InputError` if there is no such purpose."""
    if not isinstance(purpose, str) or purpose not in PURPOSES:
        hint = nearest(purpose, PURPOSES)
        raise InputError(
            f"the message's purpose is {purpose!r}{hint}; one of {', '.join(PURPOSES)} is expected"
        )
    return purpose


def check_content(content: object) -> Content:
    """Return what a message says; raises `InputError` if it cannot be kept."""
    if not isinstance(content, Content):
        raise InputError(
            f"the message's content is {content!r}; Content is expected, such as "
            "Content(text='Your parcel left')"
        )
    for name, wanted in (("text", str), ("subject", str | None), ("html", str | None)):
        value = getattr(content, name)
        if not isinstance(value, wanted):
            raise InputError(f"the content's {name} is {value!r}; text is expected")
    if not all(isinstance(each, str) for each in content.headers.values()):
        raise InputError(f"the content's headers are {content.headers!r}; text is expected in each")
    for problem in unfit(asdict(content), "content"):
        raise InputError(problem)
    return content


_BITS: Final = 64


def check_instant(name: str, moment: object) -> int | None:
    """Return an instant in microseconds; raises `InputError` if it is none."""
    if moment is None:
        return None
    if type(moment) is int:
        to_datetime(moment)  # raises where no calendar has such a day
        return moment
    if not isinstance(moment, datetime):
        raise InputError(
            f"the message's {name} is {moment!r}; an aware datetime, or microseconds since 1970, "
            "is expected"
        )
    return to_instant(moment)


def check_draft(draft: object) -> MessageDraft:
    """Return a draft whose fields are right; raises an `InputError` that names the one that is not.

    Its channel and customer are looked up where it is planned.
    """
    if not isinstance(draft, MessageDraft):
        raise InputError(f"{draft!r} is no message; a MessageDraft is expected")
    check_key(draft.key)
    check_purpose(draft.purpose)
    check_content(draft.content)
    check_terms(draft.asks, draft.priority)
    check_instant("not_before", draft.not_before)
    check_instant("not_after", draft.not_after)
    cause = draft.caused_by
    if cause is not None and (type(cause) is not int or cause.bit_length() >= _BITS):
        raise InputError(f"caused_by is {draft.caused_by!r}; an interaction's id is expected")
    return draft


def check_window(not_before: object, not_after: object) -> None:
    """
    Raise `InputError` if a message could go at no instant at all.

    The shop's own: a plugin may find that it is too late, and what it says then is withheld.
    """
    earliest = check_instant("not_before", not_before)
    latest = check_instant("not_after", not_after)
    if earliest is not None and latest is not None and earliest > latest:
        raise InputError(
            f"the message's not_before, {to_datetime(earliest)}, is later than its not_after, "
            f"{to_datetime(latest)}, so it could never go; an earlier one is expected"
        )


def check_terms(asks: object, priority: object) -> None:
    """Raise `InputError` unless these are a truth value and a whole number."""
    if type(asks) is not bool:
        raise InputError(f"asks is {asks!r}; True or False is expected")
    if type(priority) is not int or abs(priority) > _HIGHEST:
        raise InputError(f"priority is {priority!r}; a whole number up to {_HIGHEST} is expected")
