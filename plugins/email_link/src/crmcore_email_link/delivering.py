"""Delivering: claimed messages rendered, composed, signed and handed over, each with an outcome."""

from __future__ import annotations

from collections.abc import Sequence

from crmcore import Deferred, Delivery, Failed, Outcome
from crmcore.errors import ConfigurationError, InputError
from crmcore_email_link.composing import Composer
from crmcore_email_link.transports import Envelope, Transport


def deliver(
    composer: Composer, transport: Transport, deliveries: Sequence[Delivery], at: int
) -> Sequence[Outcome]:
    """
    Return one outcome for each message, in their order; one that cannot be written fails alone.

    What the shop has to mend, such as a link that is too long, is deferred, as it may go then.
    """
    outcomes: list[Outcome | None] = [None] * len(deliveries)
    places: list[int] = []
    envelopes: list[Envelope] = []
    for place, delivery in enumerate(deliveries):
        try:
            envelopes.append(composer.envelope(delivery, at))
        except InputError as error:
            outcomes[place] = Failed(str(error))
        except ConfigurationError as error:
            outcomes[place] = Deferred(str(error))
        else:
            places.append(place)
    if envelopes:
        for place, outcome in zip(places, transport.send(envelopes), strict=True):
            outcomes[place] = outcome
    return [each if each is not None else Deferred("it was not handed over") for each in outcomes]
