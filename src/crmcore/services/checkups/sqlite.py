"""SQLite: how the file keeps its journal, and how large it is beside what it holds."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from sqlalchemy import text

from crmcore.services.checkups.finding import Finding, Patient

_LARGE_WAL: Final = 256 * 2**20
_SHARE_FREE: Final = 0.5
_FREE: Final = 64 * 2**20
_PRAGMAS: Final = {
    name.partition("(")[0]: text(f"PRAGMA {name}")
    for name in ("journal_mode", "page_count", "page_size", "freelist_count", "quick_check(3)")
}


def check_file(patient: Patient) -> Iterable[Finding]:
    """Find what makes a file slow, large or unsafe."""
    database = patient.connection.database
    if not database.portable.is_sqlite or database.is_in_memory:
        return

    def pragma(name: str) -> object:
        return patient.connection.execute(_PRAGMAS[name])[0][0]

    journal = str(pragma("journal_mode"))
    if journal != "wal":
        yield Finding(
            "warning",
            check="file",
            found=f"the file keeps its journal as {journal!r}, so whoever reads keeps others from "
            "writing",
            cure="PRAGMA journal_mode = WAL; on a network's drive it cannot: move the file",
        )
    size, page = int(str(pragma("page_count"))), int(str(pragma("page_size")))
    free = int(str(pragma("freelist_count")))
    if free * page > _FREE and free > size * _SHARE_FREE:
        yield Finding(
            "note",
            check="file",
            found=f"{free * page // 2**20:,} MB of the file's {size * page // 2**20:,} are empty",
            cure="VACUUM gives them back, while nobody else uses the file",
        )
    name = database.engine.url.database or ""
    wal = Path(f"{name}-wal")
    if wal.exists() and wal.stat().st_size > _LARGE_WAL:
        yield Finding(
            "warning",
            check="file",
            found=f"the write-ahead log beside the file has {wal.stat().st_size // 2**20:,} MB, so "
            "somebody reads in one transaction for very long, or crashed",
            cure="end it, then PRAGMA wal_checkpoint(TRUNCATE)",
        )
    yield from _broken(patient)


def _broken(patient: Patient) -> Iterable[Finding]:
    said = [row[0] for row in patient.connection.execute(_PRAGMAS["quick_check"])]
    if said != ["ok"]:
        yield Finding(
            "fault",
            check="file",
            found=f"the file is damaged: {'; '.join(map(str, said[:3]))}",
            cure="stop everything and restore a backup; `.recover` of sqlite3 saves what it can",
        )
