"""How an export reads what is kept of a customer, a page of rows at a time."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from itertools import groupby
from typing import Any, Final

import sqlalchemy
from attrs import frozen
from sqlalchemy import Select, bindparam, column, func, or_, select

from crmcore.domain.clock import to_datetime
from crmcore.persistence.connection import Connection
from crmcore.persistence.consent import withheld
from crmcore.persistence.customers import customer, identifier
from crmcore.persistence.ledger import interaction, line
from crmcore.persistence.messages import broadcast, message
from crmcore.persistence.portable import Portable, json_list
from crmcore.services.privacy.personal_rows import PersonalTable

PAGE: Final = 1000
_ERASED: Final = "ERASED"
_STAFF: Final = "staff:"
_CONSENT: Final = "consent."
_TASK: Final = "task."
_WHO: Final = frozenset({"owner", "before", "by"})
_IDS: Final = frozenset({"caused_by", "last_interaction_id"})

Told = Mapping[str, Any]
Rows = Iterable[Told]


@frozen(kw_only=True)
class Asked:
    """
    Whose export it is.

    Attributes:
        people: The customer, and all who were merged into them.
    """

    connection: Connection
    customer_id: int
    people: Sequence[int]
    listed: str
    currency: str

    def once(self, name: str, build: Callable[[Portable], Select[Any]]) -> Select[Any]:
        database = self.connection.database
        return database.once(f"export {name}", lambda: build(database.portable))


def told(name: str, value: Any) -> Any:
    """Return a value as JSON holds it: instants as ISO 8601, ids as text."""
    if isinstance(value, bytes | memoryview):
        return b64encode(bytes(value)).decode()
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, int) and not isinstance(value, bool):
        if name.endswith("_at") or name in ("since", "until"):
            return instant_told(value)
        if name.endswith("_id") or name in _IDS:
            return str(value)
    if isinstance(value, bool | int | float | str | None):
        return value
    return str(value)


def instant_told(value: int | None) -> str | None:
    if value is None:
        return None
    try:
        return to_datetime(value).isoformat()
    except (OverflowError, ValueError):
        return str(value)


def rows_in_pages(connection: Connection, table: PersonalTable, listed: str) -> Iterator[Told]:
    """Yield the rows of some customers in any table, by its key, a page at a time."""

    def build() -> Select[Any]:
        there = sqlalchemy.table(table.name, *(column(n, t) for n, t in table.types.items()))
        portable = connection.database.portable
        theirs = or_(*(portable.is_in(there.c[owner], "people") for owner in table.owners))
        order = [there.c[name] for name in table.key or tuple(table.types)]
        return (
            select(*there.columns)
            .where(theirs)
            .order_by(*order)
            .limit(PAGE)
            .offset(bindparam("skipped"))
        )

    statement = connection.database.once(f"export {table} {table.types}", build)
    names = tuple(table.types)
    for row in _paged(connection, statement, people=listed):
        yield {name: told(name, value) for name, value in zip(names, row, strict=True)}


def _paged(
    connection: Connection, statement: Select[Any], **values: Any
) -> Iterator[Sequence[Any]]:
    skipped = 0
    while rows := connection.execute(statement, skipped=skipped, **values):
        yield from rows
        if len(rows) < PAGE:
            return
        skipped += len(rows)


def rows_of(
    table: sqlalchemy.Table, columns: Sequence[str], *, owners: Sequence[str] = ("customer_id",)
) -> Callable[[Asked], Rows]:
    """Return how a table's rows are read: those columns of it, in the order of its key."""

    def build(portable: Portable) -> Select[Any]:
        theirs = or_(*(portable.is_in(table.c[owner], "people") for owner in owners))
        return (
            select(*(table.c[name] for name in columns))
            .where(theirs)
            .order_by(*table.primary_key.columns)
            .limit(PAGE)
            .offset(bindparam("skipped"))
        )

    def rows(asked: Asked) -> Iterator[Told]:
        statement = asked.once(table.name, build)
        for row in _paged(asked.connection, statement, people=asked.listed):
            yield {name: told(name, value) for name, value in zip(columns, row, strict=True)}

    return rows


# -- who ------------------------------------------------------------------------------------


def customer_rows(asked: Asked) -> Iterator[Told]:
    statement = asked.once(
        "customer",
        lambda portable: (
            select(customer.c.customer_id, customer.c.recorded_at, customer.c.erased_at)
            .where(portable.is_in(customer.c.customer_id, "people"))
            .order_by(customer.c.customer_id)
        ),
    )
    for customer_id, recorded_at, erased_at in asked.connection.execute(
        statement, people=asked.listed
    ):
        yield {
            "customer_id": str(customer_id),
            "recorded_at": instant_told(recorded_at),
            "erased_at": instant_told(erased_at),
            "merged": customer_id != asked.customer_id,
        }


# -- what happened --------------------------------------------------------------------------

_i = interaction.c
_LINES: Final = (
    "interaction_id",
    "product",
    "variant",
    "category",
    "sign",
    "quantity",
    "amount_minor",
)


def _interactions_page(portable: Portable) -> Select[Any]:
    return (
        select(*interaction.columns)
        .where(portable.is_in(_i.customer_id, "people"), _i.interaction_id > bindparam("beyond"))
        .order_by(_i.interaction_id)
        .limit(PAGE)
    )


def _lines_page(portable: Portable) -> Select[Any]:
    return (
        select(*(line.c[name] for name in _LINES))
        .where(portable.is_in(line.c.interaction_id, "interactions"))
        .order_by(line.c.interaction_id, line.c.line_number)
    )


