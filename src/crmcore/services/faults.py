"""Faults: what plugins raised, on record, and the debt they have with customers since."""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Iterable, Mapping

from attrs import asdict, evolve, frozen
from sqlalchemy import bindparam, func, insert, select, update

from crmcore.hooks import StageChanged
from crmcore.persistence.connection import Connection
from crmcore.persistence.faults import debt, fault, fault_ids
from crmcore.persistence.ids import next_ids

logger = logging.getLogger("crmcore")

_insert_fault = insert(fault)
_any_debt = select(debt.c.plugin).limit(1)
_faults = (
    select(*fault.columns)
    .where(fault.c.plugin == bindparam("plugin"))
    .order_by(fault.c.fault_id.desc())
    .limit(bindparam("most"))
)
_count = select(debt.c.plugin, func.count()).group_by(debt.c.plugin).order_by(debt.c.plugin)
_owner = (debt.c.plugin == bindparam("owner")) & (debt.c.customer_id == bindparam("customer"))
_missed = select(debt.c.missed_stages).where(_owner)
_miss = update(debt).where(_owner).values(missed_stages=bindparam("stages"))
_fault_count = select(fault.c.plugin, func.count()).group_by(fault.c.plugin)


@frozen(kw_only=True)
class Fault:
    """Something a plugin raised; *recorded_at* is in microseconds."""

    id: int
    plugin: str
    hook: str
    recorded_at: int
    error: str
    message: str
    trace: str


def record_fault(
    connection: Connection, *, plugin: str, hook: str, now: int, error: BaseException
) -> int:
    """Write down what *plugin* raised in *hook*, and return the fault's id."""
    said = said_by(error)
    logger.warning("plugin %r raised in %s: %s", plugin, hook, said, exc_info=error)
    (fault_id,) = next_ids(connection, fault_ids, fault.c.fault_id, 1)
    trace = "".join(traceback.format_exception(error))[-8000:]
    row = (
        fault_id,
        plugin,
        hook,
        now,
        type(error).__name__,
        said,
        storable(trace),
    )
    connection.insert_rows(_insert_fault, [row])
    return fault_id


def storable(told: str) -> str:
    """Return what a plugin said with the characters escaped that a database cannot store."""
    return told.encode(errors="backslashreplace").decode().replace("\0", "\\x00")


def said_by(error: BaseException) -> str:
    """Return what an error says, such that it can be stored; raises nothing."""
    try:
        return storable(str(error))
    except Exception:
        return "(it cannot even say what it is)"


def find_faults(connection: Connection, plugin: str, *, most: int = 20) -> list[Fault]:
    """Return the plugin's faults, newest first."""
    rows = connection.execute(_faults, plugin=plugin, most=most)
    return [
        Fault(
            id=r[0], plugin=r[1], hook=r[2], recorded_at=r[3], error=r[4], message=r[5], trace=r[6]
        )
        for r in rows
    ]


def count_faults(connection: Connection) -> Mapping[str, int]:
    """Return how many faults each plugin has left."""
    return dict(connection.execute(_fault_count))


def has_debt(connection: Connection) -> bool:
    """Return whether any plugin owes work for any customer."""
    return bool(connection.execute(_any_debt))


def count_debt(connection: Connection) -> Mapping[str, int]:
    """Return for how many customers each plugin owes work."""
    return dict(connection.execute(_count))


def add_debt(connection: Connection, plugin: str, customers: Iterable[int], *, first: int) -> None:
    """Note that *plugin* owes work from interaction *first* on; an older debt stays."""
    database = connection.database
    owe = database.once("owe", lambda: database.portable.insert(debt).on_conflict_do_nothing())
    connection.insert_rows(owe, [(plugin, c, first, None, 0, 0) for c in sorted(customers)])


def add_missed(connection: Connection, plugin: str, missed: Iterable[StageChanged]) -> None:
    """Note changes of stage that *plugin*, already in debt, was not told of."""
    for change in missed:
        row = {"owner": plugin, "customer": change.customer_id}
        ((before,),) = connection.execute(_missed, **row)
        told = [*json.loads(before or "[]"), asdict(change)]
        connection.change(_miss, **row, stages=json.dumps(told))


def read_missed(stages: str | None) -> list[StageChanged]:
    """Return, for each lifecycle and subject, the one change that the missed ones add up to."""
    summed: dict[tuple[str, str], StageChanged] = {}
    for values in json.loads(stages or "[]"):
        change = StageChanged(**values)
        key = change.lifecycle, change.subject
        first = summed.get(key)
        summed[key] = change if first is None else evolve(change, from_stage=first.from_stage)
    return [change for change in summed.values() if change.from_stage != change.to_stage]
