"""Groups: what goes on record when a customer enters or leaves one, and at which instants."""

from __future__ import annotations

from typing import Final

from attrs import frozen

ENTERED: Final = "grouping.entered"
LEFT: Final = "grouping.left"
SOURCE: Final = "plugin:grouping"
"""What the core writes as the source of the plugin's decisions."""

MINUTE: Final = 60_000_000


@frozen(kw_only=True)
class GroupEntered:
    """
    A customer is in a group from now on.

    Attributes:
        group: Its name.
        rule: The first 12 digits of a hash of its rule: another one is another rule.
    """

    group: str
    rule: str

    def __str__(self) -> str:
        """Say what happened, as `crm why` shows it."""
        return f"entered {self.group}, by rule {self.rule}"


@frozen(kw_only=True)
class GroupLeft:
    """
    A customer is not in a group any more.

    Attributes:
        group: Its name.
        rule: The first 12 digits of a hash of the rule by which they are not; empty: there is no
            such group any more.
    """

    group: str
    rule: str

    def __str__(self) -> str:
        """Say what happened, as `crm why` shows it."""
        return f"left {self.group}, " + (f"by rule {self.rule}" if self.rule else "which is gone")


@frozen
class Grid:
    """
    The fixed instants at which groups are looked at, counted from 1970-01-01 UTC.

    They depend neither on batches nor on what arrived first, so neither does any decision.

    Attributes:
        step: Microseconds between two of them.
    """

    step: int

    def after(self, instant: int) -> int:
        """Return the first of them after *instant*."""
        return (instant // self.step + 1) * self.step

    def from_(self, instant: int) -> int:
        """Return the first of them at or after *instant*."""
        return -(-instant // self.step) * self.step
