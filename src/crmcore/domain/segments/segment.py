"""Segment: a rule about customers that was checked, and what can change who is in it."""

from __future__ import annotations

from attrs import field, frozen

from crmcore.domain.segments.dependencies import Dependencies
from crmcore.domain.segments.tree import Condition


@frozen(kw_only=True)
class Segment:
    """
    A rule about customers, checked; its text is what `str` makes of it.

    Attributes:
        condition: The tree, with every name in full.
        name: By which the shop knows it; None: it was only asked about.
        dependencies: What can change who is in it.
    """

    condition: Condition
    name: str | None = None
    dependencies: Dependencies = field(factory=Dependencies, eq=False, repr=False)

    def __str__(self) -> str:
        return repr(self.condition)
