"""The margin of orders with lines, against a plain reading of the facts."""

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from crmcore_tiering import Tiering

from crmcore import Crm, Draft, Identifier, Line, Money, VirtualClock
from tests.support.databases import scratch

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
START = datetime(2024, 1, 10, 15, tzinfo=UTC)
NOW = START + timedelta(days=100)


def instant(moment):
    return (moment - EPOCH) // timedelta(microseconds=1)


def fact(kind, account, day, amount, lines=(), order=None):
    """Return a draft; *lines* are pairs of amount and cost."""
    return Draft(
        kind,
        identifiers=(Identifier("account", account),),
        occurred_at=START + timedelta(days=day),
        amount=None if amount is None else Money(amount, "EUR"),
        lines=tuple(Line(product="tea", amount_minor=a, cost_minor=c) for a, c in lines),
        subject=None if order is None else f"order:{order}",
    )


def totals(crm, **settings):
    """Return what counts for each account, by what the shop has set."""
    method = Tiering(basis="margin", **settings)._reviews.method
    with crm.begin() as tx, tx.acting(Tiering) as (_, ctx):
        values = {"counted_from": method.counted_from(ctx.calendar, instant(NOW))}
        rows = ctx.execute(method.totals(ctx.facts_until(instant(NOW) + 1)), **values)
    names = {crm.find_customer(Identifier("account", name)): name for name in "abcd"}
    return {names[row[0]]: (row[1], row[2]) for row in rows}


def shop(facts):
    """Return a shop in which these facts happened."""
    clock = VirtualClock(instant(NOW))
    plugin = Tiering(basis="margin", review_every_days=0)
    crm = Crm(scratch(), plugins=[plugin], clock=clock, secret="of a test")
    crm.record_many(facts)
    return crm


def plain(facts, since):
    """Return what counts for each account, worked out one by one."""
    found: dict[str, Any] = {}
    off = {
        (f.identifiers[0].value, f.subject)
        for f in facts
        if f.kind == "order.cancelled" and not f.lines and f.subject
    }
    undone = {
        (f.identifiers[0].value, f.subject)
        for f in facts
        if f.kind in ("order.cancelled", "order.refunded") and f.lines and f.subject
    }
    for f in facts:
        who = f.identifiers[0].value
        orders, net = found.get(who, (0, 0))
        if f.occurred_at >= since:
            sign = {"order.placed": 1, "order.returned": 0}.get(f.kind, -1)
            orders += {"order.placed": 1, "order.cancelled": -1}.get(f.kind, 0)
            net += sign * f.amount.amount_minor
            called_off = (who, f.subject) in off
            twice = f.kind == "order.returned" and (who, f.subject) in undone
            if not called_off and not twice:
                cost = sum(line.cost_minor or 0 for line in f.lines)
                net += -cost if f.kind == "order.placed" else cost
        found[who] = (orders, net)
    return found


def history(seed):
    """Return made-up orders and what undid them, some with lines, some with costs."""
    random = Random(seed)
    found = []
    for number in range(60):
        kinds = ["order.placed"] * 4 + ["order.refunded", "order.cancelled", "order.returned"]
        lines = [
            (random.randrange(1, 900), random.choice([None, 0, random.randrange(1, 500)]))
            for _ in range(random.choice([0, 1, 2]))
        ]
        amount = sum(a for a, _ in lines) or random.randrange(1, 900)
        order = random.choice([None, number // 4])
        account, day = random.choice("abcd"), random.randrange(100)
        found.append(fact(random.choice(kinds), account, day, amount, lines, order))
    return found


@pytest.mark.each_database
@pytest.mark.parametrize("days", [0, 40])
@pytest.mark.parametrize("seed", range(3))
def test_plain_reading(seed, days):
    """Revenue less the cost of lines, what is undone taken back, over any period."""
    facts = history(seed)
    # Periods begin with a civil day.
    since = NOW.replace(hour=0) - timedelta(days=days) if days else EPOCH
    with shop(facts) as crm:
        assert plain(facts, since) == totals(crm, period_days=days)


@pytest.mark.each_database
class TestCosts:
    """What a line costs, and what takes the cost away again."""

    def test_without_cost(self):
        """Who bought what has no cost counts with the revenue, and the report says how much."""
        facts = [
            fact("order.placed", "a", 1, 1000, [(1000, 600)]),
            fact("order.placed", "b", 1, 700, [(500, None), (200, 50)]),
            fact("order.placed", "c", 1, 300),
        ]
        with shop(facts) as crm:
            assert {"a": (1, 400), "b": (1, 650), "c": (1, 300)} == totals(crm)
            figures = crm.report("tiering").figures
            assert (650, 800) == (figures["cost_minor"], figures["without_cost_minor"])

    def test_called_off(self):
        """An order that was called off as a whole has cost nothing."""
        facts = [
            fact("order.placed", "a", 1, 1000, [(1000, 600)], order=7),
            fact("order.cancelled", "a", 2, 1000, order=7),
        ]
        with shop(facts) as crm:
            assert {"a": (0, 0)} == totals(crm)
            assert 0 == crm.report("tiering").figures["without_cost_minor"]

    def test_returned_and_refunded(self):
        """What came back and was refunded is taken back once."""
        facts = [
            fact("order.placed", "a", 1, 1000, [(1000, 600)], order=7),
            fact("order.returned", "a", 2, 1000, [(1000, 600)], order=7),
            fact("order.refunded", "a", 3, 1000, [(1000, 600)], order=7),
        ]
        with shop(facts) as crm:
            assert {"a": (1, 0)} == totals(crm)
        with shop(facts[:2]) as crm:
            assert {"a": (1, 1000)} == totals(crm)

    def test_grades(self):
        """Who brings much and leaves little comes after who leaves more."""
        facts = [
            fact("order.placed", "a", 1, 10_000, [(10_000, 9_900)]),
            fact("order.placed", "b", 1, 1_000, [(1_000, 100)]),
        ]
        with shop(facts) as crm:
            with crm.begin() as tx, tx.acting(Tiering) as (plugin, ctx):
                plugin.review_now(ctx, ctx.clock.now())
            tiers = [crm.customer(Identifier("account", n)).traits["tiering.tier"] for n in "ab"]
            decision = crm.why_decisions(Identifier("account", "a"))[-1].interaction

            assert ["B", "A"] == tiers
            assert "customers with more margin bring 90.0 % of it" in str(decision.payload)
            assert "margin" == decision.payload.rules.basis
