"""Contribution, rhythm, channels, hours and categories, against plain counts of one history."""

from collections import Counter
from fractions import Fraction

import pytest
from crmcore_profile.attributes import READY_MADE
from crmcore_profile.categories import CATEGORIES, category_trait
from crmcore_profile.civil import ShopZone
from crmcore_profile.contacts import (
    CHANNELS,
    OF_THEIR_OWN,
    UNIT,
    channel_trait,
    hour_trait,
    hours_fold,
    weight_of,
)
from crmcore_profile.contribution import CONTRIBUTIONS, Costs, contribution_trait
from crmcore_profile.rhythm import rhythm_traits
from crmcore_profile.tables import Whole, category, channel, contribution, hour, statement
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import bindparam, select

from crmcore import Calendar

pytestmark = pytest.mark.each_database(partitioned=False)

DAY = 86_400_000_000
HOUR = DAY // 24
COSTS = Costs(shipment_minor=450, return_minor=320, case_minor=1000, call_minute_minor=75)
KINDS = (
    "order.placed order.placed order.placed order.cancelled order.refunded order.returned "
    "order.shipped service.opened call.ended product.viewed message.opened"
).split()

HOURS = hours_fold(ShopZone())
FOLDS = (CONTRIBUTIONS, CATEGORIES, CHANNELS, HOURS)
TABLES = (contribution, category, channel, hour)
CONTRIBUTION = contribution_trait(COSTS)
RHYTHM = {trait.name: trait for trait in rhythm_traits(overdue_percent=150, overdue_orders=3)}
LEARNED = {days: channel_trait(None, days) for days in (1, 30, 90)}
LIKED = channel_trait(READY_MADE["preferred_channel"], 90)


def fact(kind, at=0, *, customer=1, number=1, **more):
    """Return an interaction as the ledger holds it."""
    return {
        "interaction_id": number,
        "kind": kind,
        "customer_id": customer,
        "occurred_at": at,
        "source_key": f"k{number}",
        **more,
    }


def numbered(facts):
    return [{**each, "interaction_id": n} for n, each in enumerate(facts, start=1)]


def folded(sheet, facts):
    sheet.record(numbered(facts))
    for fold in FOLDS:
        sheet.fold(fold)


lines = st.lists(
    st.fixed_dictionaries(
        {
            "category": st.sampled_from([None, "tea", "cups", "Cups"]),
            "amount_base_minor": st.none() | st.integers(0, 900),
            "cost_minor": st.none() | st.integers(0, 500),
        }
    ),
    max_size=2,
)


@st.composite
def histories(draw):
    """Draw what happens to two customers, with everything that a fact may have or lack."""
    found = []
    for _ in range(draw(st.integers(0, 14))):
        kind = draw(st.sampled_from(KINDS))
        sign = -1 if kind in ("order.cancelled", "order.refunded") else 1
        bought = draw(lines) if kind.startswith("order.") else []
        payload = {}
        if kind == "call.ended":
            payload = {
                "direction": draw(st.sampled_from(["inbound", "outbound"])),
                "duration_seconds": draw(st.sampled_from([None, 0, 59, 60, 61, 3600])),
            }
        amount = draw(st.none() | st.integers(0, 2000))
        found.append(
            fact(
                kind,
                draw(st.integers(0, 60)) * 7 * DAY + draw(st.integers(0, 30)) * HOUR,
                customer=draw(st.sampled_from([1, 1, 2])),
                subject=draw(st.sampled_from([None, "order:1", "order:2"])),
                channel=draw(st.sampled_from([None, "web", "store"])),
                amount_base_minor=None if amount is None else sign * amount,
                payload=payload,
                lines=[
                    {**each, "amount_base_minor": sign * (each["amount_base_minor"] or 0)}
                    for each in bought
                ],
            )
        )
    return found


@settings(max_examples=40)
@given(history=histories(), cuts=st.sets(st.integers(1, 14)), data=st.data())
def test_adds_up(open_sheet, history, cuts, data):
    """In any order of arrival, and folded in any parts, a history leaves the same rows."""
    found = []
    for facts, parts in ((history, ()), (data.draw(st.permutations(history)), cuts)):
        with open_sheet() as sheet:
            sheet.record(numbered(facts))
            for fold in FOLDS:
                sheet.fold_in_parts(fold, parts)
            found.append([sheet.rows(table) for table in TABLES])

    assert found[0] == found[1]


# -- what is left ----------------------------------------------------------------------------------


