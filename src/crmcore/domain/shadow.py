"""Shadow: what plugins decide beside the others, and nobody acts on."""

from __future__ import annotations

from typing import Final

from attrs import frozen

from crmcore.domain.kind import Kind

SHADOW: Final = "shadow:"
"""What the name begins with under which a plugin in shadow acts, and the source of its facts."""

PLUGIN: Final = "plugin:"
"""What the source begins with of what other plugins decide."""

HELD: Final = "message.held"


def shadow_of(plugin: str) -> str:
    """Return the name under which a plugin in shadow acts."""
    return SHADOW + plugin


def is_shadow(name: str) -> bool:
    """Return whether it is the name, or the source, of a plugin in shadow."""
    return name.startswith(SHADOW)


def plugin_of(source: str) -> str:
    """Return the plugin that decided something, in shadow or not; another source as it is."""
    return source.removeprefix(PLUGIN).removeprefix(SHADOW)


@frozen(kw_only=True)
class MessageHeld:
    """
    A message that a guard in shadow would have held back.

    Attributes:
        plugin: Whose message it is; empty for the shop's own.
        reason: What the guard said.
        not_before: Until when it would have held it, in microseconds; None: for good.
    """

    message: str
    plugin: str
    purpose: str
    reason: str
    not_before: int | None = None


SHADOW_KINDS: Final = (
    Kind(
        HELD,
        payload=MessageHeld,
        description="A guard in shadow would have held a message back; it went its way.",
    ),
)
"""Kinds that only plugins in shadow record."""
