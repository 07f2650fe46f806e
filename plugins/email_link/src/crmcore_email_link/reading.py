"""Reading: what the plugin looks up in the tables of the core, and never writes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from attrs import frozen
from sqlalchemy import bindparam, column, func, select, table

from crmcore import Content
from crmcore_email_link.links import bound
from crmcore_email_link.tables import Whole, Words
from crmcore_email_link.tokens import Purpose, Tokens

Execute = Callable[..., Sequence[tuple[Any, ...]]]
"""Runs a statement: that of a `Context`, or of a transaction's connection."""


def _table(name: str, words: str, whole: str) -> Any:
    columns = [column(each, Words) for each in words.split()]
    return table(name, *columns, *(column(each, Whole) for each in whole.split()))


message: Final = _table(
    "crm_message",
    "plugin message_key purpose channel state gate reason point content provider_reference",
    "message_id customer_id planned_at not_before handed_at settled_at caused_by attempt",
)
attempt: Final = _table("crm_attempt", "outcome detail", "message_id attempt handed_at")
broadcast: Final = _table(
    "crm_broadcast",
    "plugin message_key purpose channel content",
    "audience planned_at stopped_at paused_at",
)
identifier: Final = _table("crm_identifier", "scheme identifier_value point", "customer_id")
consent: Final = _table(
    "crm_consent", "point channel purpose effect", "customer_id occurred_at recorded_at"
)
interaction: Final = _table(
    "crm_interaction",
    "kind source payload",
    "interaction_id customer_id occurred_at amount_base_minor",
)
customer: Final = _table("crm_customer", "reference", "customer_id merged_into erased_at bucket")
merge: Final = _table("crm_merge", "actor", "survivor_id merged_id recorded_at undone_at")
setting: Final = _table("crm_setting", "setting setting_value", "")
withheld: Final = _table("crm_withheld", "point channel purpose reason", "until lifted_at")

_m, _b = message.c, broadcast.c
_sent: Final = (
    select(
        _m.message_id,
        _m.customer_id,
        _m.plugin,
        _m.message_key,
        _m.purpose,
        _m.point,
        func.coalesce(_m.content, _b.content),
        _m.planned_at,
        _m.handed_at,
        _m.caused_by,
        _m.content.is_(None) & _b.content.is_not(None),
    )
    .select_from(
        message.outerjoin(broadcast, (_m.plugin == _b.plugin) & (_m.message_key == _b.message_key))
    )
    .where(_m.message_id == bindparam("number", type_=Whole))
)
_address: Final = (
    select(identifier.c.identifier_value)
    .where(
        identifier.c.point == bindparam("of_point", type_=Words),
        identifier.c.customer_id == bindparam("owner", type_=Whole),
    )
    .order_by(identifier.c.scheme)
)
_owners: Final = (
    select(identifier.c.scheme, identifier.c.customer_id, identifier.c.point)
    .where(
        identifier.c.scheme.in_(("email", "guest_email")),
        identifier.c.identifier_value == bindparam("address", type_=Words),
    )
    .order_by(identifier.c.scheme)
)

_said: Final = (
    select(consent.c.effect, func.max(consent.c.occurred_at))
    .where(
        consent.c.customer_id == bindparam("owner", type_=Whole),
        consent.c.point.in_((bindparam("about", type_=Words), "*")),
        consent.c.channel.in_(("email", "*")),
        consent.c.purpose.in_((bindparam("for_purpose", type_=Words), "*")),
    )
    .group_by(consent.c.effect)
)


@frozen(kw_only=True)
class Sent:
    """
    A message as the plugin's pages and what comes back know it; instants in microseconds.

    Attributes:
        id: Its own, which tokens name.
        customer_id: Whom it was for, as they are known now.
        plugin: Whose it was; empty: the shop's own.
        key: What it was, such as `news-2026-11`.
        purpose: What for.
        point: The keyed hash of where it went; None: nowhere.
        address: Where it went; None: the customer has it no longer.
        content: What it said; None: an erasure emptied it.
        planned_at: When it was planned.
        handed_at: When it was handed over; None: it was not.
        caused_by: The interaction that led to it.
        is_shared: Whether it said the same to many, as a broadcast does.
    """

    id: int
    customer_id: int
    plugin: str
    key: str
    purpose: str
    point: str | None
    address: str | None
    content: Content | None
    planned_at: int
    handed_at: int | None
    caused_by: int | None
    is_shared: bool = False


def find_sent(execute: Execute, number: int) -> Sent | None:
    """Return the message with an id, or None if there is none."""
    rows = execute(_sent, number=number)
    if not rows:
        return None
    found, owner, plugin, key, purpose, point, content, planned, handed, cause, shared = rows[0]
    named = execute(_address, of_point=point, owner=owner) if point is not None else ()
    return Sent(
        id=found,
        customer_id=owner,
        plugin=plugin,
        key=key,
        purpose=purpose,
        point=point,
        address=named[0][0] if named else None,
        content=None if content is None else Content.from_json(content),
        planned_at=planned,
        handed_at=handed,
        caused_by=cause,
        is_shared=bool(shared),
    )


def find_named(
    execute: Execute, tokens: Tokens, purpose: Purpose, token: object, now: int
) -> Sent | None:
    """Return the message that a token of ours names; None: it is none, or for something else."""
    number = tokens.named(token)
    sent = find_sent(execute, number) if number is not None else None
    if sent is None:
        return None
    read = tokens.read(purpose, token, at=now, bound=bound(sent.planned_at))
    return sent if read == sent.id else None


@frozen(kw_only=True)
class Owner:
    """
    Who has an address.

    Attributes:
        scheme: `email`, or `guest_email` while nobody proved that it is theirs.
        customer_id: Whose it is.
        point: Its keyed hash.
    """

    scheme: str
    customer_id: int
    point: str


def find_owner(execute: Execute, address: str) -> Owner | None:
    """Return who has an address, rather who proved it than a guest; None: nobody."""
    rows = execute(_owners, address=address)
    if not rows:
        return None
    scheme, customer_id, point = rows[0]
    return Owner(scheme=scheme, customer_id=customer_id, point=point)


def said_of(execute: Execute, customer: int, point: str, purpose: str) -> dict[str, int]:
    """Return what was said of mail of a purpose, and when last, by what it does."""
    return dict(execute(_said, owner=customer, about=point, for_purpose=purpose))
