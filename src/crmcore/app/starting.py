"""Starting: what a database is found to hold, and what plugins missed, made good."""

from __future__ import annotations

from crmcore.app.parts import Parts
from crmcore.errors import PluginError, RetryTransaction
from crmcore.hooks import Plugin, Started
from crmcore.services.background import timers
from crmcore.services.identities.points import fill_points
from crmcore.services.runtime import Runtime
from crmcore.services.starting import catalogue
from crmcore.services.starting.shadows import leave_shadow
from crmcore.services.unit import Unit


def start(runtime: Runtime, parts: Parts, unit: Unit) -> None:
    """
    Make ready, in one transaction that no other process starts beside.

    Raises:
        PluginError: If a plugin raises in `on_started`.
        SchemaError: If the database counts in another currency.
    """
    unit.connection.wait_for_turn()
    catalogue.check_currency(unit.connection, runtime.currency)
    assembly = runtime.assembly
    missed = catalogue.note_enabled(
        unit.connection, "plugins", [plugin.name for plugin in assembly]
    )
    unseen = catalogue.note_enabled(unit.connection, "lifecycles", assembly.lifecycles)
    catalogue.note_erasing(
        unit.connection,
        [plugin.name for plugin in assembly],
        [plugin.name for plugin, _ in assembly.of(Plugin.erase_customer)],
    )
    fill_points(unit.connection, runtime.identity)
    entered, left = catalogue.note_shadow(unit.connection, runtime.shadow)
    for name in left:
        leave_shadow(unit.connection, name)
    timers.unpark(unit.connection, unit.now)
    parts.delivery.start(unit)
    parts.debts.put_off_no_longer(unit)
    for plugin in runtime.assembly:
        derives = any(table.derived for table in plugin.tables)
        anew = catalogue.open_plugin(unit.connection, plugin, unit.now)
        if anew or (derives and plugin.name in missed | entered | left):
            unit.connection.have_customers_alone()
            parts.debts.owe_everything(unit, plugin.name)
    zone = runtime.calendar.zone.key
    for service in parts.lifecycles:
        changed = catalogue.open_lifecycle(unit.connection, service.lifecycle, zone)
        if changed or service.lifecycle.name in unseen:
            unit.connection.have_customers_alone()
            service.recompute(unit)
    for plugin, start in runtime.assembly.of(Plugin.on_started):
        try:
            moved = plugin.name in entered | left
            has_missed = moved or (
                plugin.name in missed and catalogue.has_missed_facts(unit.connection, plugin.name)
            )
            start(unit.context(plugin), Started(has_missed=has_missed))
        except RetryTransaction:
            raise
        except Exception as error:
            raise PluginError(
                plugin.name, f"on_started raised {type(error).__name__}: {error}"
            ) from error
    parts.recorder.record_decisions(unit)
