"""The instance: a database that was restored elsewhere counts its transactions anew."""

from __future__ import annotations

import logging
from typing import Final

from sqlalchemy import bindparam, func, select, text, update

from crmcore.persistence.connection import Connection
from crmcore.persistence.cursors import Commits, backlog, cursor
from crmcore.persistence.ledger import interaction
from crmcore.persistence.settings import read_setting, write_setting

CLUSTER: Final = "cluster"
"""The setting that tells which PostgreSQL database this is: positions are valid in it only."""

_BELOW_ALL: Final = 1  # a transaction that no database gives to anybody

logger = logging.getLogger("crmcore")

_may_ask = text("SELECT has_function_privilege('pg_control_system()', 'execute')")
_system = text("SELECT system_identifier FROM pg_control_system()")
_oid = text("SELECT oid FROM pg_database WHERE datname = current_database()")
# What is committed has a lower one; a higher one is from somewhere else.
_has_foreign = text(
    "SELECT 1 FROM crm_interaction WHERE xid >= pg_snapshot_xmax(pg_current_snapshot()) LIMIT 1"
)
_restart = text(f"UPDATE crm_interaction SET xid = '{_BELOW_ALL}' WHERE xid <> '{_BELOW_ALL}'")
_cursors = select(cursor.c.plugin, cursor.c.hook, cursor.c.position_xid, cursor.c.position_id)
_put_cursor = (
    update(cursor)
    .where(cursor.c.plugin == bindparam("owner"), cursor.c.hook == bindparam("which"))
    .values(position_xid=_BELOW_ALL, position_id=bindparam("id"), lease=None, leased_until=None)
)
_backlog = select(
    backlog.c.plugin,
    backlog.c.hook,
    backlog.c.customer_id,
    backlog.c.position_xid,
    backlog.c.position_id,
)
_put_backlog = (
    update(backlog)
    .where(
        backlog.c.plugin == bindparam("owner"),
        backlog.c.hook == bindparam("which"),
        backlog.c.customer_id == bindparam("customer"),
    )
    .values(position_xid=_BELOW_ALL, position_id=bindparam("id"))
)
_highest = select(func.coalesce(func.max(interaction.c.interaction_id), 0))


def note_instance(connection: Connection) -> None:
    """
    See whether the database is still the one that cursors' positions are valid in.

    Where it has been restored elsewhere, transactions in its rows mean nothing: they all get one
    that is below every new one, and each cursor goes back to before the lowest id that was not
    delivered. So nothing is skipped; some may be delivered again.
    """
    if connection.database.portable.is_sqlite:
        return  # there positions are ids, and go with the file
    here, before = _identity(connection), read_setting(connection, CLUSTER)
    if here == before and not connection.execute(_has_foreign):
        return
    write_setting(connection, CLUSTER, here)
    if before is None and not connection.execute(_has_foreign):
        return
    _put_right(connection)
    logger.warning(
        "the database has been restored from another one: what plugins were told after a commit "
        "goes on from the first interaction they were not told of, and some may come again"
    )


def _identity(connection: Connection) -> str:
    ((may_ask,),) = connection.execute(_may_ask)
    system = connection.execute(_system)[0][0] if may_ask else "unknown"
    return f"{system}/{connection.execute(_oid)[0][0]}"


def _put_right(connection: Connection) -> None:
    commits = Commits(connection.database.portable)
    end = connection.execute(_highest)[0][0] + 1
    cursors = [
        (owner, which, connection.execute(commits.lowest_following, beyond_xid=xid, beyond_id=last))
        for owner, which, xid, last in connection.execute(_cursors)
    ]
    waiting = [
        (
            owner,
            which,
            customer,
            connection.execute(
                commits.lowest_waiting, customer=customer, first_xid=xid, first_id=first
            ),
        )
        for owner, which, customer, xid, first in connection.execute(_backlog)
    ]
    connection.execute(_restart)
    for owner, which, ((lowest,),) in cursors:
        before = (end if lowest is None else lowest) - 1
        connection.change(_put_cursor, owner=owner, which=which, id=before)
    for owner, which, customer, ((lowest,),) in waiting:
        first = end if lowest is None else lowest
        connection.change(_put_backlog, owner=owner, which=which, customer=customer, id=first)
