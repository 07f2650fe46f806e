"""Work: what is due and not done, what failed, and what plugins owe."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from sqlalchemy import bindparam, func, select

from crmcore.domain.clock import DAY, SECOND
from crmcore.persistence.cursors import Commits, cursor
from crmcore.persistence.faults import debt
from crmcore.persistence.ledger import interaction
from crmcore.persistence.schema import Whole
from crmcore.persistence.stages import stage
from crmcore.persistence.timers import timer
from crmcore.services.checkups.finding import Finding, Patient, counted, lasted
from crmcore.services.checkups.status import PluginStatus

LATE: Final = 300 * SECOND
"""How long something may be due before a worker is missed."""

_due = (
    select(func.min(timer.c.run_at)).where(timer.c.parked_at.is_(None)),
    select(func.min(stage.c.next_at)).where(stage.c.next_at.is_not(None)),
)
_oldest_debts = (
    select(debt.c.plugin, func.min(interaction.c.recorded_at))
    .join_from(debt, interaction, interaction.c.interaction_id == debt.c.first_interaction_id)
    .group_by(debt.c.plugin)
)
_cursors = select(cursor.c.plugin, cursor.c.position_xid, cursor.c.position_id)
_recorded = select(interaction.c.recorded_at).where(
    interaction.c.interaction_id == bindparam("wanted")
)


_ahead = (
    select(interaction.c.source, func.count(), func.min(interaction.c.interaction_id))
    .where(interaction.c.occurred_at > bindparam("latest", type_=Whole))
    .group_by(interaction.c.source)
    .order_by(interaction.c.source)
)


def check_future(patient: Patient) -> Iterable[Finding]:
    """Find what was recorded as having happened, and has yet to happen."""
    for source, count, first in patient.connection.execute(_ahead, latest=patient.now + DAY):
        yield Finding(
            "warning",
            check="future",
            found=f"{counted(count, 'interaction')} of source {source!r} "
            f"{'lies' if count == 1 else 'lie'} more than a day ahead, "
            f"the first recorded as {first}: stages and figures follow from what has yet to happen",
            cure="mend what tells the time there, or reads it; what is recorded stays, so record "
            "beside it, under another key, what is right",
        )


def check_due(patient: Patient) -> Iterable[Finding]:
    """Find that nobody does what falls due."""
    dues = [patient.connection.execute(each)[0][0] for each in _due]
    oldest = min((due for due in dues if due is not None), default=patient.now)
    if patient.now - oldest > LATE:
        yield Finding(
            "warning",
            check="due",
            found=f"something has been due for {lasted(patient.now - oldest)}: no worker runs, or "
            "those that do are behind",
            cure="run `crm worker` beside the shop, or call crm.start_worker() in it",
        )


def check_debts(patient: Patient) -> Iterable[Finding]:
    """Find plugins that owe work for customers."""
    since: dict[str, int] = dict(patient.connection.execute(_oldest_debts))
    for each in patient.status.plugins:
        if each.debts:
            age = (
                f", the oldest for {lasted(patient.now - since[each.name])}"
                if each.name in since
                else ""
            )
            yield Finding(
                "warning",
                check="debts",
                found=f"plugin {each.name!r} has yet to catch up with "
                f"{counted(each.debts, 'customer')}{age}{_said(each)}",
                cure=_run_again(each),
            )


def check_parked(patient: Patient) -> Iterable[Finding]:
    """Find what failed too often to be tried again by itself."""
    for each in patient.status.plugins:
        parked = [
            counted(count, noun)
            for count, noun in ((each.timers_parked, "timer"), (each.waiting_parked, "customer"))
            if count
        ]
        if parked:
            yield Finding(
                "fault",
                check="parked",
                found=f"plugin {each.name!r} failed too often with {' and '.join(parked)}, which "
                f"nobody tries again by themselves{_said(each)}",
                cure=_run_again(each),
            )


def check_lag(patient: Patient) -> Iterable[Finding]:
    """Find plugins that have long not been told what was committed."""
    commits = Commits(patient.connection.database.portable)
    behind = {each.name: each.behind for each in patient.status.plugins if each.behind}
    for plugin, xid, last in patient.connection.execute(_cursors):
        if plugin not in behind:
            continue
        ((first,),) = patient.connection.execute(
            commits.lowest_following, beyond_xid=xid, beyond_id=last
        )
        since = patient.connection.execute(_recorded, wanted=first)
        waited = patient.now - since[0][0] if since else 0
        if waited > LATE:
            is_on = any(each.name == plugin and each.is_on for each in patient.status.plugins)
            yield Finding(
                "warning" if is_on else "note",
                check="lag",
                found=f"plugin {plugin!r} has {counted(behind[plugin] or 0, 'interaction')} to be "
                f"told of, the oldest recorded {lasted(waited)} ago",
                cure="run `crm worker`; if one runs, see in `crm status` what failed last"
                if is_on
                else "nothing is needed; it goes on from there when it is switched on",
            )


def _said(each: PluginStatus) -> str:
    fault = each.last_fault
    return f"; it last raised {fault.error}: {fault.message}" if fault is not None else ""


def _run_again(each: PluginStatus) -> str:
    if not each.is_on:
        return f"add [plugins.{each.name}] to switch it on: what it left waits for it"
    return f"mend the plugin, then `crm retry {each.name}`, or let it rest by taking it out"
