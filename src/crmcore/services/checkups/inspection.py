"""Inspection: what plugins have cost, how far they are behind, and what they keep."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

from attrs import evolve, frozen
from sqlalchemy import Table, bindparam, func, select

from crmcore.hooks import PluginTable
from crmcore.persistence.connection import Connection
from crmcore.persistence.faults import fault
from crmcore.services.checkups.hook_times import REST, HookTime, SlowPluginError, hook_times
from crmcore.services.checkups.status import PluginStatus, looking, status_of

_breaches: Final = (
    select(fault.c.plugin, fault.c.hook, func.count(), func.max(fault.c.recorded_at))
    .where(fault.c.error == bindparam("error"))
    .group_by(fault.c.plugin, fault.c.hook)
)


@frozen(kw_only=True)
class HookCost:
    """
    What one hook of a plugin has cost the shop's transactions; times in microseconds of CPU.

    Attributes:
        rows: For how many rows it was called, all calls together.
        slowest: The longest call.
        breaches: How often it took so much, again and again, that its work was left to the worker.
    """

    hook: str
    calls: int
    rows: int
    microseconds: int
    slowest: int
    breaches: int


@frozen(kw_only=True)
class Cost:
    """What a plugin has cost the shop's transactions, all its hooks together; see `HookCost`."""

    calls: int
    rows: int
    microseconds: int
    breaches: int

    @classmethod
    def of(cls, hooks: Collection[HookCost]) -> Cost:
        """Return what some hooks have cost together."""
        return cls(
            calls=sum(each.calls for each in hooks),
            rows=sum(each.rows for each in hooks),
            microseconds=sum(each.microseconds for each in hooks),
            breaches=sum(each.breaches for each in hooks),
        )


@frozen(kw_only=True)
class PluginInspection:
    """
    One plugin as its database knows it.

    Attributes:
        hooks: What each has cost, the dearest first; those that were never called are not there.
        rests_until: The instant until which an application leaves its work to the worker, as it
            took too much time; None: it does not rest.
        rows: How many rows each of its tables has; None where the table is not there.
    """

    status: PluginStatus
    hooks: Sequence[HookCost]
    rests_until: int | None
    rows: Mapping[str, int | None]

    @property
    def cost(self) -> Cost:
        """What all its hooks have cost."""
        return Cost.of(self.hooks)


def inspect_plugin(
    url: str, name: str, tables: Sequence[PluginTable], on: Collection[str], now: int
) -> PluginInspection:
    """
    Return how a plugin stands in the database at *url*; nothing is changed, or tried again.

    Args:
        tables: The plugin's, whose rows are counted.
        on: Names of the plugins that are switched on.

    Raises:
        SchemaError: If the database is not there, or of another revision.
    """
    with looking(url) as connection:
        (found,) = _inspected(connection, [name], on, now)
        return evolve(found, rows=count_rows(connection, [each.table for each in tables]))


def inspect_plugins(url: str, on: Collection[str], now: int) -> list[PluginInspection]:
    """
    Return how all plugins stand: those switched on in their order, then those that left something.

    Raises:
        SchemaError: If the database is not there, or of another revision.
    """
    with looking(url) as connection:
        return _inspected(connection, [], on, now)


def _inspected(
    connection: Connection, wanted: Sequence[str], on: Collection[str], now: int
) -> list[PluginInspection]:
    """Return how the wanted plugins stand; without any wanted, all that there is something of."""
    standing = {each.name: each for each in status_of(connection, on, now).plugins}
    breaches = {
        (plugin, hook): (count, last)
        for plugin, hook, count, last in connection.execute(
            _breaches, error=SlowPluginError.__name__
        )
    }
    times: dict[str, list[HookTime]] = {}
    for each in hook_times(connection):
        times.setdefault(each.plugin, []).append(each)
    names = wanted or [*standing, *sorted(times.keys() - standing.keys())]
    found = []
    for name in names:
        lasts = [last for (plugin, _), (_, last) in breaches.items() if plugin == name]
        until = max(lasts) + REST if lasts else 0
        found.append(
            PluginInspection(
                status=standing.get(name) or PluginStatus(name=name, is_on=name in on),
                hooks=[
                    _cost(each, breaches.get((name, each.hook), (0, 0))[0])
                    for each in times.get(name, ())
                ],
                rests_until=until if until > now else None,
                rows={},
            )
        )
    return found


def _cost(each: HookTime, breaches: int) -> HookCost:
    return HookCost(
        hook=each.hook,
        calls=each.calls,
        rows=each.items,
        microseconds=each.microseconds,
        slowest=each.slowest,
        breaches=breaches,
    )


def count_rows(connection: Connection, tables: Iterable[Table]) -> dict[str, int | None]:
    """Return how many rows tables have; None for those that are not there."""
    present = set(connection.inspector.get_table_names())
    return {
        table.name: connection.execute(select(func.count()).select_from(table))[0][0]
        if table.name in present
        else None
        for table in tables
    }
