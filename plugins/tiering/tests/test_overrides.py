"""Tiers that staff gave: they hold until their end, whatever a review would find."""

from datetime import UTC, datetime, timedelta

import pytest
from crmcore_tiering import Tiering, TierOverridden

from crmcore import Crm, Identifier, VirtualClock
from crmcore.errors import PayloadError
from tests.support.databases import scratch

START = datetime(2024, 1, 10, 15, tzinfo=UTC)
DAY = timedelta(days=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SAID = {"tier": "A", "reason": "a parcel went astray", "owner": "staff:grace"}
BOB = Identifier("account", "bob")


def instant(moment):
    return (moment - EPOCH) // timedelta(microseconds=1)


def shop(**settings):
    """Return a shop with a review a day, where bob is by far the least, and its clock."""
    clock = VirtualClock(instant(START))
    plugin = Tiering(review_every_days=1, **settings)
    crm = Crm(scratch(), plugins=[plugin], clock=clock, secret="of a test")
    for account, amount in [("ada", "900"), ("bob", "1"), ("cleo", "99")]:
        crm.record("order.placed", account=account, amount=amount)
    return crm, clock


def wait(crm, clock, days):
    """Let days pass, and what falls due in them happen."""
    end = clock.now() + instant(EPOCH + days * DAY)
    while (due := crm.next_due()) is not None and due <= end:
        clock.advance_to(due)
        crm.run_due()
    clock.advance_to(end)


def tier_of(crm, who=BOB):
    return crm.customer(who).traits["tiering.tier"]


@pytest.mark.each_database
class TestOverride:
    """What staff say goes before what reviews find."""

    def test_until_its_end(self):
        """It holds at once and through the last day it is for; then reviews grade again."""
        crm, clock = shop()
        with crm:
            found = []
            wait(crm, clock, 2)
            found.append(tier_of(crm))
            crm.record("tier.overridden", account="bob", payload=SAID | {"until": "2024-01-14"})
            for _ in range(4):
                found.append(tier_of(crm))
                wait(crm, clock, 1)

            # The review at the start of the 15th is the first one after it.
            assert ["C", "A", "A", "A", "C"] == [*found[:4], tier_of(crm)]

    def test_ended_before(self):
        """Ended before its time, it is over with the next review."""
        crm, clock = shop()
        with crm:
            crm.record("tier.overridden", account="bob", payload=SAID | {"until": "2024-03-01"})
            wait(crm, clock, 3)
            before = tier_of(crm)
            over = {"reason": "it was found", "owner": "staff:grace"}
            crm.record("tier.override_ended", account="bob", payload=over)
            still = tier_of(crm)
            wait(crm, clock, 1)

            assert ["A", "A", "C"] == [before, still, tier_of(crm)]

    def test_known_late(self):
        """One that becomes known after a later review is followed by the next one, and says so."""
        crm, clock = shop()
        with crm:
            wait(crm, clock, 3)
            crm.record(
                "tier.overridden",
                account="bob",
                occurred_at=START + timedelta(hours=1),
                payload=SAID | {"until": "2024-03-01"},
            )
            before = tier_of(crm)
            wait(crm, clock, 1)
            decision = crm.why_decisions(BOB)[-1]

            assert ["C", "A"] == [before, tier_of(crm)]
            assert "override" == decision.interaction.payload.scheme
            assert ["tier.overridden"] == [each.kind for each in decision.because]

    def test_before_any_order(self):
        """Somebody who never ordered can have a tier."""
        crm, clock = shop()
        with crm:
            dan = Identifier("account", "dan")
            crm.record("tier.overridden", account="dan", payload=SAID | {"until": "2024-03-01"})
            wait(crm, clock, 3)

            assert "A" == tier_of(crm, dan)

    def test_rebuilt(self):
        """Made anew from the ledger, the tables are what they were."""
        crm, clock = shop()
        with crm:
            wait(crm, clock, 2)
            crm.record("tier.overridden", account="bob", payload=SAID | {"until": "2024-01-14"})
            wait(crm, clock, 1)
            before = crm.customer(BOB)
            crm.rebuild("tiering")

            assert before.traits == crm.customer(BOB).traits
            assert before.descriptions == crm.customer(BOB).descriptions


class TestSaying:
    """What staff have to say, and where it can be read."""

    def test_page(self):
        """The customer's page says who answers for it, and until when."""
        crm, clock = shop()
        with crm:
            wait(crm, clock, 2)
            crm.record("tier.overridden", account="bob", payload=SAID | {"until": "2024-01-14"})
            said = crm.customer(BOB).descriptions["tiering"]

            assert "given by staff on 2024-01-12" == said["position"]
            assert (
                "A until 2024-01-14, by staff:grace; `crm why` has the reason" == (said["override"])
            )
            wait(crm, clock, 3)
            assert "override" not in crm.customer(BOB).descriptions["tiering"]

    def test_why(self):
        """Its words are the tier, the end, the owner and the reason."""
        told = TierOverridden(**SAID, until="2024-03-01")

        assert "A until 2024-03-01, by staff:grace: a parcel went astray" == str(told)

    @pytest.mark.parametrize(
        ("change", "problem"),
        [
            ({"reason": None}, "reason"),
            ({"reason": " "}, "reason is empty; an override has to say it"),
            ({"owner": ""}, "owner is empty; an override has to say it"),
            ({"tier": ""}, "tier is empty; an override has to say it"),
            ({"until": "2024-02-30"}, "until is '2024-02-30'; a day such as '2026-12-31'"),
            ({"until": "tomorrow"}, "until is 'tomorrow'; a day such as '2026-12-31'"),
            ({"until": "20240301"}, "until is '20240301'; a day such as '2026-12-31'"),
            ({"untli": "2024-03-01"}, "did you mean 'until'"),
        ],
    )
    def test_refused(self, change, problem):
        """An override that does not say all of it is refused, and nothing is recorded."""
        crm, _ = shop()
        with crm:
            payload = SAID | {"until": "2024-03-01"} | change
            with pytest.raises(PayloadError, match=problem):
                crm.record("tier.overridden", account="bob", payload=payload)

            assert "none" == tier_of(crm)

    @pytest.mark.parametrize("missing", ["tier", "reason", "owner", "until"])
    def test_missing(self, missing):
        """Each of the four is needed, and named when it is not there."""
        crm, _ = shop()
        with crm:
            payload = SAID | {"until": "2024-03-01"}
            del payload[missing]
            with pytest.raises(PayloadError, match=f"'{missing}' is missing"):
                crm.record("tier.overridden", account="bob", payload=payload)
