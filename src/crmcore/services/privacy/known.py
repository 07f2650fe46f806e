"""What a person is known by, gathered before it is gone."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from typing import Any, Final

from sqlalchemy import Select, and_, or_, select

from crmcore.domain.spelling import Needles, Sort
from crmcore.persistence.connection import Connection
from crmcore.persistence.customers import identifier
from crmcore.persistence.ledger import interaction
from crmcore.persistence.merges import merge
from crmcore.persistence.messages import attempt, broadcast, message
from crmcore.persistence.portable import Portable, json_list
from crmcore.persistence.tasks import task
from crmcore.services.privacy.erased import ANONYMISE, DELETE
from crmcore.services.privacy.personal_rows import PersonalRows, PersonalTable

Policies = Iterable[tuple[str, str, PersonalTable]]
"""Plugins' tables: whose, the policy, and what is known of them."""

_EMPTY: Final = ("", "{}", "[]")


def identifiers_of(connection: Connection, people: str) -> list[tuple[str, str, str | None]]:
    """Return the scheme, value and keyed hash of everything these customers are known by."""
    statement = connection.database.once(
        "identifiers of people",
        lambda: (
            select(identifier.c.scheme, identifier.c.identifier_value, identifier.c.point)
            .where(connection.database.portable.is_in(identifier.c.customer_id, "people"))
            .order_by(identifier.c.scheme, identifier.c.identifier_value)
        ),
    )
    return [(row[0], row[1], row[2]) for row in connection.execute(statement, people=people)]


def gather(connection: Connection, people: Collection[int], tables: Policies) -> Needles:
    """
    Return all texts by which somebody could find one of these customers afterwards.

    First what they are called by, then what they or staff wrote, then what plugins keep.
    """
    needles, listed = Needles(), json_list(people)
    for scheme, value, _ in identifiers_of(connection, listed):
        needles.add_name(scheme, value)
    for sort, statement in connection.database.once(
        "personal texts", lambda: _personal(connection.database.portable)
    ):
        for text in _texts(connection, statement, listed):
            needles.add(_told(text), sort)
    for _, policy, table in tables:
        if policy in (DELETE, ANONYMISE) and table.owners:
            for row in PersonalRows.cached(connection, table).texts(connection, listed):
                for text in row.values():
                    needles.add(_told(text), "trace")
    return needles


def keys_of_broadcasts(connection: Connection, people: str) -> set[str]:
    """Return the keys of these customers' messages that were said to many, and are nobody's own."""

    def build() -> Select[Any]:
        return (
            select(message.c.message_key)
            .join(
                broadcast,
                and_(
                    broadcast.c.plugin == message.c.plugin,
                    broadcast.c.message_key == message.c.message_key,
                ),
            )
            .where(connection.database.portable.is_in(message.c.customer_id, "people"))
        )

    statement = connection.database.once("keys of broadcasts", build)
    return {row[0] for row in connection.execute(statement, people=people)}


def _personal(portable: Portable) -> list[tuple[Sort, Select[Any]]]:
    def theirs(column: Any) -> Any:
        return portable.is_in(column, "people")

    i, m, t, a = interaction.c, message.c, task.c, attempt.c
    return [
        ("text", select(i.personal).where(theirs(i.customer_id), i.personal.is_not(None))),
        ("trace", select(m.content, m.reason, m.provider_reference).where(theirs(m.customer_id))),
        ("trace", select(a.detail, a.provider_reference).where(theirs(a.customer_id))),
        ("trace", select(t.title, t.note, t.reason).where(theirs(t.customer_id))),
        (
            "trace",
            select(merge.c.reason, merge.c.shelved).where(
                or_(theirs(merge.c.survivor_id), theirs(merge.c.merged_id))
            ),
        ),
    ]


def _texts(connection: Connection, statement: Select[Any], people: str) -> Iterator[str]:
    for rows in connection.stream(statement, people=people):
        for row in rows:
            yield from (text for text in row if text is not None and text not in _EMPTY)


def _told(text: str) -> Any:
    """Return a text, or what it holds where it is JSON."""
    if text[:1] in ("{", "[", '"'):
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text
