"""Where plugins act because time has passed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from attrs import frozen

from crmcore.domain.timer import Timer
from crmcore.hooks.markers import hookspec

if TYPE_CHECKING:
    from crmcore.hooks.context import Context


@frozen(kw_only=True)
class TimersDue:
    """
    Timers of one plugin that fell due at one instant.

    Attributes:
        due: The instant they were set for, in microseconds; the clock may be later.
        late: Whether facts may have been recorded since: what is decided must not use them.
    """

    timers: tuple[Timer, ...]
    due: int
    late: bool

    def __iter__(self) -> Iterator[Timer]:
        return iter(self.timers)


class TimerHooks:
    """Where plugins act because time has passed."""

    @hookspec
    def on_timers_due(self, ctx: Context, event: TimersDue) -> None:
        """
        Act on timers this plugin set, in a transaction of their own.

        Called for the timers' owner only. The timers are gone; set them again to repeat. If
        the plugin raises, they are tried again later, and parked when that goes on.
        """
