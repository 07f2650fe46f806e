"""Planned: whom mails of a key are about to go to, and what each of them is made with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from attrs import define, field
from sqlalchemy import bindparam, func, select

from crmcore import Content, Crm
from crmcore.errors import NotFoundError, nearest
from crmcore_email_link.reading import broadcast, message
from crmcore_email_link.tables import Whole, Words

PENDING: Final = ("planned", "deferred", "claimed")
_PORTION: Final = 5000

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
    with crm.begin() as tx:
        execute = tx.connection.execute
        while rows := execute(_of_key, wanted=key, after=after):
            for number, customer, purpose, own, common in rows:
                after = number
                text = own if own is not None else common
                if text is None:
                    continue  # an erasure emptied it
                content = shared.get(text)
                if content is None:
                    content = Content.from_json(text)
                    if own is None:
                        shared[text] = content
                name = content.data.get("template")
                if not isinstance(name, str):
                    given += 1
                    continue
                asked = content.data.get("language") or language
                found = groups.setdefault((name, asked, purpose), Group(name, asked, purpose))
                found.recipients.append((customer, content.data.get("variables") or {}))
        if not groups and not given:
            _check_there(execute, key)
    return list(groups.values()), given


def _check_there(execute: Any, key: str) -> None:
    counts = dict(execute(_keys))
    if key not in counts:
        raise NotFoundError(f"no mail has the key {key!r}{nearest(key, counts)}")
