"""Rows by whose they are: what two shops hold, comparable where two accounts are one person."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

from attrs import frozen
from sqlalchemy import text

from crmcore.app import Crm
from crmcore.testing.snapshots import (
    BOOKKEEPING,
    CLOCKS,
    CUSTOMER_IDS,
    INTERACTION_IDS,
    Table,
)


@frozen
class Rows:
    """
    The rows of some tables, ids replaced by what the same thing has in every shop.

    Attributes:
        decided: What plugins and guards decided, without the keys, which hold references.
    """

    tables: Mapping[str, Table]
    decided: Table

    def only(self, names: Collection[str]) -> dict[str, Table]:
        return {name: self.tables[name] for name in sorted(names)}


def named_rows(crm: Crm, names: Collection[str], same: tuple[str, ...] = ()) -> Rows:
    """Return the rows of tables, customers named by account; accounts of *same* are one."""
    with crm.runtime.database.begin(read_only=True) as connection:

        def rows(sql: str) -> list[dict[str, Any]]:
            return [dict(row._mapping) for row in connection.sqlalchemy.execute(text(sql))]

        known = "SELECT customer_id, identifier_value FROM crm_identifier WHERE scheme = 'account'"
        accounts: dict[int, set[str]] = {}
        for row in rows(known):
            accounts.setdefault(row["customer_id"], set()).add(row["identifier_value"])
        people = {
            each: "/".join(sorted(found - {*same} | ({same[0]} if found & {*same} else set())))
            for each, found in accounts.items()
        }
        facts: dict[int, Any] = {}
        decided: Counter[Any] = Counter()
        for row in rows("SELECT * FROM crm_interaction"):
            name: Any = (row["source"], row["source_key"])
            if row["origin"] == "decided":
                who = people.get(row["customer_id"])
                name = (row["source"], row["kind"], row["occurred_at"], who, row["payload"])
                decided[name] += 1
            facts[row["interaction_id"]] = name

        def named(column: str, value: Any) -> Any:
            if column in CUSTOMER_IDS:
                return people.get(value, value)
            return facts.get(value, value) if column in INTERACTION_IDS else value

        tables = {
            name: Counter(
                tuple((c, named(c, v)) for c, v in row.items() if c not in CLOCKS | BOOKKEEPING)
                for row in rows(f"SELECT * FROM {name}")
            )
            for name in names
        }
        return Rows(tables, decided)
