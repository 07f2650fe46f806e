"""Delivering: claimed messages rendered, composed, signed and handed over, each with an outcome."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from crmcore import Deferred, Delivery, Failed, Outcome
from crmcore.errors import ConfigurationError, InputError
from crmcore_email_link.campaigns.resolving import VARIANT, Problem
from crmcore_email_link.composing import Composer
from crmcore_email_link.transports import Envelope, Transport

UNWRITTEN: Final = "it cannot be written: "
"""How the reason of a mail begins that was never handed over, as it could not be made."""

_TO_BE_MENDED: Final = 900.0  # seconds until it is seen whether the shop has mended it
_NOT_HANDED_OVER: Final = Deferred("it was not handed over", counts=False)


def deliver(
    composer: Composer,
    transport: Transport,
    deliveries: Sequence[Delivery | Problem],
    at: int,
    tracked: Collection[int] = (),
) -> Sequence[Outcome]:
    """
    Return one outcome for each message, in their order; one that cannot be written fails alone.

    Those to customers among *tracked* tell whether they are opened and their links followed.

    What the shop has to mend, such as a link that is too long or a template that is not there, is
    deferred, as it may go then. Either problem may stand in the place of a message, too.
    """
    outcomes: list[Outcome | None] = [None] * len(deliveries)
    places: list[int] = []
    envelopes: list[Envelope] = []
    for place, delivery in enumerate(deliveries):
        try:
            if not isinstance(delivery, Delivery):
                raise delivery
            _check_template(composer, delivery)
            is_tracked = delivery.message.customer_id in tracked
            envelopes.append(composer.envelope(delivery, at, is_tracked=is_tracked))
        except InputError as error:
            outcomes[place] = Failed(f"{UNWRITTEN}{error}")
        except ConfigurationError as error:
            outcomes[place] = Deferred(str(error), _TO_BE_MENDED, counts=False)
        except Exception as error:
            # A fault of ours, or of what a template was given: the others do not suffer for it.
            outcomes[place] = Failed(f"{UNWRITTEN}{type(error).__name__}: {error}")
        else:
            places.append(place)
    if envelopes:
        for place, outcome in zip(places, transport.send(envelopes), strict=True):
            outcomes[place] = outcome
    return [each if each is not None else _NOT_HANDED_OVER for each in outcomes]


def not_yet(deliveries: Sequence[Delivery], error: Exception) -> Sequence[Outcome]:
    """Return that nobody was asked to take messages, as what they are made with cannot be read."""
    reason = f"what it is made with cannot be read: {type(error).__name__}: {error}"
    return [Deferred(reason, _TO_BE_MENDED, counts=False) for _ in deliveries]


def _check_template(composer: Composer, delivery: Delivery) -> None:
    """
    Raise `ConfigurationError` if a campaign's template is not there.

    It was as the campaign was laid down, so this worker started before that, or it was taken away.
    """
    data = delivery.content.data
    if VARIANT in data and data["template"] not in composer.catalogue.templates:
        raise ConfigurationError(
            f"no template is called {data['template']!r} here; a worker knows those that were "
            "there when it started, so start it anew"
        )
