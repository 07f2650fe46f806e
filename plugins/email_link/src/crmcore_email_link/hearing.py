"""What a shop gives the plugin of what came back: bounces, complaints, and what providers tell."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from crmcore import Context, Transaction
from crmcore_email_link.composing import Composer
from crmcore_email_link.feedback import Taken, take_feedback, take_mail
from crmcore_email_link.received import Received, received_of
from crmcore_email_link.tracking.tracker import Tracker
from crmcore_email_link.webhooks import Feedback


class HearingApi:
    """The part of the plugin that hears what comes back."""

    __slots__ = ()

    if TYPE_CHECKING:
        _acting: Callable[[Transaction], AbstractContextManager[Context]]

        @property
        def composer(self) -> Composer: ...

        @property
        def tracker(self) -> Tracker: ...

    def take_mail(self, tx: Transaction, raw: bytes) -> Taken | None:
        """
        Take a mail that came to the return paths' domain: a bounce, a complaint, or a farewell.

        It is found by our own tokens alone; None: it tells nothing that is to be recorded.
        """
        with self._acting(tx) as ctx:
            return take_mail(tx, ctx, self.composer.links.tokens, raw, ctx.clock.now())

    def take_feedback(self, tx: Transaction, events: Iterable[Feedback]) -> list[Taken]:
        """
        Take what a provider told, as `Webhook.receive` verified and read it; each event once.

        Call that one before the transaction begins, as it may use the network.
        """
        with self._acting(tx) as ctx:
            tokens, now = self.composer.links.tokens, ctx.clock.now()
            return take_feedback(tx, ctx, tokens, events, now, self.tracker)

    def received(self, tx: Transaction, message: int) -> Sequence[Received]:
        """Return what came back of a message as it came, by its id; what is old is forgotten."""
        return received_of(tx.connection.execute, message)
