"""What went wrong in a plugin, as the shop has it on record."""

from __future__ import annotations

from crmcore.app import Crm


def troubles(crm: Crm, plugin: str) -> str:
    """Return what a plugin raised and what waits since, a line each; nothing if all is well."""
    lines = [
        f"{each.hook} raised {each.error}: {each.message}\n{_last(each.trace)}"
        for each in reversed(crm.faults(plugin, most=3))
    ]
    waiting = {
        "it owes work for {} customers": crm.debts(),
        "rows of {} customers wait to be told to it once more": crm.backlog(),
        "{} of its timers are parked": crm.parked_timers(),
    }
    lines += [said.format(found[plugin]) for said, found in waiting.items() if found.get(plugin)]
    return "\n".join(lines)


def _last(trace: str, most: int = 2) -> str:
    """Return the last places of a trace, where the error is."""
    lines = [line for line in trace.splitlines() if line.startswith("  ")]
    return "\n".join(lines[-2 * most :])
