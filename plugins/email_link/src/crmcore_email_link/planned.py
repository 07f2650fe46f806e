"""Planned: whom mails of a key are about to go to, and what each of them is made with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from attrs import define, field
from sqlalchemy import bindparam, func, select

from crmcore import Content, Crm
from crmcore.errors import NotFoundError, nearest
from crmcore_email_link.plugin import EmailLink
from crmcore_email_link.reading import broadcast, message
from crmcore_email_link.tables import Whole, Words

PENDING: Final = ("planned", "deferred", "claimed")
_PORTION: Final = 1000

_m, _b = message.c, broadcast.c
_of_key: Final = (
    select(
        _m.message_id,
        _m.customer_id,
        _m.purpose,
        _m.content,
        _b.content,
    )
    .select_from(
        message.outerjoin(broadcast, (_m.plugin == _b.plugin) & (_m.message_key == _b.message_key))
    )
    .where(
        _m.message_key == bindparam("wanted", type_=Words),
        _m.channel == "email",
        _m.state.in_(PENDING),
        _m.message_id > bindparam("after", type_=Whole),
    )
    .order_by(_m.message_id)
    .limit(_PORTION)
)
_keys: Final = (
    select(_m.message_key, func.count())
    .where(_m.channel == "email")
    .group_by(_m.message_key)
    .order_by(_m.message_key)
)


@define
class Group:
    """
    Mails of one template that are about to go.

    Attributes:
        template: Its name.
        language: In which they are asked for.
        purpose: What they are for.
        recipients: By the customer's id, the variables of each.
    """

    template: str
    language: str
    purpose: str
    recipients: list[tuple[int, Mapping[str, Any]]] = field(factory=list)


def planned_for(crm: Crm, key: str, language: str) -> tuple[list[Group], int]:
    """
    Return whom mails of a key are about to go to, by template, and how many have none.

    Args:
        crm: The shop.
        key: The messages' or the broadcast's.
        language: The shop's first, for those that ask for none.

    Raises:
        NotFoundError: If no mail has that key.
    """
    groups: dict[tuple[str, str, str], Group] = {}
    shared: dict[str, Content] = {}
    given = after = 0
    plugin = crm.plugin(EmailLink)
    with crm.begin() as tx, tx.acting(EmailLink) as (_, ctx):
        reader, now = plugin.reader(ctx), ctx.clock.now()
        while rows := ctx.execute(_of_key, wanted=key, after=after):
            after = rows[-1][0]
            wanted = [
                (customer, _content(own, common, shared))
                for _, customer, _, own, common in rows
                if own is not None or common is not None  # else an erasure emptied it
            ]
            purposes = [row[2] for row in rows if row[3] is not None or row[4] is not None]
            contents = reader.contents(wanted, now)
            for (customer, _), purpose, content in zip(wanted, purposes, contents, strict=True):
                if not isinstance(content, Content):
                    raise content
                name = content.data.get("template")
                if not isinstance(name, str):
                    given += 1
                    continue
                asked = content.data.get("language") or language
                found = groups.setdefault((name, asked, purpose), Group(name, asked, purpose))
                found.recipients.append((customer, content.data.get("variables") or {}))
        if not groups and not given:
            _check_there(ctx.execute, key)
    return list(groups.values()), given


def _content(own: str | None, common: str | None, shared: dict[str, Content]) -> Content:
    """Return what a message says; what a broadcast says is read once."""
    if own is not None:
        return Content.from_json(own)
    text = common or ""
    if text not in shared:
        shared[text] = Content.from_json(text)
    return shared[text]


def _check_there(execute: Any, key: str) -> None:
    counts = dict(execute(_keys))
    if key not in counts:
        raise NotFoundError(f"no mail has the key {key!r}{nearest(key, counts)}")
