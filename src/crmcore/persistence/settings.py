"""What the database itself keeps, as named texts."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import bindparam, cast, select

from crmcore.persistence.catalogue import setting
from crmcore.persistence.connection import Connection
from crmcore.persistence.schema import Whole

INSTANCE: Final = "instance"
"""Tells one database from another; a random text, written when its tables were made."""

_setting = select(setting.c.setting_value).where(setting.c.setting == bindparam("wanted"))


def read_setting(connection: Connection, name: str) -> str | None:
    """Return what the database itself keeps under *name*, or None."""
    rows = connection.execute(_setting, wanted=name)
    return rows[0][0] if rows else None


def write_setting(connection: Connection, name: str, text: str) -> None:
    statement = connection.database.once("write setting", lambda: _upsert(connection))
    connection.insert_rows(statement, [(name, text)])


def raise_setting(connection: Connection, name: str, number: int) -> None:
    """Keep *number* under *name* unless a higher one is there, whoever else does the same."""
    statement = connection.database.once("raise setting", lambda: _upsert(connection, rising=True))
    connection.insert_rows(statement, [(name, str(number))])


def _upsert(connection: Connection, *, rising: bool = False) -> Any:
    new = connection.database.portable.insert(setting)
    higher = cast(setting.c.setting_value, Whole) < cast(new.excluded.setting_value, Whole)
    return new.on_conflict_do_update(
        index_elements=["setting"],
        set_={"setting_value": new.excluded.setting_value},
        where=higher if rising else None,
    )


IN_SHADOW: Final = "shadow"
"""The setting that names the plugins in shadow."""

ERASING: Final = "plugins that erase"
"""The setting that names all plugins that ever said they keep something besides their tables."""


def read_shadow(connection: Connection) -> set[str]:
    """Return the plugins that were in shadow when the database was opened last."""
    return read_names(connection, IN_SHADOW)


def read_names(connection: Connection, name: str) -> set[str]:
    """Return the names that the setting *name* lists; none if there is no such setting."""
    return set(filter(None, (read_setting(connection, name) or "").split(" ")))
