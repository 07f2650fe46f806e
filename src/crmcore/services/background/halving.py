"""Halving: of many things done at once, those are found that fail."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeVar

from attrs import frozen

from crmcore.errors import RetryTransaction
from crmcore.hooks import Plugin
from crmcore.services import faults
from crmcore.services.unit import Unit

T = TypeVar("T")

MOST_NOTED: Final = 20
"""Faults written down for one portion; the others would say the same."""

logger = logging.getLogger("crmcore")


@frozen
class Failure:
    """What a plugin raised in which hook."""

    hook: str
    error: Exception


def attempt(
    unit: Unit, plugin: Plugin, hook: str | Callable[[], str], call: Callable[[], object]
) -> Failure | None:
    """
    Call within a savepoint; what is raised is returned, and what was done or decided undone.

    For work in a transaction of its own: nobody's order hangs on it, so a critical plugin is
    treated as the others are. Where several hooks are called in turn, *hook* tells which it was.
    """
    decisions = unit.context(plugin).decisions
    before = len(decisions)
    try:
        with unit.connection.savepoint():
            call()
            return None
    except RetryTransaction:
        raise
    except Exception as error:
        del decisions[before:]
        unit.settled.clear()  # undoing gives locks back
        return Failure(hook if isinstance(hook, str) else hook(), error)


def failing(
    items: Sequence[T], work: Callable[[Sequence[T]], Failure | None]
) -> list[tuple[T, Failure]]:
    """Do *work* for all items; where it fails, for each half, until it fails for one alone."""
    failure = work(items) if items else None
    if failure is None:
        return []
    if len(items) == 1:
        return [(items[0], failure)]
    middle = len(items) // 2
    return failing(items[:middle], work) + failing(items[middle:], work)


def note_failures(unit: Unit, plugin: Plugin, failures: Iterable[tuple[str, Failure]]) -> None:
    """Write down what a plugin raised, each with what it was about."""
    failures = list(failures)
    for about, failure in failures[:MOST_NOTED]:
        failure.error.add_note(f"It was about {about}.")
        faults.record_fault(
            unit.connection,
            plugin=plugin.name,
            hook=failure.hook,
            now=unit.now,
            error=failure.error,
        )
    left = len(failures) - MOST_NOTED
    if left > 0:
        logger.warning("plugin %r failed in the same portion %d times more", plugin.name, left)
