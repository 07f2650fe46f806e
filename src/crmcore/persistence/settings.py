"""What the database itself keeps, as named texts."""

from __future__ import annotations

from sqlalchemy import bindparam, insert, select, update

from crmcore.persistence.catalogue import setting
from crmcore.persistence.connection import Connection

_setting = select(setting.c.setting_value).where(setting.c.setting == bindparam("wanted"))
_add_setting = insert(setting)
_change_setting = (
    update(setting)
    .where(setting.c.setting == bindparam("wanted"))
    .values(setting_value=bindparam("text"))
)


def read_setting(connection: Connection, name: str) -> str | None:
    """Return what the database itself keeps under *name*, or None."""
    rows = connection.execute(_setting, wanted=name)
    return rows[0][0] if rows else None


def write_setting(connection: Connection, name: str, text: str) -> None:
    if not connection.change(_change_setting, wanted=name, text=text):
        connection.insert_rows(_add_setting, [(name, text)])
