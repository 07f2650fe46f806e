"""Falling slowly: tiers are kept for a while, and nobody falls without having been warned."""

from datetime import UTC, datetime, timedelta

import pytest
from crmcore_tiering import Tiering

from crmcore import Crm, Identifier, Money, VirtualClock
from tests.support.databases import scratch

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
START = datetime(2024, 1, 10, 15, tzinfo=UTC)
DAY = timedelta(days=1)
BOB = Identifier("account", "bob")


def instant(moment):
    return (moment - EPOCH) // timedelta(microseconds=1)


class Shop:
    """A shop with a review a day, in which bob is in tier A until ada buys more."""

    def __init__(self, **settings):
        self.clock = VirtualClock(instant(START))
        plugin = Tiering(review_every_days=1, **settings)
        self.crm = Crm(scratch(), plugins=[plugin], clock=self.clock, secret="of a test")
        self.order("ada", 500)
        self.order("bob", 400)
        self.order("cleo", 100)

    def order(self, account, amount):
        self.crm.record("order.placed", account=account, amount=Money(amount, "EUR"))

    def wait(self, days):
        """Let days pass, and what falls due in them happen."""
        end = self.clock.now() + instant(EPOCH + days * DAY)
        while (due := self.crm.next_due()) is not None and due <= end:
            self.clock.advance_to(due)
            self.crm.run_due()
        self.clock.advance_to(end)

    def tier(self):
        return self.crm.customer(BOB).traits["tiering.tier"]

    def decisions(self, *kinds):
        """Return what was decided about bob, of these kinds, oldest first."""
        found = [each.interaction for each in self.crm.why_decisions(BOB)]
        return [each for each in found if each.kind in kinds]


@pytest.fixture
def open_shop():
    """Return a way to open a shop that is closed in the end."""
    opened = []

    def make(**settings):
        shop = Shop(**settings)
        opened.append(shop)
        return shop

    yield make
    for shop in opened:
        shop.crm.close()


@pytest.mark.each_database
class TestGrace:
    """Who would fall is warned, and told what keeps the tier."""

    def test_warned_once_then_falls(self, open_shop):
        """One warning for the whole grace; at its end the tier goes."""
        shop = open_shop(grace_days=5)
        shop.wait(1)
        shop.order("ada", 5000)
        tiers = []
        for _ in range(7):
            shop.wait(1)
            tiers.append(shop.tier())
        (warned,) = shop.decisions("tier.warned")
        moves = shop.decisions("tier.changed")

        # Warned on the 12th, so the review of the 17th decides: the sixth of these days.
        assert ["A"] * 5 + ["B"] * 2 == tiers
        assert datetime(2024, 1, 12, tzinfo=UTC) == warned.occurred_at
        assert ("A", "B", "2024-01-16") == (
            warned.payload.tier,
            warned.payload.to_tier,
            warned.payload.until,
        )
        assert [datetime(2024, 1, 11, tzinfo=UTC), datetime(2024, 1, 17, tzinfo=UTC)] == [
            each.occurred_at for each in moves
        ]

    @pytest.mark.parametrize(("less", "tier"), [(0, "A"), (1, "B")])
    def test_the_gap_to_the_minor_unit(self, open_shop, less, tier):
        """Spending exactly the gap keeps the tier; one minor unit less does not."""
        shop = open_shop(grace_days=5)
        shop.wait(1)
        shop.order("ada", 5000)
        shop.wait(1)
        (warned,) = shop.decisions("tier.warned")
        shop.order("bob", warned.payload.gap_minor - less)
        shop.wait(6)

        # Above bob is ada with 5500, which must be less than 82 % of all: 6708, so 1108 for bob.
        assert 82 * (5500 + 100 + 1107) <= 5500 * 100 < 82 * (5500 + 100 + 1108)
        assert 1108 - 400 == warned.payload.gap_minor
        assert tier == shop.tier()
        assert (tier == "A") == bool(shop.decisions("tier.kept"))

    def test_kept_and_warned_again(self, open_shop):
        """Who kept a tier and is in danger again is warned anew, and has time anew."""
        shop = open_shop(grace_days=3)
        shop.wait(1)
        shop.order("ada", 5000)
        shop.wait(1)
        shop.order("bob", 2000)
        shop.wait(5)
        shop.order("ada", 50_000)
        shop.wait(2)
        warned = shop.decisions("tier.warned")
        (kept,) = shop.decisions("tier.kept")

        assert [12, 18] == [each.occurred_at.day for each in warned]
        assert 15 == kept.occurred_at.day
        assert "A" == shop.tier()
        shop.wait(3)
        assert "B" == shop.tier()

    def test_page(self, open_shop):
        """The customer's page says how much keeps the tier, and by when."""
        shop = open_shop(grace_days=5)
        shop.wait(1)
        shop.order("ada", 5000)
        shop.wait(1)
        said = shop.crm.customer(BOB).descriptions["tiering"]

        assert (
            "7.08 EUR more revenue by 2024-01-16 keeps A, as measured on 2024-01-12"
            == (said["warning"])
        )
        # Cleo, too, would fall: from B to C.
        assert 2 == shop.crm.report("tiering").figures["warned"]

    def test_rebuilt_in_the_midst(self, open_shop):
        """Made anew while a warning is open, the tables decide the same."""
        shop = open_shop(grace_days=5)
        shop.wait(1)
        shop.order("ada", 5000)
        shop.wait(2)
        before = shop.crm.customer(BOB).descriptions
        shop.crm.rebuild("tiering")
        after = shop.crm.customer(BOB).descriptions
        shop.wait(4)

        assert before == after
        assert ("B", 1) == (shop.tier(), len(shop.decisions("tier.warned")))


class TestDwell:
    """A tier is kept for some days before it can get worse."""

    def test_kept_for_some_days(self, open_shop):
        """It goes with the first review after that."""
        shop = open_shop(dwell_days=4)
        shop.wait(1)
        shop.order("ada", 5000)
        tiers = []
        for _ in range(5):
            shop.wait(1)
            tiers.append(shop.tier())

        # Given on the 11th, so from the 15th on.
        assert ["A", "A", "A", "B", "B"] == tiers

    def test_no_wait_upwards(self, open_shop):
        """A better tier comes with the next review."""
        shop = open_shop(dwell_days=100, grace_days=100)
        shop.wait(1)
        shop.crm.record("order.placed", account="dan", amount=Money(1, "EUR"))
        shop.wait(1)
        shop.crm.record("order.placed", account="dan", amount=Money(100_000, "EUR"))
        shop.wait(1)
        dan = shop.crm.customer(Identifier("account", "dan"))

        assert "A" == dan.traits["tiering.tier"]


class TestPeriod:
    """Only what was bought within the period counts."""

    def test_what_is_long_past(self, open_shop):
        """Who bought long ago is still graded, with nothing."""
        shop = open_shop(period_days=10)
        shop.wait(5)
        before = shop.tier()
        shop.crm.record("order.placed", account="ada", amount=Money(1, "EUR"))
        shop.wait(10)
        (_, last) = shop.decisions("tier.changed")

        assert ("A", "C") == (before, shop.tier())
        # The review of the 21st counts from the start of the 11th on.
        assert (21, 0, 0) == (
            last.occurred_at.day,
            last.payload.net_minor,
            last.payload.orders,
        )
        assert 10 == last.payload.rules.period_days
