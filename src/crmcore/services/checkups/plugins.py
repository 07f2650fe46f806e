"""Plugins: who takes too much of the shop's transactions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from crmcore.services.checkups.finding import Finding, Patient
from crmcore.services.checkups.hook_times import BUDGET, MILLISECOND, PER_ITEM, hook_times

ENOUGH: Final = 20
"""Calls from which on a mean says something: the first of a process compile statements."""


def check_shadows(patient: Patient) -> Iterable[Finding]:
    """Find plugins that decide in vain."""
    for each in patient.status.plugins:
        if each.is_on and each.in_shadow:
            yield Finding(
                "note",
                check="shadow",
                found=f"plugin {each.name!r} is in shadow: what it decides is kept on record, and "
                "nobody acts on it",
                cure=f"take `shadow = true` out of [plugins.{each.name}] when it is to act",
            )


def check_slow_plugins(patient: Patient) -> Iterable[Finding]:
    """Find hooks that take more CPU than their budget."""
    for each in hook_times(patient.connection):
        if each.calls < ENOUGH:
            continue
        mean = each.microseconds / each.calls
        if mean > max(BUDGET, PER_ITEM * each.items / each.calls):
            yield Finding(
                "warning",
                check="plugins",
                found=f"{each.hook} of plugin {each.plugin!r} took {mean / MILLISECOND:,.0f} ms of "
                f"CPU a call in {each.calls:,} calls, {each.slowest / MILLISECOND:,.0f} at most, "
                "in the shop's transactions",
                cure="let it fold with one statement instead of a loop, or do the work in "
                "after_interactions_recorded or a timer",
            )
