"""Effects: counted as a shop would by hand, from whom every gate let go."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from random import Random
from statistics import fmean, variance

import pytest
from crmcore_email_link import EmailLink
from crmcore_email_link.campaigns.arms import HELD_OUT
from crmcore_email_link.campaigns.effects import ArmOutcome, compared
from crmcore_email_link.campaigns.intervals import Counted, difference_of_shares
from hypothesis import given, settings
from hypothesis import strategies as st

from crmcore import Identifier, to_datetime
from crmcore.errors import InputError, NotFoundError
from plugins.email_link.tests.campaigning import (
    advance,
    campaigner,
    decide,
    messages,
    start,
    two,
    with_members,
)
from plugins.email_link.tests.shops import DAY, START, mails, member

ORDERS = st.lists(
    st.tuples(
        st.integers(0, 39),
        st.sampled_from(["order.placed", "order.placed", "order.cancelled", "order.refunded"]),
        st.integers(-3 * DAY, 20 * DAY),
        st.integers(1, 99_999),
    ),
    max_size=40,
)


def effect(crm, key="tea-1", **values):
    with crm.begin() as tx:
        return crm.plugin(EmailLink).campaign_effect(tx, key, **values)


def arms_of(crm, key="tea-1"):
    """Return each customer's arm, by what they got and what the record says."""
    tea = {str(each["To"]): {"Tea": "a", "TEA!": "b"}[str(each["Subject"])] for each in mails(crm)}
    found = {}
    for each in messages(crm, key):
        if each.address in tea:
            found[each.customer_id] = tea[each.address]
        elif each.gate == "guard":
            found[each.customer_id] = HELD_OUT
    return found


def by_hand(arms, facts, days=14):
    """Return of each arm how many there are, how many ordered, and what each of them brought."""
    orders: Counter[int] = Counter()
    money: Counter[int] = Counter()
    for customer, kind, at, minor in facts:
        if START < at <= START + days * DAY:
            orders[customer] += {"order.placed": 1, "order.cancelled": -1}.get(kind, 0)
            money[customer] += minor if kind == "order.placed" else -minor
    told = {}
    for name in ("a", "b", HELD_OUT):
        those = [each for each, arm in arms.items() if arm == name]
        brought = [money[each] for each in those]
        told[name] = (len(those), sum(orders[each] > 0 for each in those), brought)
    return told


@pytest.mark.each_database
@settings(max_examples=8)
@given(ORDERS)
def test_it_is_what_a_shop_would_count_by_hand(orders):
    with with_members(40) as crm:
        start(crm, variants=two(), template="", holdout=0.3)
        crm.deliver()
        advance(crm, START + 30 * DAY)
        arms = arms_of(crm)
        ids = sorted(arms)
        facts = [(ids[who], kind, START + offset + 1, minor) for who, kind, offset, minor in orders]
        for number, (customer, kind, at, minor) in enumerate(facts):
            signed = minor if kind == "order.placed" else -minor
            crm.record(
                kind,
                customer=customer,
                amount=f"{Decimal(signed) / 100:.2f}",
                occurred_at=to_datetime(at),
                source_key=str(number),
            )
        found = effect(crm)
        assert 40 == sum(each.size for each in found.arms)
        for each in found.arms:
            size, ordered, brought = by_hand(arms, facts)[each.name]
            assert (size, ordered, sum(brought)) == (each.size, each.ordered, each.revenue_minor)
            if size > 1:
                assert each.summed.mean == pytest.approx(fmean(brought), abs=1e-6)
                assert each.summed.variance == pytest.approx(variance(brought), rel=1e-6, abs=1e-3)


def test_variants_stand_beside_the_holdout_and_beside_the_first():
    with with_members(200) as crm:
        start(crm, variants=two(), template="", holdout=0.3, effect_days=3)
        crm.deliver()
        arms = arms_of(crm)
        advance(crm, START + DAY)
        # Of those who got the second four in five order, of the others one in five.
        for number, customer in enumerate(sorted(arms)):
            if (number % 5 != 0) == (arms[customer] == "b"):
                crm.record("order.placed", customer=customer, amount="10", source_key=str(number))
        found = effect(crm)
        pairs = {(each.arm.name, each.beside.name): each for each in found.comparisons}
        held = ("a + b", HELD_OUT), ("a", HELD_OUT), ("b", HELD_OUT)
        assert {*held, ("b", "a")} == set(pairs)
        assert pairs["b", HELD_OUT].orders.tells
        assert pairs["b", "a"].orders.low > 0
        assert pairs["b", HELD_OUT].revenue_minor is None  # of those held out too few ordered
        assert not pairs["a", HELD_OUT].orders.tells
        size = {each.name: (each.ordered, each.size) for each in found.arms}
        wanted = difference_of_shares(Counted(*size["b"]), Counted(*size["a"]))
        assert wanted == pairs["b", "a"].orders
        assert (3, 3, False) == (found.days, found.planned_days, found.is_over)
        advance(crm, START + 3 * DAY)
        assert effect(crm).is_over
        assert (1, 3) == (effect(crm, days=1).days, effect(crm, days=1).planned_days)


