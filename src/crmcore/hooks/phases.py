"""Phases: when hooks are called, what becomes of their answers, and of what they raise."""

from __future__ import annotations

from typing import Final

from attrs import frozen

from crmcore.errors import NotFoundError, nearest


@frozen
class Phase:
    """
    How hooks of one kind are called.

    Attributes:
        prefix: The first word of their names; for a hook with rules of its own, its whole name.
        when: When they are called, in a few words.
        results: What becomes of what they return.
        exception: What becomes of an exception.
    """

    prefix: str
    when: str
    results: str
    exception: str


_DEBT: Final = (
    "What the plugin did is undone, a fault stays, and the plugin has debt with these customers, "
    "which a worker pays; the order commits."
)

PHASES: Final = (
    Phase(
        "register",
        "at start",
        "All that plugins return is put together; two of one name stop the start.",
        "The start stops, and the error names the plugin.",
    ),
    Phase(
        "prepare",
        "before writing",
        "Plugins are asked in order, each given what the one before returned; None leaves it.",
        "A fault stays, and the draft goes on as it was.",
    ),
    Phase(
        "guard",
        "before acting",
        "All are asked, any refusal wins, and all reasons are recorded.",
        "A fault stays, and it counts as a refusal.",
    ),
    Phase(
        "choose",
        "one answer is needed",
        "The first answer in plugin order that is not None counts.",
        "A fault stays, and the next plugin is asked.",
    ),
    Phase(
        "on",
        "in the transaction",
        "Nothing is returned; what the plugin writes and records commits with the order.",
        _DEBT,
    ),
    Phase(
        "after",
        "after the commit",
        "Nothing is returned; what the plugin asks for is done when the hook has returned.",
        "A fault stays; the rows of the customers it fails with are told again, with growing "
        "delays, and parked after 8 attempts, while those of all others go on.",
    ),
    Phase(
        "describe",
        "on a question",
        "What all return is shown together, each plugin's part under its name.",
        "A fault stays, and the plugin's part is shown as missing.",
    ),
    Phase(
        "recompute",
        "rebuild and debt",
        "Nothing is returned; the plugin's derived rows are made anew, and nothing can be decided.",
        "What it did is undone: a rebuild fails and changes nothing, and a debt stays.",
    ),
    Phase(
        "deliver",
        "outside any transaction",
        "One outcome for each message, in their order, from the plugin whose channel it is.",
        "Nobody knows what became of what was handed over: those messages are unknown.",
    ),
    Phase(
        "export",
        "on a request",
        "What all return stands in the export, each plugin's part under its name.",
        "The export fails: one that lacks something would be untrue.",
    ),
    Phase(
        "erase",
        "on a request",
        "What all return is told in the erasure's report.",
        "Nothing is erased at all, and the error says why.",
    ),
    Phase(
        "prepare_message",
        "outside any transaction",
        "Plugins are asked in order, each given what the one before returned; None leaves it.",
        "The message is deferred if it is the plugin's own; otherwise the content stays as it was.",
    ),
    Phase(
        "guard_message",
        "before acting",
        "All are asked, any hold wins, and of several instants the latest.",
        "A fault stays, and none of the batch goes for now.",
    ),
    Phase(
        "on_deliveries_changed",
        "in the transaction",
        "Nothing is returned; what the plugin writes commits with the outcome.",
        "What the plugin did is undone, a fault stays, and so does the outcome.",
    ),
    Phase(
        "on_timers_due",
        "own transaction",
        "Nothing is returned; the timers are gone, and are set again to repeat.",
        "What the plugin did is undone; the timers it fails with are tried again, with growing "
        "delays, and parked after 8 attempts.",
    ),
    Phase(
        "on_started",
        "at start",
        "Nothing is returned; what the plugin records and sets commits in the start's transaction.",
        "The start stops, and the error names the plugin.",
    ),
    Phase(
        "on_stopping",
        "at the end",
        "Nothing is returned; what the plugin records and sets commits.",
        "A fault stays, and the others are called all the same.",
    ),
)
"""The rules of every hook: those of its whole name, or else those of its first word."""

_BY_PREFIX: Final = {phase.prefix: phase for phase in PHASES}


def phase_of(hook_name: str) -> Phase:
    """
    Return how a hook is called.

    Raises:
        NotFoundError: If no hook can be named so.
    """
    found = _BY_PREFIX.get(hook_name) or _BY_PREFIX.get(hook_name.partition("_")[0])
    if found is None:
        words = sorted(prefix for prefix in _BY_PREFIX if "_" not in prefix)
        raise NotFoundError(
            f"no phase of hooks is named like {hook_name!r}"
            f"{nearest(hook_name.partition('_')[0], words)}; there are: {', '.join(words)}"
        )
    return found
