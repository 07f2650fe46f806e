"""What a shop asks of tracking: who allows it, and what became of a message."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from crmcore import Identifier, Interaction, Transaction
from crmcore_email_link.tracking import consents, counting
from crmcore_email_link.tracking.counting import Tracked
from crmcore_email_link.tracking.tracker import Tracker


class TrackingApi:
    """The part of the plugin that is about opens and clicks."""

    __slots__ = ()

    if TYPE_CHECKING:
        _now: Callable[[Transaction], int]

        @property
        def tracker(self) -> Tracker: ...

    def allow_tracking(
        self,
        tx: Transaction,
        customer: int | Identifier,
        *,
        wording: str,
        language: str | None = None,
        mechanism: str = "form",
        evidence: str | None = None,
    ) -> Interaction:
        """
        Record that a customer lets the shop see whether they open its mails and follow its links.

        It is asked for by itself: whoever says no to it gets the same mails.

        Args:
            tx: The transaction.
            customer: Who said so, by id or identifier.
            wording: Which text they saw, and in which version, such as `tracking/1`.
            language: Of that text, such as `de`.
            mechanism: How they said so.
            evidence: What proves it; it is kept with the consent.

        Raises:
            InputError: If no wording is given.
        """
        return consents.allow(
            tx,
            customer,
            wording=wording,
            language=language,
            mechanism=mechanism,
            evidence=evidence,
        )

    def refuse_tracking(
        self, tx: Transaction, customer: int | Identifier, *, mechanism: str = "form"
    ) -> Interaction:
        """
        Record that a customer does not want that, or no longer.

        It goes at once, for mails they have as well: their links lead on, and nothing is kept.
        """
        return consents.refuse(tx, customer, self._now(tx), mechanism=mechanism)

    def is_tracking_allowed(self, tx: Transaction, customer: int) -> bool:
        """Return whether a customer allows it now, by their id."""
        return bool(consents.allowed_among(tx.connection.execute, [customer], self._now(tx)))

    def tracked(self, tx: Transaction, key: str, *, plugin: str = "") -> Tracked:
        """
        Return how many opened a message and followed its links, of those who allow to see it.

        Args:
            tx: The transaction.
            key: What the message is, such as `news-2026-11`.
            plugin: Whose it is; empty: the shop's own.
        """
        found = self.tracker
        return counting.tracked(
            tx.connection.execute, key, plugin=plugin, pause=found.pause, sweep=found.sweep
        )
