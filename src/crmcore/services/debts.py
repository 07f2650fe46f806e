"""Debts paid: a plugin catches up with the customers it missed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Text, bindparam, delete, select, true

from crmcore.errors import PluginError
from crmcore.hooks import CustomerList, CustomersRecompute, Everyone, IdList, Plugin
from crmcore.persistence.connection import Connection
from crmcore.persistence.customers import customer
from crmcore.persistence.faults import debt
from crmcore.persistence.ledger import interaction
from crmcore.persistence.portable import json_list
from crmcore.persistence.schema import Whole
from crmcore.services import faults
from crmcore.services.dispatcher import Dispatcher
from crmcore.services.folds import own_source
from crmcore.services.recorder import Recorder
from crmcore.services.runtime import Runtime
from crmcore.services.unit import Unit

AT_ONCE: Final = 1000
_ID = 0

_oldest = (
    select(debt.c.customer_id, debt.c.first_interaction_id, debt.c.missed_stages)
    .where(debt.c.plugin == bindparam("owner"), debt.c.customer_id > bindparam("beyond"))
    .order_by(debt.c.customer_id)
    .limit(AT_ONCE)
)
_owners = select(debt.c.plugin).distinct()
_missed = select(*interaction.columns).order_by(interaction.c.interaction_id)


class DebtService:
    """Pays debts, and rebuilds what plugins derive."""

    def __init__(self, runtime: Runtime, dispatcher: Dispatcher, recorder: Recorder) -> None:
        self._runtime = runtime
        self._dispatcher = dispatcher
        self._recorder = recorder
        portable = runtime.database.portable
        self._recompute = dict_of(runtime.assembly.of(Plugin.recompute_customers))
        self._recorded = dict_of(runtime.assembly.of(Plugin.on_interactions_recorded))
        self._changed = dict_of(runtime.assembly.of(Plugin.on_stages_changed))
        self._pay = delete(debt).where(
            debt.c.plugin == bindparam("owner"), portable.is_in(debt.c.customer_id, "customers")
        )
        self._missed = _missed.where(
            portable.is_in(interaction.c.customer_id, "customers"),
            interaction.c.interaction_id >= bindparam("first"),
            interaction.c.source != bindparam("own"),
        )
        self._owe_all = (
            portable.insert(debt)
            .from_select(
                ["plugin", "customer_id", "first_interaction_id"],
                select(
                    bindparam("owner", type_=Text()),
                    customer.c.customer_id,
                    bindparam("first", type_=Whole),
                ).where(true()),
            )
            .on_conflict_do_nothing()
        )

    def owing(self, connection: Connection) -> list[Plugin]:
        """Return the plugins that are here and have debts, in plugin order."""
        owners = {row[0] for row in connection.execute(_owners)}
        return [plugin for plugin in self._runtime.assembly if plugin.name in owners]

    def owe_everything(self, unit: Unit, plugin: str) -> None:
        """
        Note that a plugin has to make anew what it derives, for every customer.

        About what was recorded by now it decides nothing; an older debt stays, with what it missed.
        """
        first = unit.opening.next_id(unit.connection)
        unit.connection.change(self._owe_all, owner=plugin, first=first)
        unit.opening.owes = True

    def pay(self, unit: Unit, plugin: Plugin, beyond: int = 0) -> tuple[int, int] | None:
        """
        Pay one portion of a plugin's debts, customers in the order of their ids from *beyond*.

        Returns how many were paid and the last customer looked at; None when none is left.
        """
        rows = unit.connection.execute(_oldest, owner=plugin.name, beyond=beyond)
        if not rows:
            return None
        groups: dict[int, list[tuple[int, str | None]]] = {}
        for customer_id, first, stages in rows:
            groups.setdefault(first, []).append((customer_id, stages))
        paid = sum(
            len(group)
            for first, group in groups.items()
            if self._pay_group(unit, plugin, first, group)
        )
        self._recorder.record_decisions(unit)
        return paid, rows[-1][0]

    def _pay_group(
        self,
        unit: Unit,
        plugin: Plugin,
        first: int,
        group: Sequence[tuple[int, str | None]],
    ) -> bool:
        customers = tuple(customer_id for customer_id, _ in group)
        context = unit.context(plugin)

        called = ["recompute_customers"]

        def catch_up() -> None:
            self.recompute(unit, plugin, CustomerList(customers, first))
            unit.connection.change(self._pay, owner=plugin.name, customers=json_list(customers))
            called.append("on_interactions_recorded")
            self._replay(unit, plugin, customers, first)
            changes = tuple(c for _, stages in group for c in faults.read_missed(stages))
            if changes and plugin.name in self._changed:
                called.append("on_stages_changed")
                call = self._recorder.changed_call(
                    unit, plugin, self._changed[plugin.name], changes
                )
                call.run(context, call.event)

        _, error = self._dispatcher.isolated(unit, plugin, lambda: called[-1], catch_up)
        return error is None

    def _replay(self, unit: Unit, plugin: Plugin, customers: tuple[int, ...], first: int) -> None:
        """Give the plugin the rows it missed, in their order."""
        if plugin.name not in self._recorded:
            return
        rows = unit.connection.execute(
            self._missed,
            customers=json_list(customers),
            first=first,
            own=own_source(plugin.name),
        )
        if rows:
            event = self._recorder.event(unit, rows, IdList(tuple(row[_ID] for row in rows)))
            self._recorded[plugin.name](unit.context(plugin), event)

    def recompute(self, unit: Unit, plugin: Plugin, selection: CustomerList | Everyone) -> None:
        """Let a plugin make its derived rows anew; it cannot decide anything meanwhile."""
        if plugin.name not in self._recompute:
            return
        context = unit.context(plugin)
        context.mode = "rebuild"
        try:
            self._recompute[plugin.name](context, CustomersRecompute(selection))
        finally:
            context.mode = "live"

    def rebuild(self, unit: Unit, plugin: Plugin) -> None:
        """
        Make everything a plugin derives anew. What it owes it still owes: nothing is decided.

        Raises:
            PluginError: If the plugin raises; nothing is changed then.
        """
        try:
            self.recompute(unit, plugin, Everyone())
        except Exception as error:
            raise PluginError(
                plugin.name, f"the rebuild raised {type(error).__name__}: {error}"
            ) from error


def dict_of(compiled: Any) -> dict[str, Any]:
    return {plugin.name: function for plugin, function in compiled}
