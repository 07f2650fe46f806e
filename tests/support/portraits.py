"""Portraits: what a database holds, with ids replaced by what names the same thing in every run."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

from sqlalchemy import inspect, text

from crmcore import Crm

Portrait = dict[str, Counter[tuple[tuple[str, Any], ...]]]

CUSTOMERS = {
    "customer_id",
    "recorded_for",
    "merged_into",
    "survivor_id",
    "merged_id",
    "other_id",
}
INTERACTIONS = {"interaction_id", "caused_by", "last_interaction_id", "first_interaction_id"}
CLOCKS = {
    "recorded_at",
    "applied_at",
    "undone_at",
    "decided_at",
    "run_at",
    "parked_at",
    "leased_until",
}
# How far somebody has come with reading, what was raised on the way, what a merge took note of
# for its undoing, what hooks cost: not what is so.
ASIDE = {
    "crm_setting",
    "crm_revision",
    "crm_plugin_table",
    "crm_fault",
    "crm_cursor",
    "crm_backlog",
    "crm_moved",
    "crm_hook_time",
}
BOOKKEEPING = {
    "revision",
    "shelved",
    "xid",
    "fault_id",
    "merge_id",
    "lease",
    "attempt",
    "erasure_id",
}


def portrait(crm: Crm) -> Portrait:
    """
    Return every row of every table of ours but those aside, and how often each occurs.

    Customers are named by their reference, which follows from the identifiers they were first
    known by; interactions by their source and key.
    """
    with crm.runtime.database.begin(read_only=True) as connection:
        run = connection.sqlalchemy

        def rows(sql: str) -> list[dict[str, Any]]:
            return [dict(row._mapping) for row in run.execute(text(sql))]

        references = {
            row["customer_id"]: row["reference"]
            for row in rows("SELECT customer_id, reference FROM crm_customer")
        }
        keys = {
            row["interaction_id"]: f"{row['source']}/{row['source_key']}"
            for row in rows("SELECT interaction_id, source, source_key FROM crm_interaction")
        }

        def named(column: str, value: Any) -> Any:
            if value is None:
                return None
            if column in CUSTOMERS:
                return references.get(value, f"nobody {value}")
            if column in INTERACTIONS:
                return keys.get(value, "nothing" if value == 0 else f"later than {len(keys) > 0}")
            return int(value) if isinstance(value, bool) else value

        names = sorted(n for n in inspect(run).get_table_names() if n.startswith("crm_"))
        return {
            name: Counter(
                tuple(
                    (c, named(c, v))
                    for c, v in sorted(row.items())
                    if c not in CLOCKS | BOOKKEEPING
                )
                for row in rows(f"SELECT * FROM {name}")
            )
            for name in names
            if name not in ASIDE
        }


def differences(expected: Mapping[str, Counter[Any]], found: Mapping[str, Counter[Any]]) -> str:
    """Return the first differences in words; nothing if there are none."""
    said = []
    for name in sorted({*expected, *found}):
        missing = expected.get(name, Counter()) - found.get(name, Counter())
        extra = found.get(name, Counter()) - expected.get(name, Counter())
        if missing or extra:
            said.append(f"{name}: {missing.total()} rows missing, {extra.total()} too many")
            said += [
                f"  missing {json.dumps(dict(r), default=str)}"
                for r in sorted(missing, key=repr)[:4]
            ]
            said += [
                f"  extra   {json.dumps(dict(r), default=str)}" for r in sorted(extra, key=repr)[:4]
            ]
    return "\n".join(said)
