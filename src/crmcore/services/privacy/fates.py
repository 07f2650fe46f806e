"""What becomes of what plugins keep, in their tables and besides, and what is told of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from attrs import frozen

from crmcore.domain.privacy import Certificate, Outcome
from crmcore.errors import PluginError, RetryTransaction
from crmcore.hooks import Erasure, Plugin
from crmcore.services.privacy.erased import ANONYMISE, DELETE, reason_to_keep
from crmcore.services.privacy.personal_rows import PersonalTable

_KEPT_APART: Final = "the plugin that keeps them says so"

Unreached = dict[str, list[str]]
"""Plugins that could not let go of everything, each with sentences that say why."""


@frozen
class Kept:
    """A plugin's table that is there, whoever declared it, and its policy."""

    plugin: str
    policy: str
    table: PersonalTable


def outcome_of(kept: Kept, count: int) -> Outcome:
    """Return what becomes of so many rows of a plugin's table."""
    reason = reason_to_keep(kept.policy)
    if reason is not None:
        return Outcome(kept.table.name, fate="kept", count=count, reason=reason, plugin=kept.plugin)
    if kept.policy == ANONYMISE:
        left = "counts and amounts, which are about nobody"
        return Outcome(
            kept.table.name, fate="anonymised", count=count, reason=left, plugin=kept.plugin
        )
    if kept.policy != DELETE:
        return Outcome(
            kept.table.name, fate="kept", count=count, reason=_KEPT_APART, plugin=kept.plugin
        )
    return Outcome(kept.table.name, fate="erased", count=count, plugin=kept.plugin)


def answers_of(plugin: Plugin, ask: Callable[[], Iterable[Erasure] | None]) -> list[Erasure]:
    """Return what a plugin answers; raises a `PluginError` that names it."""
    try:
        answers = list(ask() or ())
    except RetryTransaction:
        raise
    except Exception as error:
        raise PluginError(
            plugin.name, f"erase_customer raised {type(error).__name__}: {error}"
        ) from error
    found: list[object] = [*answers]
    for each in found:
        if not isinstance(each, Erasure) or each.outcome not in ("erased", "kept"):
            raise PluginError(
                plugin.name,
                f"erase_customer gave {each!r}; an Erasure that is 'erased' or 'kept' is expected",
            )
    return answers


def told_by(plugin: str, each: Erasure) -> Outcome:
    """Return what a plugin said becomes of something it holds besides tables."""
    return Outcome(
        each.what,
        fate="kept" if each.outcome == "kept" else "erased",
        count=each.count,
        reason=each.reason,
        plugin=plugin,
    )


def as_told(merged: Sequence[int], outcomes: Sequence[Outcome], unreached: Unreached) -> str:
    """Return as JSON what stays on record of what an erasure did, and of what it did not reach."""
    told: dict[str, Any] = {"merged": [*merged], "outcomes": [each.as_json() for each in outcomes]}
    if unreached:
        told["unreached"] = sorted(unreached)
    return json.dumps(told, ensure_ascii=False)


def from_told(text: str) -> tuple[list[int], list[Outcome], list[str]]:
    """Return what `as_told` wrote: who was merged, what became of what, and unreached plugins."""
    told = json.loads(text)
    outcomes = [Outcome(**{"plugin": None, "reason": None, **each}) for each in told["outcomes"]]
    return told["merged"], outcomes, told.get("unreached", [])


def as_certificate(row: Sequence[Any]) -> Certificate:
    """Return a row of `crm_erasure` as a value."""
    merged, outcomes, _ = from_told(row[6])
    return Certificate(
        id=row[0],
        customer_id=row[1],
        merged=tuple(merged),
        erased_at=row[2],
        verified_at=row[7],
        actor=row[3],
        reason=row[4],
        outcomes=tuple(outcomes),
    )
