"""Folder: where a SQLite database is to lie."""

from __future__ import annotations

from pathlib import Path

from crmcore.errors import StorageError
from crmcore.persistence.database import Database


def check_folder(database: Database) -> None:
    """Refuse a file in a folder that is not there, of which SQLite says no more than "unable"."""
    path = file_of(database)
    if path is not None and not path.parent.is_dir():
        raise StorageError(
            f"the database {path} cannot be opened: there is no folder {path.parent}; make it, or "
            "mend `database` in crm.toml"
        )


def file_of(database: Database) -> Path | None:
    """Return the file of a database; None if it has none, or one that only SQLite can name."""
    name = str(database.engine.url.database)
    is_file = database.portable.is_sqlite and not database.is_in_memory
    return Path(name) if is_file and not name.startswith("file:") else None
