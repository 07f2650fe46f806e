"""Tiers by what customers are expected to bring, against the models asked directly."""

import sys
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from crmcore_tiering import Tiering

from crmcore import Crm, Draft, Identifier, Money, VirtualClock
from crmcore.errors import ConfigurationError
from tests.support.databases import scratch

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
START = datetime(2023, 1, 1, tzinfo=UTC)
END = datetime(2024, 1, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def instant(moment):
    return (moment - EPOCH) // timedelta(microseconds=1)


def buyers(customers=250):
    """Return orders of customers who buy at rates of their own, and leave at rates of their own."""
    random = Random(7)
    found = []
    for number in range(customers):
        rate, leaving = random.gammavariate(0.8, 1 / 30), random.gammavariate(1.2, 1 / 250)
        mean = 20_000 * random.gammavariate(6, 1) / random.gammavariate(4, 1)
        first = random.uniform(0, 120)
        at, left = first, first + random.expovariate(leaving)
        while at < min(left, 365):
            amount = max(1, round(mean * random.gammavariate(6, 1 / 6)))
            found.append((number, START + timedelta(days=at), amount))
            at += random.expovariate(rate)
    return found


def shop(orders, **settings):
    """Return a shop that was told of these orders, and its clock."""
    plugin = Tiering(scheme="predicted", review_every_days=0, **settings)
    clock = VirtualClock(instant(END))
    crm = Crm(scratch(), plugins=[plugin], clock=clock, secret="of a test")
    crm.record_many(
        Draft(
            "order.placed",
            identifiers=(Identifier("account", f"no{number}"),),
            occurred_at=at,
            amount=Money(amount, "EUR"),
        )
        for number, at, amount in orders
    )
    return crm


def review(crm):
    with crm.begin() as tx, tx.acting(Tiering) as (plugin, ctx):
        return plugin.review_now(ctx, ctx.clock.now())


def expected(orders, model, horizon):
    """Return what the models expect of each customer, asked in the order of their numbers."""
    from crmcore_tiering.btyd import BgNbd, GammaGamma, ParetoNbd

    histories: dict[Any, list[tuple[Any, Any]]] = {}
    for number, at, amount in orders:
        histories.setdefault(number, []).append((at, amount))
    rows = [sorted(histories[number]) for number in sorted(histories)]
    told: dict[str, Any] = {
        "frequency": [len(row) - 1 for row in rows],
        "recency": [(row[-1][0] - row[0][0]) / DAY for row in rows],
        "age": [(END - row[0][0]) / DAY for row in rows],
    }
    means = [sum(a for _, a in row[1:]) / max(1, len(row) - 1) for row in rows]
    values: dict[str, Any] = {"frequency": told["frequency"], "monetary_value": means}
    buying = (BgNbd if model == "bg_nbd" else ParetoNbd).fit(**told)
    worth = GammaGamma.fit(**values).expected_value(**values)
    often = buying.expected_purchases(horizon, **told)
    return dict(zip(sorted(histories), often * worth, strict=True)), often


@pytest.mark.parametrize("model", ["bg_nbd", "pareto_nbd"])
def test_graded_by_what_is_expected(model):
    """Tiers are shares of what is expected; the decision tells the models and their numbers."""
    orders = buyers()
    worth, often = expected(orders, model, 90)
    total = sum(worth.values())
    with shop(orders, model=model, horizon_days=90) as crm:
        assert len(worth) == review(crm)
        decisions = {
            n: crm.why_decisions(Identifier("account", f"no{n}"))[0].interaction for n in worth
        }
        figures = crm.report("tiering").figures

    for number, decision in decisions.items():
        told, above = decision.payload, sum(w for w in worth.values() if w > worth[number])
        # Amounts are rounded to minor units, so who stands right at a border is left out.
        if abs(above / total - 0.8) > 0.001 and abs(above / total - 0.95) > 0.001:
            assert ("A" if above < 0.8 * total else "B" if above < 0.95 * total else "C") == (
                told.to_tier
            )
        mine = told.forecast.purchases * told.forecast.value_minor
        assert pytest.approx(worth[number], rel=1e-4) == mine
    one = decisions[0].payload
    assert (model, 90) == (one.forecast.model, one.forecast.horizon_days)
    assert one.forecast.parameters.keys() > {"r", "alpha", "p", "q", "gamma"}
    assert "purchases expected within 90 days" in str(one)
    assert pytest.approx(sum(often), rel=1e-4) == figures["models"]["expected_purchases"]


def test_never_by_being_alive():
    """Who bought once, and is alive for certain by BG/NBD, comes after who buys again and again."""
    orders = buyers()
    once = [(9000, START + 2 * DAY, 2_000_000)]
    often = [(9001, START + 10 * n * DAY, 30_000) for n in range(36)]
    with shop([*orders, *once, *often], horizon_days=90) as crm:
        review(crm)
        tiers = [
            crm.customer(Identifier("account", f"no{n}")).traits["tiering.tier"]
            for n in (9000, 9001)
        ]

        assert ["C", "A"] == tiers


def test_a_past_review():
    """A review by models can be made anew from the ledger, too."""
    with shop(buyers()) as crm:
        review(crm)
        with crm.begin() as tx, tx.acting(Tiering) as (plugin, ctx):
            past = plugin.past_review(ctx, ctx.clock.now())

        assert past.decided
        assert past.is_reproduced


@pytest.mark.parametrize("orders", [0, 1, 5])
def test_too_few(orders):
    """Where no model settles, everyone keeps the tier they have, and the report says why."""
    given = [(n, START + n * DAY, 100) for n in range(orders)]
    with shop(given) as crm:
        changed = review(crm)
        told = crm.report("tiering").figures["models"]

        assert 0 == changed
        assert told["refused"]
        assert {"A": 0, "B": 0, "C": 0} == crm.report("tiering").figures["tiers"]


def test_without_the_extra(monkeypatch):
    """Without numpy and scipy the scheme is refused at the start, with what to install."""
    for name in [n for n in sys.modules if n.startswith("crmcore_tiering.btyd")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "scipy", None)

    with pytest.raises(ConfigurationError, match=r"install crmcore-tiering\[predict\]"):
        Tiering(scheme="predicted")
    Tiering(scheme="rfm")


@pytest.mark.parametrize("settings", [{"basis": "margin"}, {"period_days": 30}])
def test_revenue_over_all_time_only(settings):
    """What the models do not know of is refused rather than left out of account."""
    with pytest.raises(ConfigurationError, match="'predicted' knows revenue over all time only"):
        Tiering(scheme="predicted", **settings)
