"""Tiering in a shop: reviews by timer, in batches of any size, late, in debt, and made anew."""

from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from crmcore_tiering import TierChanged, Tiering
from crmcore_tiering.tables import TABLES, tier_history, total
from sqlalchemy import select
from typing_extensions import override

from crmcore import Crm, Draft, Identifier, Money, VirtualClock, hookimpl
from crmcore.persistence.customers import identifier
from tests.support.databases import scratch, shop_file

pytestmark = pytest.mark.each_database(partitioned=True)

START = datetime(2024, 1, 10, 15, tzinfo=UTC)
DAY = timedelta(days=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def instant(moment):
    """Return a moment in microseconds."""
    return (moment - EPOCH) // timedelta(microseconds=1)


def fact(kind, account, at, amount=None, key=None):
    """Return a draft for the customer with that account number."""
    return Draft(
        kind,
        identifiers=(Identifier("account", f"no{account}"),),
        occurred_at=at,
        amount=None if amount is None else Money(amount, "EUR"),
        source_key=key,
    )


def history(seed, *, facts=150, customers=12, days=200):
    """Return made-up orders, refunds and cancellations, in the order of time."""
    random = Random(seed)
    found = []
    for number in range(facts):
        kind = random.choice(["order.placed"] * 6 + ["order.refunded", "order.cancelled"])
        at = START + timedelta(hours=random.randrange(days * 24))
        account = int(customers * random.random() ** 2)
        amount = random.choice([None, 0, 500, 1000, random.randrange(100, 20_000)])
        found.append(fact(kind, account, at, amount, key=f"f{number}"))
    return sorted(found, key=lambda draft: (draft.occurred_at, draft.source_key))


def open_crm(plugin, *, start=START, zone="UTC", url=None):
    """Return a shop whose clock stands at *start*, and the clock."""
    clock = VirtualClock(instant(start))
    return Crm(
        url or scratch(), plugins=[plugin], clock=clock, zone=zone, secret="of a test"
    ), clock


def run_until(crm, clock, moment):
    """Do what falls due, each at its time, and let the clock come to *moment*."""
    while (due := crm.next_due()) is not None and due <= instant(moment):
        clock.advance_to(due)
        crm.run_due()
    clock.advance_to(instant(moment))


def replay(crm, clock, facts, *, size=None):
    """Record facts at their times, in batches of at most *size*, cut where something is due."""
    batch: list[Draft] = []

    def flush():
        if batch:
            clock.advance_to(instant(batch[-1].occurred_at))
            crm.record_many(batch)
            batch.clear()

    for draft in facts:
        due = crm.next_due()
        if due is not None and due <= instant(draft.occurred_at):
            flush()
            run_until(crm, clock, draft.occurred_at)
        batch.append(draft)
        if len(batch) == size:
            flush()
    flush()


def state(crm, *, ids=True):
    """
    Return all rows of the plugin's tables, customers by their account.

    Ids of interactions, which another run may give otherwise, are left out on demand.
    """
    tables = {}
    with crm.begin() as tx:
        named = select(identifier.c.customer_id, identifier.c.identifier_value)
        accounts = dict(map(tuple, tx.connection.execute(named)))
        for table in (each.table for each in TABLES):
            columns = [c for c in table.columns if ids or c.name != "caused_by"]
            rows = tx.connection.execute(select(*columns))
            tables[table.name] = sorted((accounts[row[0]], *row[1:]) for row in rows)
    return tables


def decisions(crm, account):
    """Return what was decided about a customer, oldest first."""
    return crm.why_decisions(Identifier("account", f"no{account}"))


def traits(crm, account):
    return crm.customer(Identifier("account", f"no{account}")).traits


class ReviewOnCall(Tiering):
    """Reviews whenever a call ends, so that a test can ask for one."""

    name = "tiering"

    @hookimpl
    @override
    def on_interactions_recorded(self, ctx, event):
        super().on_interactions_recorded(ctx, event)
        if "call.ended" in event.kinds:
            self.review_now(ctx, ctx.clock.now())


class Faulty(Tiering):
    """Raises on facts while it is broken."""

    name = "tiering"
    broken = False

    @hookimpl
    @override
    def on_interactions_recorded(self, ctx, event):
        if self.broken:
            raise RuntimeError("out of order")
        super().on_interactions_recorded(ctx, event)


class Newer(Tiering):
    """A later version, whose tables the core empties at the start."""

    name = "tiering"
    version = "2"


@pytest.fixture
def shop():
    """A shop with four customers, before its first review, and its clock."""
    crm, clock = open_crm(Tiering(review_every_days=30))
    with crm:
        amounts = {1: 60_000, 2: 20_000, 3: 15_000, 4: 5_000}
        crm.record_many(
            [fact("order.placed", a, START, n, key=f"o{a}") for a, n in amounts.items()]
        )
        yield crm, clock


class TestTimer:
    """Reviews fall on civil days counted from 1970-01-01."""

    @pytest.mark.parametrize("days", [0, 5, 7.3])
    def test_independent_of_the_start(self, days):
        """Shops started on different days review on the same one."""
        crm, _ = open_crm(Tiering(), start=START + days * DAY)
        with crm:
            assert instant(datetime(2024, 1, 18, tzinfo=UTC)) == crm.next_due()

    def test_on_the_day_itself(self):
        """A shop started at the instant of a review has its first one a period later."""
        crm, _ = open_crm(Tiering(), start=datetime(2024, 1, 18, tzinfo=UTC))
        with crm:
            assert instant(datetime(2024, 2, 17, tzinfo=UTC)) == crm.next_due()

    def test_zone(self):
        """Days begin at midnight in the shop's zone, on the day its clocks change too."""
        start = datetime(2024, 3, 30, 12, tzinfo=UTC)
        crm, clock = open_crm(Tiering(review_every_days=1), zone="Europe/Berlin", start=start)
        dues = []
        with crm:
            for _ in range(3):
                dues.append(crm.next_due())
                clock.advance_to(dues[-1])
                crm.run_due()

        assert [
            instant(datetime(2024, 3, 30, 23, tzinfo=UTC)),
            instant(datetime(2024, 3, 31, 22, tzinfo=UTC)),
            instant(datetime(2024, 4, 1, 22, tzinfo=UTC)),
        ] == dues

    def test_other_settings(self, tmp_path):
        """The next review follows the present settings; without reviews there is no timer."""
        url = shop_file(tmp_path)
        dues = []
        for days in (30, 7, 0, 30):
            crm, _ = open_crm(Tiering(review_every_days=days), url=url)
            with crm:
                dues.append(crm.next_due())

        january = [datetime(2024, 1, day, tzinfo=UTC) for day in (18, 11)]
        assert [instant(january[0]), instant(january[1]), None, instant(january[0])] == dues

    def test_overdue(self, tmp_path):
        """What fell due while the shop was closed is done when it opens, each for its own day."""
        url = shop_file(tmp_path)
        crm, _ = open_crm(Tiering(), url=url)
        with crm:
            crm.record_many([fact("order.placed", 1, START, 100)])
        crm, clock = open_crm(Tiering(), url=url, start=START + 50 * DAY)
        with crm:
            run_until(crm, clock, START + 50 * DAY)

            assert [datetime(2024, 1, 18, tzinfo=UTC)] == [
                each.interaction.occurred_at for each in decisions(crm, 1)
            ]
            assert instant(datetime(2024, 3, 18, tzinfo=UTC)) == crm.next_due()


class TestReview:
    """A review grades everyone, and says why."""

    def test_traits(self, shop):
        """Traits are at their defaults before, and hold the tiers after."""
        crm, clock = shop
        before = traits(crm, 1)
        run_until(crm, clock, START + 30 * DAY)

        assert {"tiering.tier": "none", "tiering.net_minor": 60_000, "tiering.orders": 1} == before
        assert ["A", "A", "B", "C"] == [traits(crm, a)["tiering.tier"] for a in (1, 2, 3, 4)]

    def test_evidence(self, shop):
        """The decision names the order that led to it, and the numbers that made it."""
        crm, clock = shop
        run_until(crm, clock, START + 30 * DAY)
        ((decision),) = decisions(crm, 3)
        interaction = decision.interaction

        assert ("tier.changed", "decided", "plugin:tiering") == (
            interaction.kind,
            interaction.origin,
            interaction.source,
        )
        assert datetime(2024, 1, 18, tzinfo=UTC) == interaction.occurred_at
        assert interaction.source_key.startswith("review:2024-01-18/")
        assert ["o3"] == [each.source_key for each in decision.because]
        assert (
            TierChanged(
                from_tier="none",
                to_tier="B",
                scheme="pareto",
                position=800_000,
                border=None,
                orders=1,
                net_minor=15_000,
                customers=4,
                reviewed_at=instant(datetime(2024, 1, 18, tzinfo=UTC)),
                place=1,
                above_minor=80_000,
                revenue_minor=100_000,
                a_from_minor=20_000,
                b_from_minor=15_000,
            )
            == interaction.payload
        )

    def test_border(self, shop):
        """A move names the border it passed, with the band; the history keeps both tiers."""
        crm, clock = shop
        run_until(crm, clock, START + 20 * DAY)
        crm.record_many([fact("order.placed", 4, START + 20 * DAY, 40_000, key="big")])
        run_until(crm, clock, START + 60 * DAY)
        _, decision = decisions(crm, 4)
        with crm.begin() as tx:
            kept = select(tier_history.c.value, tier_history.c.to_instant).where(
                tier_history.c.customer_id == decision.interaction.customer_id
            )
            history = sorted(tx.connection.execute(kept), reverse=True)
        payload = decision.interaction.payload

        assert ("C", "A", 78) == (payload.from_tier, payload.to_tier, payload.border)
        assert ["big"] == [each.source_key for each in decision.because]
        assert [("C", payload.reviewed_at), ("A", None)] == history

    def test_rfm(self):
        """The other scheme puts its quintiles on record."""
        crm, clock = open_crm(Tiering(scheme="rfm"))
        with crm:
            crm.record_many([fact("order.placed", 1, START, 100)])
            run_until(crm, clock, START + 30 * DAY)
            payload = decisions(crm, 1)[0].interaction.payload

        assert ("A", 15, 5, 5, 5) == (
            payload.to_tier,
            payload.position,
            payload.recency,
            payload.frequency,
            payload.monetary,
        )

    def test_again(self):
        """A customer changes tier once at an instant, whatever is recorded between two reviews."""
        crm, clock = open_crm(ReviewOnCall(review_every_days=0))
        found = []
        with crm:
            for account, amount, seconds in [(1, 10, 0), (2, 990, 0), (3, 0, 1)]:
                clock.advance_to(instant(START) + seconds * 1_000_000)
                crm.record_many([fact("order.placed", account, START, amount)])
                crm.record("call.ended", account="no1", payload={"direction": "inbound"})
                found.append(traits(crm, 1)["tiering.tier"])

        assert ["A", "A", "C"] == found

    def test_nobody(self):
        """A review of an empty shop goes by, and the next one is set."""
        crm, clock = open_crm(Tiering())
        with crm:
            run_until(crm, clock, START + 30 * DAY)

            assert instant(datetime(2024, 2, 17, tzinfo=UTC)) == crm.next_due()
            assert 0 == crm.report("tiering").figures["reviews"]


def story(crm, accounts=range(12)):
    """Return all that was decided about each customer, and the key of what led to it."""
    return {
        account: [
            (each.interaction.payload, each.interaction.source_key, each.because[0].source_key)
            for each in decisions(crm, account)
        ]
        for account in accounts
        if crm.find_customer(Identifier("account", f"no{account}"))
    }


SCHEMES = pytest.mark.parametrize("scheme", ["pareto", "rfm"])
END = START + 220 * DAY


def replayed(plugin, facts, *, size=1):
    """Return the tables and decisions after a punctual replay."""
    crm, clock = open_crm(plugin)
    with crm:
        replay(crm, clock, facts, size=size)
        run_until(crm, clock, END)
        return state(crm, ids=False), story(crm)


@SCHEMES
@pytest.mark.each_database  # with partitions only among the slow ones
class TestLaws:
    """What a review decides follows from what had been recorded by then, and from nothing else."""

    @pytest.mark.parametrize("seed", range(3))
    def test_sizes(self, scheme, seed):
        """Batches of any size leave the same tables and decisions."""
        facts = history(seed)
        runs = [replayed(Tiering(scheme=scheme), facts, size=n) for n in (1, 7, None)]

        assert sum(len(each) for each in runs[0][1].values()) > 12
        assert runs[0] == runs[1] == runs[2]

    @pytest.mark.parametrize("seed", range(3))
    def test_late(self, scheme, seed):
        """Reviews that run late decide what they would have decided in time."""
        facts = history(seed)
        crm, clock = open_crm(Tiering(scheme=scheme))
        with crm:
            for draft in facts:
                clock.advance_to(instant(draft.occurred_at))
                crm.record_many([draft])
            run_until(crm, clock, END)

            assert replayed(Tiering(scheme=scheme), facts) == (state(crm, ids=False), story(crm))

    @pytest.mark.parametrize("seed", range(3))
    def test_debt(self, scheme, seed):
        """A plugin that missed facts decides as if it had not, and has equal tables once paid."""
        facts = history(seed)
        crm, clock = open_crm(plugin := Faulty(scheme=scheme))
        with crm:
            replay(crm, clock, facts[:50])
            plugin.broken = True
            replay(crm, clock, facts[50:100], size=5)
            plugin.broken = False
            replay(crm, clock, facts[100:])
            run_until(crm, clock, END)
            owed = crm.debts()
            crm.pay_debts()

            assert owed["tiering"] > 0
            assert replayed(Tiering(scheme=scheme), facts) == (state(crm, ids=False), story(crm))

    def test_rebuild(self, scheme):
        """Made anew from the ledger, every table is what it was, in every column."""
        crm, clock = open_crm(Tiering(scheme=scheme))
        with crm:
            replay(crm, clock, history(4))
            run_until(crm, clock, END)
            before = state(crm), story(crm)
            crm.rebuild("tiering")

            assert before == (state(crm), story(crm))

    def test_installed_later(self, scheme, tmp_path):
        """A shop that adds the plugin gets the totals of all that was recorded before."""
        url = shop_file(tmp_path)
        facts = history(5)
        clock = VirtualClock(instant(END))
        with Crm(url, clock=clock) as crm:
            crm.record_many(facts)
        with Crm(url, clock=clock, plugins=[Tiering(scheme=scheme)]) as crm:
            crm.pay_debts()
            found = state(crm)[total.name]

        assert replayed(Tiering(scheme=scheme), facts)[0][total.name] == found

    @pytest.mark.parametrize("seed", range(3))
    def test_tables_to_be_made_anew(self, scheme, seed, tmp_path):
        """A review before new tables are filled decides as if they had never been empty."""
        url = shop_file(tmp_path)
        facts = history(seed)
        crm, clock = open_crm(Tiering(scheme=scheme), url=url)
        with crm:
            replay(crm, clock, facts[:80])
        crm, clock = open_crm(Newer(scheme=scheme), url=url, start=facts[79].occurred_at)
        with crm:
            replay(crm, clock, facts[80:])
            run_until(crm, clock, END)
            owed = crm.debts()
            crm.pay_debts()

            assert owed["tiering"] > 0
            assert replayed(Tiering(scheme=scheme), facts) == (state(crm, ids=False), story(crm))

    def test_shuffled(self, scheme):
        """With reviews off, any order of arrival leaves the same totals and then equal tiers."""
        facts = history(6)
        runs = []
        for seed in (1, 2):
            shuffled = Random(seed).sample(facts, len(facts))
            plugin = ReviewOnCall(scheme=scheme, review_every_days=0)
            crm, _ = open_crm(plugin, start=END)
            with crm:
                crm.record_many(shuffled)
                crm.record("call.ended", account="no0", payload={"direction": "inbound"})
                runs.append([(account, traits(crm, account)) for account in range(12)])

        assert runs[0] == runs[1]


class TestPage:
    """What a customer's page says."""

    @staticmethod
    def said(crm, account):
        return crm.customer(Identifier("account", f"no{account}")).descriptions.get("tiering")

    def test_before(self, shop):
        """Nothing is said of a customer whom no review has graded."""
        crm, _ = shop

        assert None is self.said(crm, 1)

    def test_way_up(self, shop):
        """The way to the next tier is in money; in the best tier there is none."""
        crm, clock = shop
        run_until(crm, clock, START + 20 * DAY)

        assert {
            "position": "customers with more revenue brought 60.0 % of it on 2024-01-18"
        } == self.said(crm, 2)
        assert {
            "position": "customers with more revenue brought 95.0 % of it on 2024-01-18",
            "next_tier": (
                "100.00 EUR more for B, which began at 150.00 EUR in the review of 2024-01-18"
            ),
        } == self.said(crm, 4)

    def test_enough(self, shop):
        """The way counts what was bought since."""
        crm, clock = shop
        run_until(crm, clock, START + 20 * DAY)
        crm.record_many([fact("order.placed", 3, START + 20 * DAY, 100_000)])

        assert self.said(crm, 3)["next_tier"].startswith("0.00 EUR more for A")

    def test_rfm(self):
        """A score has no way in money."""
        crm, clock = open_crm(Tiering(scheme="rfm"))
        with crm:
            crm.record_many([fact("order.placed", 1, START, 100)])
            run_until(crm, clock, START + 30 * DAY)

            assert {"position": "RFM score 15 of 15 on 2024-01-18"} == self.said(crm, 1)
