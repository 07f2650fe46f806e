"""Asking the gate about customers, as planning and claiming do."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from attrs import frozen
from sqlalchemy import bindparam, cast, insert, null, select

from crmcore import Crm
from crmcore.domain.message import Channel
from crmcore.persistence.customers import customer
from crmcore.persistence.messages import message
from crmcore.persistence.portable import json_list
from crmcore.persistence.schema import Whole, Words

EMAIL = Channel("email", scheme="email")
SMS = Channel("sms", scheme="phone")


@frozen
class Judged:
    """What the gate said of one customer's message."""

    customer: int
    point: str | None
    gate: str | None
    reason: str | None
    may_go_at: int | None


class Asking:
    """Asks about messages of one kind to a list of customers."""

    def __init__(self, crm: Crm) -> None:
        self.crm = crm
        portable = crm.runtime.database.portable
        words = {n: bindparam(f"of_{n}", type_=Words) for n in ("plugin", "key", "purpose")}
        self.candidates = (
            select(
                cast(null(), Whole).label("message_id"),
                customer.c.customer_id,
                words["plugin"].label("plugin"),
                words["key"].label("message_key"),
                words["purpose"].label("purpose"),
                bindparam("of_asks", type_=Whole).label("asks"),
                bindparam("of_after", type_=Whole).label("not_before"),
                bindparam("of_until", type_=Whole).label("not_after"),
            )
            .where(portable.is_in(customer.c.customer_id, "those"))
            .subquery("candidates")
        )

    def judge(
        self,
        customers: Iterable[int],
        purpose: str = "promotion",
        channel: Channel = EMAIL,
        *,
        at: int | None = None,
        key: str = "sale",
        plugin: str = "",
        asks: bool = False,
        not_after: int | None = None,
    ) -> dict[int, Judged]:
        """Return what the gate says of each customer."""
        values: dict[str, Any] = {
            "of_plugin": plugin,
            "of_key": key,
            "of_purpose": purpose,
            "of_asks": int(asks),
            "of_after": 0,
            "of_until": not_after,
            "those": json_list(customers),
        }
        with self.crm.begin() as tx:
            unit = tx._unit
            instant = unit.now if at is None else at
            gate = self.crm._parts.gate
            statement, given = gate.judged(unit, self.candidates, channel, instant, values)
            rows = unit.connection.execute(statement, **given)
        return {row[1]: Judged(*row[1:]) for row in rows}

    def one(self, customer_id: int, *args: Any, **values: Any) -> Judged:
        """Return what the gate says of one customer."""
        return self.judge([customer_id], *args, **values)[customer_id]


def put_message(
    crm: Crm,
    number: int,
    customer_id: int,
    handed_at: int | None,
    *,
    state: str = "accepted",
    purpose: str = "promotion",
    channel: str = "email",
    asks: bool = False,
) -> None:
    """Write a message that went some time ago, or is on its way."""
    row = {
        **dict.fromkeys(message.columns.keys()),
        "message_id": number,
        "customer_id": customer_id,
        "recorded_for": customer_id,
        "plugin": "",
        "message_key": f"m{number}",
        "purpose": purpose,
        "channel": channel,
        "asks": int(asks),
        "priority": 0,
        "state": state,
        "planned_at": 0,
        "not_before": 0,
        "attempt": 1,
        "handed_at": handed_at,
    }
    with crm.begin() as tx:
        tx.connection.insert_rows(insert(message), [tuple(row.values())])
