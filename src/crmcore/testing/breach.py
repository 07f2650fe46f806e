"""A broken contract, as it is told to the author of a plugin."""

from __future__ import annotations

from collections.abc import Sequence

from crmcore.domain.interaction import Draft


class ContractBroken(AssertionError):  # noqa: N818 - it says what is so, as AssertionError does
    """A plugin does not keep the contract; the message names the plugin and what is wrong."""

    def __init__(self, plugin: str, wrong: str, history: Sequence[Draft] = ()) -> None:
        after = f"\n\nafter this history:\n{told(history)}" if history else ""
        super().__init__(f"{plugin}: {wrong}{after}")
        self.plugin = plugin
        self.wrong = wrong


def told(history: Sequence[Draft]) -> str:
    """Return a history as lines that can be read: when, what, who, how much, and what else."""
    return "\n".join(f"  {_line(draft)}" for draft in history)


def _line(draft: Draft) -> str:
    who = " ".join(f"{each.scheme}:{each.value}" for each in draft.identifiers)
    amount = "" if draft.amount is None else f"{draft.amount.amount_minor} {draft.amount.currency}"
    lines = " ".join(f"{each.quantity}x{each.product}" for each in draft.lines)
    payload = "" if not draft.payload else repr(draft.payload)
    when = "" if draft.occurred_at is None else str(draft.occurred_at)
    parts = (when, draft.kind, who or f"customer {draft.customer}", amount, lines, payload)
    return "  ".join(part for part in parts if part)
