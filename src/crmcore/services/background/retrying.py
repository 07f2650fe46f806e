"""Retrying: what plugins failed with is due at once, whatever its time would be."""

from __future__ import annotations

from sqlalchemy import bindparam, or_, update

from crmcore.persistence.connection import Connection
from crmcore.persistence.cursors import backlog
from crmcore.persistence.faults import debt
from crmcore.persistence.timers import timer

_debts = (
    update(debt)
    .where(debt.c.plugin == bindparam("owner"))
    .values(attempt=0, run_at=bindparam("now"))
)
_waiting = (
    update(backlog)
    .where(backlog.c.plugin == bindparam("owner"))
    .values(attempt=0, run_at=bindparam("now"), parked_at=None)
)
# One that did not fail, and was not parked, is to be tried when it is due.
_timers = (
    update(timer)
    .where(
        timer.c.plugin == bindparam("owner"),
        or_(timer.c.run_at != timer.c.due_at, timer.c.parked_at.is_not(None)),
    )
    .values(attempt=0, run_at=bindparam("now"), parked_at=None)
)


def let_be_retried(connection: Connection, plugin: str, now: int) -> int:
    """Let everything a plugin failed with be tried at once; returns how much there is."""
    return sum(
        connection.change(statement, owner=plugin, now=now)
        for statement in (_debts, _waiting, _timers)
    )
