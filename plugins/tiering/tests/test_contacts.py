"""Marketing to low tiers is capped; what somebody has to be told never is."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from crmcore_tiering import Tiering

from crmcore import Content, Crm, Identifier, MessageDraft, VirtualClock
from crmcore.channels.recording import Recording
from crmcore.domain.consent import PURPOSES
from tests.support.databases import scratch

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
START = datetime(2024, 1, 10, 12, tzinfo=UTC)
DAY = 86_400_000_000
NAMES = ("ada", "bob", "cleo", "dan")
MARKETING = ("news", "promotion")


def tiers(most, days=30):
    """Return tiers of which the last three are sent that many messages of marketing."""
    cap = {"most_contacts": most, "contact_days": days}
    return [
        {"name": "gold", "percent": 40},
        {"name": "silver", "percent": 70} | cap,
        {"name": "bronze", "percent": 90} | cap,
        {"name": "plain"} | cap,
    ]


def shop(**settings):
    """Return a shop with one customer in each tier, who all agreed to everything."""
    clock = VirtualClock((START - EPOCH) // timedelta(microseconds=1))
    recording = Recording()
    plugins = [Tiering(review_every_days=1, **settings), recording]
    crm = Crm(scratch(), plugins=plugins, clock=clock, secret="of a test")
    for name, amount in zip(NAMES, (40, 30, 20, 10), strict=True):
        known: dict[str, Any] = {"account": name, "email": f"{name}@example.com"}
        crm.record("order.placed", **known, amount=f"{amount}.00")
        for purpose in PURPOSES:
            said = {"purpose": purpose, "channel": "email"}
            crm.record("consent.given", **known, payload=said)
            crm.record("consent.confirmed", **known, payload=said)
    end = clock.now() + DAY
    while (due := crm.next_due()) is not None and due <= end:
        clock.advance_to(due)
        crm.run_due()
    return crm, clock, recording


def send(crm, name, key, purpose):
    return crm.send(
        MessageDraft(
            key=key,
            customer=Identifier("account", name),
            purpose=purpose,
            channel="email",
            content=Content(text="Hello"),
        )
    )


@pytest.mark.each_database
class TestCap:
    """A tier gets no more marketing than it may."""

    @pytest.mark.parametrize("most", [0, 1])
    @pytest.mark.parametrize("purpose", PURPOSES)
    def test_only_marketing(self, most, purpose):
        """Whatever the tier and the cap: service, care and surveys are never held back by it."""
        crm, _, recording = shop(tiers=tiers(most))
        with crm:
            held = {}
            for name in NAMES:
                for number in range(3):
                    send(crm, name, f"{purpose}-{number}", purpose)
                    crm.deliver()
                received = [d.address for d in recording.outbox if d.address.startswith(name)]
                held[name] = 3 - len(received)

        least = 3 - most if purpose in MARKETING else 0
        assert {"ada": 0, "bob": least, "cleo": least, "dan": least} == held

    def test_no_again(self):
        """A place is free again when the days of the cap are over; the message goes then."""
        crm, clock, recording = shop(tiers=tiers(1, days=7))
        with crm:
            send(crm, "dan", "one", "news")
            crm.deliver()
            waiting = send(crm, "dan", "two", "promotion")
            crm.deliver()
            before = len(recording.outbox)
            reason = waiting.reason
            clock.advance_to(clock.now() + 7 * DAY)
            crm.deliver()

            assert (1, 2) == (before, len(recording.outbox))
            assert "tier plain gets at most 1 messages of news and promotions in 7 days" in reason

    def test_planned_together(self):
        """Of messages that wait together, the one planned first takes the place."""
        crm, _, recording = shop(tiers=tiers(1))
        with crm:
            for key in ("one", "two", "three"):
                send(crm, "dan", key, "news")
            crm.deliver()

            assert ["one"] == [delivery.message.key for delivery in recording.outbox]

    def test_by_default(self):
        """Nobody is capped unless the shop says so."""
        crm, _, recording = shop()
        with crm:
            for number in range(5):
                send(crm, "dan", f"news-{number}", "news")
            crm.deliver()

            assert 5 == len(recording.outbox)
