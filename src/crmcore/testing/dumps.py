"""All that a database holds, as it is stored: the same before and after what changes nothing."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import inspect, text

from crmcore.app import Crm

# When a row was written, and what counts merges: neither says whose anything is.
CLOCKS = frozenset({("crm_stage_change", "recorded_at"), ("crm_match", "decided_at")})
LOGS = frozenset({"crm_hook_time", "crm_merge", "crm_moved"})
_PARTITION = re.compile(r"_p\d+\Z")
Dump = dict[str, Counter[tuple[tuple[str, Any], ...]]]


def dump(crm: Crm) -> Dump:
    """Return every row of every table, as it is stored, less logs of merges and clocks."""
    with crm.runtime.database.begin(read_only=True) as connection:
        found: Dump = {}
        names = inspect(connection.sqlalchemy).get_table_names()
        for name in sorted(n for n in names if not _PARTITION.search(n)):
            rows = connection.sqlalchemy.execute(text(f"SELECT * FROM {name}")).mappings()
            found[name] = Counter(tuple(_told(name, dict(row))) for row in rows if name not in LOGS)
        return found


def _told(table: str, row: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for column, value in row.items():
        if (table, column) not in CLOCKS and (table, column) != ("crm_customer", "revision"):
            yield column, value


def difference(expected: Dump, found: Dump) -> str:
    """Return the first differences in words; nothing if there are none."""
    lines = []
    for name in sorted({*expected, *found}):
        missing = expected.get(name, Counter()) - found.get(name, Counter())
        extra = found.get(name, Counter()) - expected.get(name, Counter())
        lines += [f"{name} lacks {row}" for row in sorted(missing, key=repr)[:3]]
        lines += [f"{name} has {row}" for row in sorted(extra, key=repr)[:3]]
    return "\n".join(lines)
