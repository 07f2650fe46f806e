"""The ready groups: who is in them, and that of ten a customer is in one and no other."""

from datetime import UTC, datetime, timedelta

import pytest
from crmcore_grouping import Grouping
from crmcore_grouping.ready import DESCRIPTIONS
from hypothesis import given, settings
from hypothesis import strategies as st

from crmcore import Crm, VirtualClock, to_instant
from crmcore.errors import ConfigurationError
from tests.support.databases import scratch

NOW = datetime(2024, 6, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
TEN = [name for name in DESCRIPTIONS if name != "advocates"]


def opened(**settings_of_it):
    plugin = Grouping(ready=list(DESCRIPTIONS), **settings_of_it)
    return Crm(scratch(), plugins=[plugin], clock=VirtualClock(to_instant(NOW)), durable=False)


def orders(crm, name, *days_ago, amount="20"):
    """Record orders so many days ago, and return whose they are."""
    for each in days_ago:
        found = crm.record(
            "order.placed",
            email=f"{name}@example.com",
            amount=amount,
            occurred_at=NOW - each * DAY,
        )
    return found.customer_id


def expected(last, count, total):
    """Return the group of the table in README.md, read anew."""
    often, big = count >= 5, total >= 500
    if last < 30:
        if often:
            return "champions" if big else "loyal"
        return "potential_loyalists" if count > 1 else "new_customers"
    if last < 90:
        return "loyal" if often else "need_attention" if count > 1 else "promising"
    if last < 365:
        return "at_risk" if often or big else "about_to_sleep"
    if often and big:
        return "cannot_lose_them"
    return "at_risk" if often or big else "hibernating"


@settings(max_examples=25)
@given(
    st.lists(st.sampled_from((1, 29, 31, 60, 89, 91, 200, 364, 366, 700)), min_size=1, max_size=7),
    st.sampled_from((10, 80, 100, 260, 600)),
)
def test_one_of_ten(days, amount):
    """Whoever has ordered is in the group that the table says, and in no other of the ten."""
    with opened() as crm:
        ada = orders(crm, "ada", *days, amount=str(amount))
        crm.record("account.registered", email="bob@example.com")

        found = [name for name in TEN if ada in crm.members(name)]
        strangers = [name for name in TEN if len(crm.members(name)) > (name in found)]

    assert [expected(min(days), len(days), amount * len(days))] == found
    assert [] == strangers


def test_advocates():
    """Who spends little, and shares, is an advocate; not who spends much or says nothing."""
    with opened(little_amount=50, praises=["share.made", "order.placed"]) as crm:
        ada, bob = orders(crm, "ada", 10), orders(crm, "bob", 10, amount="60")
        orders(crm, "cleo", 10)
        for name, count in (("ada", 3), ("bob", 3), ("cleo", 2)):
            for _ in range(count):
                crm.record("share.made", email=f"{name}@example.com", payload={"object": "tea"})
        assert [ada] == crm.members("advocates")
        assert bob not in crm.members("advocates")


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"ready": ["champion"]}, "ready has 'champion'.*'champions'"),
        ({"recent_days": 90}, "recent_days 90, fading_days 90"),
        ({"often": 1}, "often is 1"),
        ({"every_minutes": 0}, "every_minutes is 0"),
        ({"big_amount": -1}, "big_amount is -1"),
        ({"praises": []}, "praises is empty"),
    ],
)
def test_settings_are_checked(values, told):
    """A setting that makes no sense is refused, and the error says what is expected."""
    with pytest.raises(ConfigurationError, match=told):
        Grouping(**values)
