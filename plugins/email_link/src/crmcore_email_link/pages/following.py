"""
Following: links that lead on by way of the shop, and the pixel.

Following a link with GET is the one visit that is kept, where its customer allowed it. It changes
nothing that anybody has or gets: no consent, no preference, no message. So a program that follows
all links of a mail does no harm; it is counted as one.
"""

from __future__ import annotations

import base64
from typing import Final

from attrs import define

from crmcore import Crm, Transaction
from crmcore.errors import InputError, StorageError
from crmcore_email_link.links import bound
from crmcore_email_link.pages.exchange import Request, Response
from crmcore_email_link.plugin import EmailLink
from crmcore_email_link.reading import Execute
from crmcore_email_link.tracking.callers import Caller
from crmcore_email_link.tracking.destinations import Destination
from crmcore_email_link.tracking.hits import Mailed, What, find_mailed
from crmcore_email_link.tracking.tracker import Tracker

PIXEL: Final = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
"""An image of one transparent point."""

_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex, nofollow",
}


@define
class Following:
    """
    Answers the links that lead on, and the pixel, and records that they were asked for.

    Attributes:
        crm: The shop.
        tracker: What of it is recorded.
    """

    crm: Crm
    tracker: Tracker

    def lead_on(self, request: Request, rest: str) -> Response | None:
        """
        Lead to where a link goes; None: it is none of ours, and leads nowhere.

        It leads on whether or not anything is recorded: for whom refuses it, when the message is
        gone, and while the database cannot be asked.
        """
        to = self.tracker.destinations.unwrap(rest, self.crm.runtime.clock.now())
        if to is None:
            return None
        self._record("clicked", to.message_id, to.stamp, request, to)
        return Response(status=302, body=b"", headers={**_HEADERS, "Location": to.url})

    def show_pixel(self, request: Request, token: str) -> Response | None:
        """Show the pixel; None: it is none of ours."""
        tokens = self.tracker.destinations.links.tokens
        number, now = tokens.named(token), self.crm.runtime.clock.now()
        if number is None:
            return None
        with self.crm.runtime.database.begin(read_only=True) as connection:
            mailed = find_mailed(connection.execute, number)
        if mailed is None:
            return None
        stamp = bound(mailed.planned_at)
        if tokens.read("open", token, at=now, bound=stamp) is None:
            return None
        self._record("opened", number, stamp, request, None)
        return Response(status=200, body=PIXEL, headers={**_HEADERS, "Content-Type": "image/gif"})

    def _record(
        self, what: What, number: int, stamp: bytes, request: Request, to: Destination | None
    ) -> None:
        """Record it, if its customer allows it; what fails here keeps nobody from going on."""
        found, now = self.tracker, self.crm.runtime.clock.now()
        caller = Caller(method=request.method, headers=request.headers, address=request.address)
        if not found.keeps(what) or found.callers.objects(caller):
            return

        def find(execute: Execute) -> Mailed | None:
            mailed = found.find(execute, what, number, now)
            # After a restore it may be the id of another message.
            return mailed if mailed is not None and bound(mailed.planned_at) == stamp else None

        def record(tx: Transaction) -> None:
            # Looked at again, as they may have refused it meanwhile.
            mailed = find(tx.connection.execute)
            if mailed is None:
                return
            with tx.acting(EmailLink) as (_, ctx):
                is_behind = ctx.has_debt  # what they said may not have reached the tables
            if not is_behind:
                found.record(tx, mailed, what, caller, now, to)

        try:
            with self.crm.runtime.database.begin(read_only=True) as connection:
                if find(connection.execute) is None:
                    return  # as a rule, and nobody waits for it
            self.crm.run_transaction(record)
        except (StorageError, InputError):
            return
