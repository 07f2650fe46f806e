"""What a database holds, in a form in which two runs compare equal where they should."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

from attrs import frozen
from sqlalchemy import inspect, text

from crmcore.app import Crm
from crmcore.persistence.connection import Connection
from crmcore.persistence.partitions import partitions_of

# The one place that says which columns are ids or clocks. Ids are replaced by what names the
# same thing in every run; clocks say when a row was written, not what is so.
CUSTOMER_IDS = frozenset(
    {"customer_id", "recorded_for", "merged_into", "survivor_id", "merged_id", "other_id"}
)
INTERACTION_IDS = frozenset(
    {
        "interaction_id",
        "caused_by",
        "last_interaction_id",
        "first_interaction_id",
        "position_id",
    }
)
NUMBERS = {"merge_id": "crm_merge", "fault_id": "crm_fault"}  # PostgreSQL may leave some out
CLOCKS = frozenset(
    {
        "recorded_at",
        "registered_at",
        "added_at",
        "applied_at",
        "parked_at",
        "undone_at",
        "decided_at",
    }
)
BOOKKEEPING = frozenset({"revision", "xid", "position_xid", "lease", "leased_until"})
SETTINGS = frozenset({"crm_setting", "crm_revision", "crm_plugin_table", "crm_hook_time"})
LEDGER = frozenset({"crm_customer", "crm_identifier", "crm_dedupe", "crm_interaction", "crm_line"})
CORE_DERIVED = frozenset({"crm_stage", "crm_stage_change", "crm_consent", "crm_brake", "crm_zone"})

Row = tuple[tuple[str, Any], ...]
Table = Counter[Row]


@frozen
class Snapshot:
    """
    Every table of the schema but the settings, ids replaced by names: equal on all databases.

    Attributes:
        tables: Rows with their columns, and how often each occurs.
        derived: Names of the tables that follow from the ledger.
    """

    tables: Mapping[str, Table]
    derived: frozenset[str]

    def only(self, names: Collection[str]) -> dict[str, Table]:
        return {name: self.tables[name] for name in sorted(names)}

    @property
    def derived_tables(self) -> dict[str, Table]:
        return self.only(self.derived)

    @property
    def ledger(self) -> dict[str, Table]:
        return self.only(LEDGER)

    @property
    def decided(self) -> dict[str, Table]:
        """Decided interactions, those of the core's guards among them."""
        return {"decided": self.interactions("decided")}

    def interactions(self, origin: str) -> Table:
        rows = self.tables["crm_interaction"]
        return Counter({r: n for r, n in rows.items() if dict(r)["origin"] == origin})

    def decided_by(self, plugin: str) -> dict[str, Table]:
        source = f"plugin:{plugin}"
        rows = self.interactions("decided")
        mine = Counter({r: n for r, n in rows.items() if dict(r)["source"] == source})
        return {f"decided by {plugin}": mine}

    def table(self, name: str) -> list[dict[str, Any]]:
        """Return the rows of one table."""
        return [dict(row) for row in self.tables[name].elements()]


def snapshot(crm: Crm) -> Snapshot:
    """Return what the database of *crm* holds."""
    with crm.runtime.database.begin(read_only=True) as connection:
        return _snapshot(connection)


def _snapshot(connection: Connection) -> Snapshot:
    def rows(sql: str) -> list[dict[str, Any]]:
        return [dict(row._mapping) for row in connection.sqlalchemy.execute(text(sql))]

    found = set(inspect(connection.sqlalchemy).get_table_names()) - partitions_of(connection)
    names = sorted(n for n in found if n.startswith("crm_") and n not in SETTINGS)
    # By what they were first known as, so that a merge leaves everybody's name as it is.
    known_by: dict[int, list[str]] = {}
    for row in rows("SELECT * FROM crm_identifier"):
        known_by.setdefault(row["recorded_for"], []).append(
            f"{row['scheme']}:{row['identifier_value']}"
        )
    customers = {c: tuple(sorted(known)) for c, known in known_by.items()}
    interactions = {
        row["interaction_id"]: (row["source"], row["source_key"])
        for row in rows("SELECT interaction_id, source, source_key FROM crm_interaction")
    }
    places = {
        column: {row[column]: place for place, row in enumerate(found, start=1)}
        for column, name in NUMBERS.items()
        for found in [rows(f"SELECT {column} FROM {name} ORDER BY {column}")]
    }

    def named(column: str, value: Any) -> Any:
        if value is None:
            return None
        if column in CUSTOMER_IDS:
            return customers.get(value, ("nobody", value))
        if column in INTERACTION_IDS:
            return interactions.get(value, ("nothing", value))
        if column in NUMBERS:
            return places[column].get(value, ("no number", value))
        return value

    left_out = CLOCKS | BOOKKEEPING
    tables = {
        name: Counter(
            tuple((c, named(c, v)) for c, v in row.items() if c not in left_out)
            for row in rows(f"SELECT * FROM {name}")
        )
        for name in names
    }
    plugins = rows("SELECT table_name FROM crm_plugin_table WHERE derived = 1")
    derived = CORE_DERIVED | {row["table_name"] for row in plugins}
    return Snapshot(tables, frozenset(derived))


def difference(expected: Mapping[str, Table], found: Mapping[str, Table]) -> str:
    """Return the first differences between tables in words; nothing if they are equal."""
    lines = []
    for name in sorted({*expected, *found}):
        missing = expected.get(name, Counter()) - found.get(name, Counter())
        extra = found.get(name, Counter()) - expected.get(name, Counter())
        if missing or extra:
            lines.append(f"{name}: {missing.total()} rows missing, {extra.total()} too many")
        lines += [f"  missing {_readable(row)}" for row in sorted(missing, key=repr)[:3]]
        lines += [f"  extra   {_readable(row)}" for row in sorted(extra, key=repr)[:3]]
    return "\n".join(lines)


def _readable(row: Row) -> str:
    return json.dumps(dict(row), default=str, ensure_ascii=False)
