"""The tracker: what a shop has set of tracking, and what is put in, let be, or recorded by it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

from attrs import frozen

from crmcore import Context, Delivery, Transaction
from crmcore_email_link.links import Links
from crmcore_email_link.reading import Execute
from crmcore_email_link.tracking.callers import Caller, Callers, Networks, Scanners
from crmcore_email_link.tracking.consents import allowed_among
from crmcore_email_link.tracking.destinations import Destination, Destinations
from crmcore_email_link.tracking.hits import Mailed, Told, What, find_mailed, record_hit
from crmcore_email_link.tracking.measuring import Measure

Tracking = Literal["off", "clicks", "opens_and_clicks"]

_SECOND: Final = 1_000_000


@frozen(kw_only=True)
class Tracker:
    """
    Tracks those who allow it, as far as the shop wants to.

    Attributes:
        tracking: Whether at all, and what.
        destinations: Makes the links that lead by way of the shop, and reads them.
        callers: Tells machines from humans.
        pause: Microseconds after a mail arrived within which nobody can have read it.
        sweep: Microseconds within which a human does not follow all links of a mail.
    """

    tracking: Tracking
    destinations: Destinations
    callers: Callers
    pause: int
    sweep: int

    @property
    def measure(self) -> Measure | None:
        """What puts it into mails; None: nobody is tracked."""
        if self.tracking == "off":
            return None
        return Measure(destinations=self.destinations, opens=self.keeps("opened"))

    def keeps(self, what: What) -> bool:
        """Return whether the shop wants to know of something."""
        if what == "opened":
            return self.tracking == "opens_and_clicks"
        return self.tracking != "off"

    def allowing(self, ctx: Context, deliveries: Iterable[Delivery]) -> frozenset[int]:
        """
        Return whose mails of some are tracked, by one statement.

        Nobody's, while something that customers said has not reached the plugin's tables.
        """
        if self.tracking == "off" or ctx.has_debt:
            return frozenset()
        customers = sorted({each.message.customer_id for each in deliveries})
        return allowed_among(ctx.execute, customers, ctx.clock.now())

    def find(self, execute: Execute, what: What, number: int, now: int) -> Mailed | None:
        """Return the message of which something is recorded, as its customer allows it, or None."""
        mailed = find_mailed(execute, number) if self.keeps(what) else None
        if mailed is None or not allowed_among(execute, [mailed.customer_id], now):
            return None
        return mailed

    def record(
        self,
        tx: Transaction,
        mailed: Mailed,
        what: What,
        caller: Caller,
        now: int,
        to: Destination | None = None,
    ) -> int | None:
        """Record that the pixel of a mail was loaded, or where a link of it was followed *to*."""
        seen_as, why = self.callers.tell(
            caller, is_early=mailed.is_early(now, self.pause), is_open=what == "opened"
        )
        told = Told(
            what=what,
            at=now,
            seen_as=seen_as,
            why=why,
            place=0 if to is None else to.place,
            links=0 if to is None else to.links,
            link=None if to is None else to.label,
        )
        return record_hit(tx, mailed, told)


def tracker(
    links: Links,
    *,
    tracking: Tracking,
    domains: Iterable[str],
    networks: Iterable[str],
    scanners: Scanners | None,
    pause_seconds: int,
    sweep_seconds: int,
) -> Tracker:
    """
    Return the tracker of a shop's settings.

    Raises:
        ConfigurationError: If a network is none.
    """
    return Tracker(
        tracking=tracking,
        destinations=Destinations(links, domains),
        callers=Callers(Networks(networks), scanners),
        pause=pause_seconds * _SECOND,
        sweep=sweep_seconds * _SECOND,
    )
