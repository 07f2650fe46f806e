"""The outbox: a transport that keeps what it is handed, for tests and trials; nobody gets it."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define, field

from crmcore import Accepted, Outcome
from crmcore_email_link.transports import Envelope


@define(eq=False)
class Outbox:
    """
    Takes every mail and carries none.

    Attributes:
        envelopes: What it was handed, in order.
        idempotent: Whether it says that it knows a mail again.
    """

    envelopes: list[Envelope] = field(factory=list)
    idempotent: bool = False

    def send(self, envelopes: Sequence[Envelope]) -> Sequence[Outcome]:
        """Keep them."""
        first = len(self.envelopes)
        self.envelopes += envelopes
        return [Accepted(f"outbox-{first + number}") for number in range(len(envelopes))]

    def close(self) -> None:
        """Hold nothing."""