def _rows_of_ledger(asked: Asked) -> Iterator[tuple[dict[str, Any], list[Told]]]:
    """Yield interactions, each with its lines, a page at a time."""
    page, lines = asked.once("interactions", _interactions_page), asked.once("lines", _lines_page)
    names = tuple(interaction.columns.keys())
    beyond = 0
    while rows := asked.connection.execute(page, people=asked.listed, beyond=beyond):
        beyond = rows[-1][0]
        ids = json_list(row[0] for row in rows)
        bought = asked.connection.execute(lines, interactions=ids)
        by_id = {key: list(some) for key, some in groupby(bought, lambda row: row[0])}
        for row in rows:
            found = by_id.get(row[0], [])
            yield (
                dict(zip(names, row, strict=True)),
                [dict(zip(_LINES[1:], each[1:], strict=True)) for each in found],
            )


def interactions_rows(asked: Asked) -> Iterator[Told]:
    for row, lines in _rows_of_ledger(asked):
        yield {
            "id": str(row["interaction_id"]),
            "kind": row["kind"],
            "occurred_at": instant_told(row["occurred_at"]),
            "recorded_at": instant_told(row["recorded_at"]),
            "origin": row["origin"],
            "source": row["source"],
            "source_key": row["source_key"],
            "channel": row["channel"],
            "actor": _without_staff(row["actor"]),
            "subject": row["subject"],
            "thread": row["thread"],
            "touch": row["touch"],
            "amount": _money(row["amount_minor"], row["currency"]),
            "caused_by": told("caused_by", row["caused_by"]),
            "payload": _payload(row["kind"], row["payload"]),
            "personal": _personal(row["personal"]),
            "lines": lines,
        }


def _personal(text: str | None) -> Any:
    return {} if text is None else json.loads(text)


def _money(minor: int | None, currency: str | None) -> Told | None:
    return None if minor is None else {"minor": minor, "currency": currency}


def _without_staff(actor: str | None) -> str | None:
    """Return who acted, without the names of those who work for the shop."""
    return "staff" if actor is not None and actor.startswith(_STAFF) else actor


def _payload(kind: str, text: str) -> Any:
    """Return a payload; a task's without whom it went to, and who finished it."""
    found = json.loads(text)
    if not kind.startswith(_TASK):
        return found
    return {
        name: "staff" if name in _WHO and value is not None else value
        for name, value in found.items()
    }


SAID: Final = ("purpose", "channel", "point", "wording", "language", "mechanism", "evidence")


def consents_rows(asked: Asked) -> Iterator[Told]:
    for row, _ in _rows_of_ledger(asked):
        if row["kind"].startswith(_CONSENT):
            said = {**json.loads(row["payload"]), **_personal(row["personal"])}
            yield {
                "effect": row["kind"].removeprefix(_CONSENT),
                "occurred_at": instant_told(row["occurred_at"]),
                **{name: said.get(name) for name in SAID},
            }


# -- what keeps the shop quiet ---------------------------------------------------------------

WITHHELD: Final = ("channel", "purpose", "reason", "since", "until", "lifted_at")


def withheld_rows(asked: Asked) -> Iterator[Told]:
    statement = asked.once(
        "withheld",
        lambda portable: (
            select(*(withheld.c[name] for name in WITHHELD))
            .where(
                withheld.c.point.in_(
                    select(identifier.c.point).where(
                        portable.is_in(identifier.c.customer_id, "people")
                    )
                )
            )
            .order_by(*withheld.primary_key.columns)
        ),
    )
    for row in asked.connection.execute(statement, people=asked.listed):
        yield {name: told(name, value) for name, value in zip(WITHHELD, row, strict=True)}


# -- messages --------------------------------------------------------------------------------

MESSAGE: Final = (
    "message_key",
    "plugin",
    "purpose",
    "channel",
    "state",
    "gate",
    "reason",
    "planned_at",
    "handed_at",
    "settled_at",
    "content",
)


def _messages_page(portable: Portable) -> Select[Any]:
    m, b = message.c, broadcast.c
    of_all = (b.plugin == m.plugin) & (b.message_key == m.message_key)
    return (
        select(*(m[name] for name in MESSAGE[:-1]), func.coalesce(m.content, b.content))
        .select_from(message.outerjoin(broadcast, of_all))
        .where(portable.is_in(m.customer_id, "people"))
        .order_by(m.message_id)
        .limit(PAGE)
        .offset(bindparam("skipped"))
    )


def messages_rows(asked: Asked) -> Iterator[Told]:
    """Yield messages with what they say; what was said to many stands with the broadcast."""
    statement = asked.once("messages", _messages_page)
    for *row, content in _paged(asked.connection, statement, people=asked.listed):
        yield {
            **{name: told(name, value) for name, value in zip(MESSAGE[:-1], row, strict=True)},
            "content": None if content is None else json.loads(content),
        }


def recipients_rows(asked: Asked) -> Iterator[Told]:
    statement = asked.once(
        "recipients",
        lambda portable: (
            select(message.c.channel, func.count(), func.min(message.c.handed_at))
            .where(
                portable.is_in(message.c.customer_id, "people"), message.c.handed_at.is_not(None)
            )
            .group_by(message.c.channel)
            .order_by(message.c.channel)
        ),
    )
    for channel, count, first in asked.connection.execute(statement, people=asked.listed):
        yield {
            "recipient": f"channel {channel}",
            "messages": count,
            "first_at": instant_told(first),
        }