@pytest.mark.parametrize(("ordered", "tells"), [(29, False), (30, True)])
def test_money_is_told_where_enough_ordered_for_its_interval_to_hold(ordered, tells):
    """However large the arms are: of most customers nothing came, so a mean is far from normal."""
    many = arm("all", 9000, 400)
    found = compared({"all": many, HELD_OUT: arm(HELD_OUT, 1000, ordered)})
    (one,) = found
    assert tells == (one.revenue_minor is not None)
    assert one.orders.low < one.orders.difference < one.orders.high


def test_the_interval_of_money_holds_nearly_as_often_as_it_says():
    """Of arms that do not differ, with few who order and amounts that differ much."""
    chance = Random(7)
    found = []
    for _ in range(300):
        drawn = {}
        for name, size in (("all", 1800), (HELD_OUT, 600)):
            those = sum(chance.random() < 0.08 for _ in range(size))
            spent = [chance.lognormvariate(8, 1) for _ in range(those)]
            sums = round(sum(spent)), sum(each * each for each in spent)
            drawn[name] = arm(name, size, those, *sums)
        found += [each.revenue_minor for each in compared(drawn) if each.revenue_minor]
    assert len(found) > 290
    assert sum(each.tells for each in found) < 0.1 * len(found)


def arm(name, size, ordered, revenue_minor=10_000, squares=1e8):
    return ArmOutcome(
        name=name, size=size, ordered=ordered, revenue_minor=revenue_minor, squares=squares
    )


def test_an_arm_holds_whoever_was_tried_whether_or_not_it_arrived():
    """A mail that failed says nothing of whether its reader would have ordered."""
    known = {"recipients": lambda ids: {each: {"name": "N"} for each in ids if each % 2}}
    with with_members(100, campaigner(lock_percent=100, **known)) as crm:
        start(crm, template="named", holdout=0.5)
        crm.deliver()
        found = {each.name: each.size for each in effect(crm).arms}
        assert 100 == sum(found.values())
        assert found["all"] > len(mails(crm)) > 0


def test_who_turned_out_to_be_another_is_in_no_arm():
    with with_members(20) as crm:
        start(crm, holdout=0.4)
        crm.deliver()
        one, other = messages(crm)[:2]
        merged = crm.merge(one.customer_id, other.customer_id)
        found = effect(crm)
        assert (18, 1) == (sum(each.size for each in found.arms), found.left_out)
        crm.unmerge(merged.id)
        assert (20, 0) == (sum(each.size for each in effect(crm).arms), effect(crm).left_out)


def test_what_cannot_be_told_says_why():
    with with_members(3) as crm:
        start(crm, at=START + DAY)
        with pytest.raises(InputError, match="'tea-1' has not started"):
            effect(crm)
        with pytest.raises(NotFoundError, match="'tea-2'"):
            effect(crm, "tea-2")
        advance(crm, START + DAY)
        crm.run_due()
        for days in (0, 4000, True, 1.5):
            with pytest.raises(InputError, match="from 1 to 3650"):
                effect(crm, days=days)
        assert () == effect(crm).comparisons
        decide(crm, "cancel", "tea-1")
        assert [0] == [each.size for each in effect(crm).arms]
        assert member(crm, "x", "news")


def test_after_the_first_of_an_experiment_an_arm_is_all_whom_it_was_planned_for():
    """Who left because of the first is missing in no arm, or the two would not be alike."""
    with with_members(120) as crm:
        start(crm, "one", holdout=0.4, experiment="tone")
        crm.deliver()
        got = {str(mail["To"]) for mail in mails(crm)}
        advance(crm, START + DAY)
        for address in sorted(got)[::2]:  # every other one had enough of it
            who = crm.find_customer(Identifier("email", address))
            said = {"purpose": "news", "channel": "email", "point": address}
            crm.record("consent.withdrawn", customer=who, payload=said)
        start(crm, "two", holdout=0.4, experiment="tone")
        crm.deliver()
        found = effect(crm, "two")
        assert found.is_whole
        assert {"all": len(got), HELD_OUT: 120 - len(got)} == {
            each.name: each.size for each in found.arms
        }
        start(crm, "alone", holdout=0.4)
        crm.deliver()
        alone = effect(crm, "alone")
        assert not alone.is_whole
        assert 120 - len(got) // 2 - len(got) % 2 == sum(each.size for each in alone.arms)
