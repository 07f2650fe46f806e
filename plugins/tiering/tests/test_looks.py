"""Looking ahead and back: what other settings would do, and what a past review did."""

from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any

import pytest
from crmcore_tiering import Move, Tiering

from crmcore import Crm, Draft, Identifier, Money, VirtualClock
from crmcore.errors import ConfigurationError
from crmcore.testing.dumps import difference, dump
from tests.support.databases import scratch

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
START = datetime(2024, 1, 10, 15, tzinfo=UTC)
DAY = timedelta(days=1)
TIERS: list[dict[str, Any]] = [
    {"name": "gold", "percent": 50, "score": 13, "cost_minor": 5000},
    {"name": "silver", "percent": 80, "score": 8, "cost_minor": 1000},
    {"name": "plain"},
]


def instant(moment):
    return (moment - EPOCH) // timedelta(microseconds=1)


def history(seed, customers=12):
    random = Random(seed)
    return sorted(
        (
            Draft(
                "order.placed",
                identifiers=(Identifier("account", f"no{int(customers * random.random() ** 2)}"),),
                occurred_at=START + timedelta(hours=random.randrange(60 * 24)),
                amount=Money(random.randrange(1, 5000), "EUR"),
            )
            for _ in range(60)
        ),
        key=lambda draft: draft.occurred_at,
    )


def played(seed, **settings):
    """Return a shop in which orders were placed, and reviews were done in time."""
    clock = VirtualClock(instant(START))
    crm = Crm(scratch(), plugins=[Tiering(**settings)], clock=clock, secret="of a test")
    for draft in history(seed):
        until(crm, clock, draft.occurred_at)
        crm.record(draft)
    until(crm, clock, START + 61 * DAY)
    return crm, clock


def until(crm, clock, moment):
    while (due := crm.next_due()) is not None and due <= instant(moment):
        clock.advance_to(due)
        crm.run_due()
    clock.advance_to(instant(moment))


def asked(crm, question):
    """Return what the plugin answers, and see that nothing was written."""
    before = dump(crm)
    with crm.begin() as tx, tx.acting(Tiering) as (plugin, ctx):
        answer = question(plugin, ctx)
    assert not difference(before, dump(crm))
    return answer


@pytest.mark.each_database
class TestWhatIf:
    """Who would move, and what it costs."""

    def test_movers(self):
        """They are who moves when a shop with these settings reviews at once."""
        other: dict[str, Any] = {
            "tiers": [TIERS[0] | {"percent": 20}, *TIERS[1:]],
            "review_every_days": 7,
        }
        crm, clock = played(1, tiers=TIERS, review_every_days=7)
        with crm:
            ids = {f"no{n}": crm.find_customer(Identifier("account", f"no{n}")) for n in range(12)}
            before = {n: crm.customer(c).traits for n, c in ids.items() if c}
            tiers = {n: each["tiering.tier"] for n, each in before.items()}
            nets = {n: each["tiering.net_minor"] for n, each in before.items()}
            found = asked(crm, lambda plugin, ctx: plugin.what_if(ctx, tiers=other["tiers"]))
            clock.advance_to(clock.now() + 1)
            changed = Tiering(**other)
            with crm.begin() as tx, tx.acting(Tiering) as (_, ctx):
                changed.review_now(ctx, ctx.clock.now())
            after = {n: crm.customer(c).traits["tiering.tier"] for n, c in ids.items() if c}

        moved = {n for n in tiers if tiers[n] != after[n]}
        cost = {"gold": 5000, "silver": 1000}
        assert moved
        assert {(ids[n], tiers[n], after[n], nets[n]) for n in moved} == {
            (m.customer_id, m.from_tier, m.to_tier, m.net_minor) for m in found.movers
        }
        assert sum(cost.get(after[n], 0) - cost.get(tiers[n], 0) for n in moved) == found.cost_minor

    def test_adds_up(self):
        """Movers between the same tiers stand together, with their revenue and cost."""
        clock = VirtualClock(instant(START))
        plugin = Tiering(tiers=TIERS, review_every_days=0)
        with Crm(scratch(), plugins=[plugin], clock=clock) as crm:
            for name, amount in [("ada", 600), ("bob", 250), ("cleo", 100), ("dan", 50)]:
                crm.record("order.placed", account=name, amount=Money(amount, "EUR"))
            found = asked(crm, lambda plugin, ctx: plugin.what_if(ctx))

        assert (
            Move(from_tier="none", to_tier="plain", customers=2, net_minor=150, cost_minor=0),
            Move(from_tier="none", to_tier="gold", customers=1, net_minor=600, cost_minor=5000),
            Move(from_tier="none", to_tier="silver", customers=1, net_minor=250, cost_minor=1000),
        ) == found.moves
        assert str(found).endswith(
            "from none to silver, with 250 minor units of net revenue; benefits +1000 a year"
        )

    def test_at_a_past_instant(self):
        """With the present settings, a review of the past moves whom it moved then."""
        crm, _ = played(2, review_every_days=7)
        at = instant(datetime(2024, 2, 8, tzinfo=UTC))
        with crm:
            past = asked(crm, lambda plugin, ctx: plugin.past_review(ctx, at))
            found = asked(crm, lambda plugin, ctx: plugin.what_if(ctx, at=at))

        assert past.decided
        assert past.decided == {m.customer_id: m.to_tier for m in found.movers}

    def test_refused(self):
        """Settings that make no sense are refused as they are anywhere."""
        crm, _ = played(2, review_every_days=0)
        with crm, pytest.raises(ConfigurationError, match="a must come before b"):
            asked(crm, lambda plugin, ctx: plugin.what_if(ctx, a_percent=96))


