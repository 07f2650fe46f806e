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
    Timers of one plugin that fell due at one instant and catch up in the same way.

    Iterating gives those to be acted upon. Whoever repeats sets the next one, for those skipped
    too, after `until`: that is right for all three ways.

    Attributes:
        timers: Those to be acted upon: all of the whole shop, or all of customers.
        due: The instant they were set for, in microseconds; the clock may be later.
        until: The instant up to which what was missed is dealt with. For `late` it is `due`, so
            that every missed instant has its turn; for `merge` and `skip` the present one.
        late: Whether facts may have been recorded since: what is decided must not use them.
        skipped: Those of `skip` that are later than their grace: not to be acted upon.
    """

    timers: tuple[Timer, ...]
    due: int
    until: int
    late: bool
    skipped: tuple[Timer, ...] = ()

    def __iter__(self) -> Iterator[Timer]:
        return iter(self.timers)


class TimerHooks:
    """Where plugins act because time has passed."""

    @hookspec
    def on_timers_due(self, ctx: Context, event: TimersDue) -> None:
        """
        Act on timers this plugin set, in a transaction of their own.

        Called for the timers' owner only, at most 1,000 timers at a time, so what is decided
        about one must not depend on which others are there. The customers are locked; the timers
        of the whole shop come first, by themselves, and see one state of all customers. The
        timers are gone; set them again to repeat, for an instant after `event.until`.

        If nobody ran them when they were due, the way they were set with decides: `late` calls
        for each missed instant, in order; `merge` once for all that one key missed; `skip` puts
        who is later than the grace into `event.skipped`, not to be acted upon.

        If the plugin raises, those it raises for are tried again later, with growing delays, and
        parked after 8 attempts; starting anew tries parked ones again.
        """