def left_of(history):
    """Return what each customer leaves to the shop, counted fact by fact."""
    left: Counter[int] = Counter()
    whole = {
        (f["customer_id"], f["subject"])
        for f in history
        if f["kind"] == "order.cancelled" and not f["lines"] and f["subject"]
    }
    seconds: Counter[tuple[int, str | None]] = Counter()
    for each in history:
        who, kind = each["customer_id"], each["kind"]
        if kind in ("order.placed", "order.cancelled", "order.refunded"):
            left[who] += each["amount_base_minor"] or 0
        goods = sum(line["cost_minor"] or 0 for line in each["lines"])
        if (who, each["subject"]) not in whole:
            left[who] -= goods * (kind == "order.placed")
            left[who] += goods * (kind in ("order.cancelled", "order.returned"))
        left[who] -= 450 * (kind == "order.shipped") + 320 * (kind == "order.returned")
        left[who] -= 1000 * (kind == "service.opened")
        if kind == "call.ended":
            seconds[who, each["subject"]] += each["payload"]["duration_seconds"] or 0
    for (who, _), count in seconds.items():
        left[who] -= 75 * -(-count // 60)
    return left


@settings(max_examples=50)
@given(history=histories())
def test_contribution(open_sheet, history):
    """What is left is revenue less goods, shipping, returns and service, to the last cent."""
    with open_sheet() as sheet:
        folded(sheet, history)
        found = sheet.values(CONTRIBUTION)

    assert {who: n for who, n in left_of(history).items() if n} == {
        who: n for who, n in found.items() if n
    }


class TestContribution:
    """One case after the other."""

    def left(self, sheet, *facts):
        folded(sheet, facts)
        return sheet.values(CONTRIBUTION)

    def test_an_order(self, sheet):
        """Goods are paid for, and so is the parcel."""
        goods = [{"amount_base_minor": 5000, "cost_minor": 2000}]
        order = fact("order.placed", subject="o", amount_base_minor=5000, lines=goods)

        assert {1: 5000 - 2000 - 450} == self.left(sheet, order, fact("order.shipped", subject="o"))

    def test_cancelled(self, sheet):
        """Goods of an order that was cancelled as a whole never left, whatever came first."""
        goods = [{"amount_base_minor": 5000, "cost_minor": 2000}]
        order = fact("order.placed", 2, subject="o", amount_base_minor=5000, lines=goods)
        off = fact("order.cancelled", 1, subject="o", amount_base_minor=-5000)

        assert {1: 0} == self.left(sheet, off, order)

    def test_returned(self, sheet):
        """Of what came back the cost is taken off, as far as the lines tell it."""
        goods = [{"amount_base_minor": 5000, "cost_minor": 2000}] * 2
        order = fact("order.placed", subject="o", amount_base_minor=10_000, lines=goods)
        back = fact("order.returned", subject="o", lines=[{"cost_minor": 2000}])
        money = fact("order.refunded", subject="o", amount_base_minor=-5000, lines=goods[:1])

        assert {1: 10_000 - 5000 - 4000 + 2000 - 320} == self.left(sheet, order, back, money)


# -- when ------------------------------------------------------------------------------------------


@settings(max_examples=50)
@given(history=histories(), now=st.integers(0, 500))
def test_rhythm(open_sheet, history, now):
    """Gaps, and whether an order is overdue, are as counted from the days of the orders."""
    with open_sheet() as sheet:
        folded(sheet, history)
        found = {name: sheet.values(trait, now * DAY) for name, trait in RHYTHM.items()}
    for who in (1, 2):
        orders = [f for f in history if f["customer_id"] == who and f["kind"] == "order.placed"]
        dropped = {
            f["subject"]
            for f in history
            if f["customer_id"] == who and f["kind"] == "order.cancelled" and not f["lines"]
        } - {None}
        times = [f["occurred_at"] for f in orders if f["subject"] is None]
        for subject in {f["subject"] for f in orders} - {None} - dropped:
            times.append(min(f["occurred_at"] for f in orders if f["subject"] == subject))
        if not times:
            assert who not in found["profile.quiet_days"]
            continue
        last, count = max(times), len(times)
        gap = Fraction(last - min(times), max(1, count - 1))
        late = now * DAY - last
        expected = -1 if count < 2 else gap // DAY

        assert expected == found["profile.rhythm_days"][who]
        assert max(0, late) // DAY == found["profile.quiet_days"][who]
        if abs(late - gap * 3 / 2) > 1000:  # divided first, it is right to a millisecond
            assert (count >= 3 and late > gap * 3 / 2) == found["profile.is_overdue"][who]


def test_overdue(sheet):
    """A customer becomes overdue by time alone, at half more than their usual gap."""
    folded(sheet, [fact("order.placed", day * DAY) for day in (0, 10, 20)])
    overdue = RHYTHM["profile.is_overdue"]

    assert {1: 10} == sheet.values(RHYTHM["profile.rhythm_days"])
    assert {1: 0} == sheet.values(overdue, 35 * DAY)
    assert {1: 1} == sheet.values(overdue, 35 * DAY + 1)


def test_long_gaps(sheet):
    """Even three hundred years between two orders can be reckoned with."""
    start, end = -2_208_988_800_000_000, 7_258_118_400_000_000
    folded(sheet, [fact("order.placed", at) for at in (start, start, end)])

    assert {1: 0} == sheet.values(RHYTHM["profile.is_overdue"], end)
    assert {1: (end - start) // 2 // DAY} == sheet.values(RHYTHM["profile.rhythm_days"], end)


# -- where, at what hour, on what ------------------------------------------------------------------


def is_contact(each):
    outbound = each["kind"] == "call.ended" and each["payload"]["direction"] == "outbound"
    return each["kind"] in OF_THEIR_OWN and not outbound


@settings(max_examples=50)
@given(history=histories(), half_life=st.sampled_from([1, 30, 90]))
def test_channel(open_sheet, history, half_life):
    """The channel liked is the one with most contacts, each halved with every half-life."""
    with open_sheet() as sheet:
        folded(sheet, history)
        found = sheet.values(LEARNED[half_life])
    for who in (1, 2):
        weeks: dict[str, list[int]] = {}
        for each in history:
            where = each["channel"] or ("phone" if each["kind"] == "call.ended" else None)
            if each["customer_id"] == who and is_contact(each) and where:
                weeks.setdefault(where, []).append((each["occurred_at"] // DAY + 25_567) // 7)
        if not weeks:
            assert who not in found
            continue
        latest = max(map(max, weeks.values()))
        weights = {
            name: sum(2 ** (-(latest - week) * 7 / half_life) for week in given)
            for name, given in weeks.items()
        }
        # A half-life has sixteen steps, so what differs by less than one may go either way.
        assert weights[found[who]] * 2 ** (1 / 16) >= max(weights.values()) * 0.9999


AGE = bindparam("age", type_=Whole)


@settings(max_examples=40)
@given(age=st.integers(0, 20_000), half_life=st.integers(1, 2000))
def test_weight(request, age, half_life):
    """A weight is half for each half-life, right to a step of a sixteenth; old ones are nothing."""
    sheet = request.getfixturevalue("sheet")
    ((found,),) = sheet.execute(select(weight_of(AGE, half_life)), age=age)
    halved = age * 7 / half_life

    if halved >= 31:
        assert 0 == found
    else:
        exact = UNIT * 2**-halved
        assert exact * 0.999 - 1 <= found <= exact * 2 ** (1 / 16) * 1.001 + 1


def test_decay(sheet):
    """What a customer did often, long ago, gives way to what they do of late."""
    facts = [fact("order.placed", 0, channel="store")] * 7
    folded(sheet, [*facts, fact("product.viewed", 270 * DAY, channel="web")])

    assert {1: "web"} == sheet.values(LEARNED[90])  # 7 / 8 is less than 1
    assert {1: "web"} == sheet.values(LIKED)


def test_asked_for(sheet):
    """What a customer declared comes before what they do; what others think does not."""
    folded(sheet, [fact("product.viewed", channel="web"), fact("call.ended", customer=2)])
    told = {"attribute": "preferred_channel", "confidence": 100, "as_of": 0, "stated_at": 0}
    said = [
        {**told, "customer_id": 1, "interaction_id": 1, "origin": "declared", "value": "post"},
        {**told, "customer_id": 2, "interaction_id": 2, "origin": "observed", "value": "post"},
        {**told, "customer_id": 3, "interaction_id": 3, "origin": "declared", "value": "sms"},
    ]
    sheet.write(statement, [{**each, "source": "shop"} for each in said])

    assert {1: "post", 2: "phone", 3: "sms"} == sheet.values(LIKED)


@settings(max_examples=40)
@given(history=histories())
def test_hour(open_sheet, history):
    """The hour is that of most contacts, the earliest of equals."""
    with open_sheet() as sheet:
        folded(sheet, history)
        found = sheet.values(hour_trait())
    expected = {}
    for who in (1, 2):
        hours = Counter(
            f["occurred_at"] // HOUR % 24
            for f in history
            if f["customer_id"] == who and is_contact(f)
        )
        if hours:
            expected[who] = min(hours, key=lambda each: (-hours[each], each))

    assert expected == found


def test_hour_in_the_shop(sheet):
    """It is an hour of the shop's day, which in New York begins hours later."""
    sheet.record([fact("product.viewed", 0, channel="web")])
    sheet.fold(hours_fold(ShopZone(Calendar.named("America/New_York"))))

    assert {1: 19} == sheet.values(hour_trait())


@settings(max_examples=40)
@given(history=histories())
def test_category(open_sheet, history):
    """The category is that of most net revenue, if there is any; equals go by their bytes."""
    with open_sheet() as sheet:
        folded(sheet, history)
        found = sheet.values(category_trait())
    expected = {}
    for who in (1, 2):
        spent: Counter[str | None] = Counter()
        for each in history:
            paid = each["kind"] in ("order.placed", "order.cancelled", "order.refunded")
            if each["customer_id"] == who and paid:
                for line in each["lines"]:
                    spent[line["category"]] += line["amount_base_minor"]
        names = [name for name, net in spent.items() if name and net > 0]
        if names:
            expected[who] = min(names, key=lambda name: (-spent[name], name))

    assert expected == found
