"""`crm status`: how things stand, on a page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import click

from crmcore.cli.answers import instant_json
from crmcore.cli.shell import Shell, config_option, echo_json, json_option, pass_shell
from crmcore.cli.terminal.page import Page, open_page
from crmcore.cli.terminal.words import moment, plural
from crmcore.configuration import load_configuration
from crmcore.domain.clock import Calendar, SystemClock
from crmcore.domain.message import PENDING, STATES, State
from crmcore.services.checkups.status import PluginStatus, Status, read_status
from crmcore.services.faults import Fault
from crmcore.services.starting.assembly import Assembly

_COLUMNS: Final = "debts behind waiting (parked) timers (due) (parked) faults".split()
"""What of a plugin is counted; in brackets, how many of those before."""


@click.command
@config_option
@json_option
@pass_shell
def status(shell: Shell, as_json: bool) -> None:
    """
    Show how things stand, on one page.

    For each plugin: for how many customers it owes work, how many interactions it has yet to be
    told of, for how many customers it failed with that, its timers, and what it raised. Nothing
    that failed is tried again by looking.
    """
    configuration = load_configuration(shell.config)
    arguments = configuration.arguments()
    plugins = [plugin.name for plugin in Assembly(arguments["plugins"])]
    found = read_status(arguments["url"], plugins, SystemClock().now())
    if as_json:
        echo_json(status_json(found))
    else:
        _print(open_page(), found, Calendar.named(configuration.shop.zone))


def status_json(found: Status) -> dict[str, Any]:
    """Return how things stand as JSON."""
    return {
        "database": found.database,
        "revision": found.revision,
        "customers": found.customers,
        "merged": found.merged,
        "interactions": found.interactions,
        "duplicates": found.duplicates,
        "agreed": found.agreed,
        "messages": {state: found.messages.get(state, 0) for state in STATES},
        "plugins": [_plugin_json(each) for each in found.plugins],
    }


def _plugin_json(each: PluginStatus) -> dict[str, Any]:
    fault = each.last_fault
    return {
        "name": each.name,
        "is_on": each.is_on,
        "in_shadow": each.in_shadow,
        "revision": each.revision,
        "debts": each.debts,
        "behind": each.behind,
        "waiting": each.waiting,
        "waiting_parked": each.waiting_parked,
        "timers": each.timers,
        "timers_due": each.timers_due,
        "timers_parked": each.timers_parked,
        "faults": each.faults,
        "last_fault": None if fault is None else _fault_json(fault),
    }


def _fault_json(fault: Fault) -> dict[str, Any]:
    return {
        "hook": fault.hook,
        "recorded_at": instant_json(fault.recorded_at),
        "error": fault.error,
        "message": fault.message,
    }


def _print(page: Page, found: Status, calendar: Calendar) -> None:
    page.heading("database", f"revision {found.revision}")
    page.say(found.database)
    page.heading("customers")
    merged = f", and {found.merged:,} merged into others" if found.merged else ""
    page.say(
        f"{plural(found.customers, 'customer')}{merged}; "
        f"{plural(found.interactions, 'interaction')}."
    )
    if found.duplicates:
        pairs = plural(found.duplicates, "pair")
        page.say(f"{pairs} may be one person; `crm duplicates` lists them.")
    if found.agreed:
        pairs = plural(found.agreed, "pair")
        page.say(
            f"{pairs} are one by policy; a worker, or `crm duplicates --merge-agreed`, merges."
        )
    page.heading("messages")
    for line in _messages(found.messages):
        page.say(line)
    page.heading("plugins")
    if not found.plugins:
        page.say("No plugin is switched on.")
        return
    page.table(
        [("plugin", "left"), *((name, "right") for name in _COLUMNS)],
        [_row(each) for each in found.plugins],
    )
    for line in _hints(found, calendar):
        page.gap()
        page.say(line)


def _messages(counts: Mapping[State, int]) -> Iterator[str]:
    """Yield how many messages stand how, and what is to be done where there is something."""
    if not counts:
        yield "None was ever planned."
        return
    waiting = sum(count for state, count in counts.items() if state in PENDING)
    told = [f"{counts[state]:,} {state}" for state in STATES if state in counts.keys() - PENDING]
    yield f"{waiting:,} to come, {', '.join(told) or 'none settled'}."
    if counts.get("deferred"):
        yield (
            f"Of those to come {counts['deferred']:,} were deferred by their channels, and are "
            "tried again as time passes; `crm deliver --put-off` tries them at once."
        )


def _row(each: PluginStatus) -> list[str]:
    numbers = (
        each.debts,
        each.behind,
        each.waiting,
        each.waiting_parked,
        each.timers,
        each.timers_due,
        each.timers_parked,
        each.faults,
    )
    return [each.name, *("-" if number is None else f"{number:,}" for number in numbers)]


def _hints(found: Status, calendar: Calendar) -> Iterator[str]:
    """Yield what the figures mean, where there is something to be done."""
    for each in found.plugins:
        if each.last_fault is not None:
            fault = each.last_fault
            when = moment(fault.recorded_at, calendar)
            yield (
                f"{each.name} raised last on {when}, in {fault.hook}: {fault.error}: "
                f"{fault.message}"
            )
        if each.is_on and each.in_shadow:
            yield f"{each.name} is in shadow: what it decides is kept, and nobody acts on it."
        if not each.is_on and (each.has_failed or each.timers):
            yield f"{each.name} is not switched on; what it has left waits until it is."
    if any(each.is_on and each.has_failed for each in found.plugins):
        yield "`crm retry` tries what failed again, at once."
    if any(each.is_on and (each.behind or each.timers_due) for each in found.plugins):
        yield "`crm worker` does what is due, and tells plugins what they are behind with."