WAYS = [
    {},
    {"scheme": "rfm"},
    {"scheme": "rfm", "tiers": TIERS, "period_days": 20},
    {"tiers": TIERS, "grace_days": 7, "dwell_days": 7},
    {"basis": "margin"},
]


@pytest.mark.each_database
class TestPastReview:
    """A past review can be made anew, whatever was set or recorded since."""

    @pytest.mark.parametrize("settings", WAYS, ids=str)
    def test_reproduced(self, settings):
        """By what had been recorded before it and its own rules, every review is what it was."""
        crm, _ = played(3, review_every_days=7, **settings)
        reviews = set()
        with crm:
            for account in range(12):
                if crm.find_customer(Identifier("account", f"no{account}")):
                    told = crm.why_decisions(Identifier("account", f"no{account}"))
                    reviews |= {
                        each.interaction.occurred_instant
                        for each in told
                        if each.interaction.kind == "tier.changed"
                    }
            # What is recorded now changes nothing of what was decided then.
            crm.record_many(history(4))
            other = Tiering(a_percent=30, b_percent=60, grace_days=50)
            with crm.begin() as tx, tx.acting(Tiering) as (_, ctx):
                found = [other.past_review(ctx, at) for at in sorted(reviews)]

        assert len(found) > 2
        for each in found:
            assert each.decided
            assert each.is_reproduced, each

    def test_cuts(self):
        """RFM tells where its fifths began, by which each score on record can be worked out."""
        clock = VirtualClock(instant(START))
        with Crm(scratch(), plugins=[Tiering(scheme="rfm")], clock=clock) as crm:
            for number in range(1, 11):
                crm.record(
                    "order.placed",
                    account=f"no{number}",
                    amount=Money(100 * number, "EUR"),
                    occurred_at=START - number * DAY,
                )
            until(crm, clock, START + 30 * DAY)
            past = asked(crm, lambda p, ctx: p.past_review(ctx, date(2024, 1, 18)))

        # Two customers to a fifth; everyone ordered once, so all are in the best one.
        assert [300, 500, 700, 900] == past.cuts.monetary
        assert [1, 1, 1, 1] == past.cuts.frequency
        assert [instant(START - n * DAY) for n in (8, 6, 4, 2)] == past.cuts.recency
        assert 10 == past.customers == len(past.decided)
        assert past.is_reproduced

    def test_nothing_decided(self):
        """Of an instant at which nothing was decided there is nothing to tell."""
        crm, _ = played(3)
        with crm:
            past = asked(crm, lambda plugin, ctx: plugin.past_review(ctx, date(2024, 1, 2)))

        assert {} == past.decided
        assert past.is_reproduced
