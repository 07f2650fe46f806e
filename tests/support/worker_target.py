"""A process with a worker: `python -m tests.support.worker_target URL`, started by a line."""

from __future__ import annotations

import os
import sys
import time
import uuid
from typing import Any, ClassVar

from attrs import define
from sqlalchemy import Column, MetaData, PrimaryKeyConstraint, Table, Text, insert

from crmcore import (
    Context,
    Crm,
    Draft,
    InteractionsRecorded,
    Kind,
    Plugin,
    PluginTable,
    TimersDue,
    hookimpl,
)
from crmcore.services.background import timers
from tests.support.plugins import Whole

_metadata = MetaData()


def _appended(name: str) -> Table:
    return Table(
        name,
        _metadata,
        Column("customer_id", Whole, nullable=False),
        Column("token", Text, nullable=False),
        Column("process", Whole, nullable=False),
        PrimaryKeyConstraint("customer_id", "token"),
    )


FIRED, CAUGHT_UP = _appended("crm_tick_fired"), _appended("crm_tick_caught")


@define(eq=False)
class Tick(Plugin):
    """Appends a row for every timer and for every order, so that doing it twice shows."""

    name: ClassVar[str] = "tick"
    tables: ClassVar[tuple[PluginTable, ...]] = tuple(
        PluginTable(table, derived=False, merge="keep_both", erase="delete")
        for table in (FIRED, CAUGHT_UP)
    )

    fails: bool = False

    @hookimpl
    def register_kinds(self) -> list[Kind]:
        return [Kind("tick.fired")]

    @hookimpl
    def on_interactions_recorded(self, ctx: Context, event: InteractionsRecorded) -> None:
        if self.fails:
            raise ValueError("told to fail")
        orders = [item for item in event if item.kind == "order.placed"]
        _append(ctx, CAUGHT_UP, [item.customer_id for item in orders])

    @hookimpl
    def on_timers_due(self, ctx: Context, event: TimersDue) -> None:
        customers = [timer.customer_id for timer in event if timer.customer_id is not None]
        _append(ctx, FIRED, customers)
        ctx.record(*(Draft("tick.fired", customer=c, source_key="once") for c in customers))


def _append(ctx: Context, table: Table, customers: list[int]) -> None:
    rows: list[dict[str, Any]] = [
        {"customer_id": customer, "token": uuid.uuid4().hex, "process": os.getpid()}
        for customer in customers
    ]
    if rows:
        ctx.execute_many(_INSERT[table.name], rows)


_INSERT = {table.name: insert(table) for table in (FIRED, CAUGHT_UP)}


def main() -> None:
    timers.AT_ONCE = 100  # so that there is something for everybody
    with Crm(sys.argv[1], plugins=[Tick()], durable=False) as crm:
        worker = crm.worker()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.readline()
        while crm.next_due() is not None or crm.debts():
            worker.once()
            time.sleep(0.01)


if __name__ == "__main__":
    main()
