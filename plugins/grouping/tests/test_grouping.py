"""Grouping in a shop: who enters and leaves, when that is told, and what changes it."""

from datetime import UTC, datetime, timedelta

import pytest
from crmcore_grouping import Grouping
from crmcore_grouping.tables import history, member
from sqlalchemy import select

from crmcore import Crm, VirtualClock, to_instant
from crmcore.errors import PluginError
from tests.support.databases import scratch, shop_file

pytestmark = pytest.mark.each_database(partitioned=False)

START = datetime(2024, 1, 10, 15, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
SEGMENTS = {
    "buyers": "orders",
    "regulars": "orders(days=30).count >= 2",
    "lapsed": "in buyers and not orders(days=30)",
}


def opened(segments=SEGMENTS, url=None, at=START, plugin=None, **options):
    clock = VirtualClock(to_instant(at))
    plugins = [plugin or Grouping(), *options.pop("plugins", ())]
    return Crm(
        url or scratch(), plugins=plugins, clock=clock, segments=segments, durable=False, **options
    )


@pytest.fixture
def crm():
    with opened() as made:
        yield made


def order(crm, name="ada", at=None, **values):
    """Record an order, now or late, and return whose it is."""
    return crm.record(
        "order.placed", email=f"{name}@example.com", amount="20", occurred_at=at, **values
    ).customer_id


def run_until(crm, moment):
    """Let time pass, and everything that falls due on the way."""
    clock = crm.runtime.clock
    while (due := crm.next_due()) is not None and due <= to_instant(moment):
        clock.advance_to(due)
        crm.run_due()
    clock.advance_to(to_instant(moment))


def members(crm, group, at=None):
    with crm.begin() as tx, tx.acting(Grouping) as (grouping, ctx):
        return grouping.members(ctx, group, at)


def groups_of(crm, customer, at=None):
    with crm.begin() as tx, tx.acting(Grouping) as (grouping, ctx):
        return grouping.groups_of(ctx, customer, at)


def told(crm, customer):
    """Return what was decided about a customer: the kind, the group, and when."""
    rows = crm.customer(customer).latest
    return sorted(
        (row.occurred_at, row.kind.partition(".")[2], row.payload.group)
        for row in rows
        if row.kind.startswith("grouping.")
    )


def test_entering_is_told_at_the_next_fixed_instant(crm):
    """Who orders is in the group from the next quarter of an hour on, because of the order."""
    placed = crm.record("order.placed", email="ada@example.com", amount="20")
    ada = placed.customer_id
    assert [] == members(crm, "buyers")

    run_until(crm, START + 20 * MINUTE)

    at = START + 14 * MINUTE
    assert [(at, "entered", "buyers")] == told(crm, ada)
    assert [ada] == members(crm, "buyers")
    assert [] == members(crm, "buyers", at - MINUTE)
    assert [ada] == members(crm, "buyers", at)
    (entered,) = [each for each in crm.customer(ada).latest if "entered" in each.kind]
    assert placed.id == entered.caused_by
    assert "buyers" == crm.customer(ada).traits["grouping.groups"]


def test_time_alone(crm):
    """Who stays away leaves one group and enters another, at the instant at which time is over."""
    ada = order(crm)
    order(crm)
    run_until(crm, START + 29 * DAY)
    assert ["buyers", "regulars"] == groups_of(crm, ada)

    run_until(crm, START + 31 * DAY)

    over = START + 30 * DAY + 14 * MINUTE
    assert ["buyers", "lapsed"] == groups_of(crm, ada)
    assert [(over, "entered", "lapsed"), (over, "left", "regulars")] == told(crm, ada)[-2:]
    assert ["buyers", "regulars"] == groups_of(crm, ada, over - MINUTE)
    assert ["buyers", "lapsed"] == groups_of(crm, ada, to_instant(over))


def test_late_interaction(crm):
    """A fact that comes late counts from the next look on; what was told stays told."""
    ada = order(crm)
    run_until(crm, START + 31 * DAY)
    assert ["buyers", "lapsed"] == groups_of(crm, ada)

    order(crm, at=START + 20 * DAY, source_key="late")
    run_until(crm, START + 31 * DAY + 20 * MINUTE)
    assert ["buyers"] == groups_of(crm, ada)
    assert ["buyers", "lapsed"] == groups_of(crm, ada, START + 31 * DAY)

    run_until(crm, START + 51 * DAY)
    assert ["buyers", "lapsed"] == groups_of(crm, ada)


def test_merge_and_unmerge(crm):
    """The facts of two who are one count together, and apart again; seen to at midnight."""
    ada, bob = order(crm, "ada"), order(crm, "bob")
    run_until(crm, START + DAY)
    assert ["buyers"] == groups_of(crm, ada)

    merge = crm.merge(ada, bob)
    run_until(crm, START + 2 * DAY)
    assert ["buyers", "regulars"] == groups_of(crm, ada)
    assert [ada] == members(crm, "buyers")

    crm.unmerge(merge.id)
    run_until(crm, START + 3 * DAY)
    assert ["buyers"] == groups_of(crm, ada) == groups_of(crm, bob)
    run_until(crm, START + 40 * DAY)
    assert ["buyers", "lapsed"] == groups_of(crm, ada) == groups_of(crm, bob)


def test_another_rule(tmp_path):
    """If a rule becomes another one, or a group goes, everyone is looked at again; else nobody."""
    url = shop_file(tmp_path)
    with opened(url=url) as crm:
        ada = order(crm)
        run_until(crm, START + DAY)
        assert ["buyers"] == groups_of(crm, ada)
    with opened(url=url, at=START + DAY) as crm:
        assert crm.next_due() > to_instant(START + DAY + 15 * MINUTE)

    changed = {"regulars": "orders(days=30).count >= 1", "lapsed": "orders and not orders(days=30)"}
    with opened(changed, url=url, at=START + DAY) as crm:
        run_until(crm, START + DAY + 20 * MINUTE)
        assert ["regulars"] == groups_of(crm, ada)
        assert ["buyers"] == groups_of(crm, ada, START + DAY)
    with opened(url=url, at=START + DAY + 20 * MINUTE) as crm:
        run_until(crm, START + DAY + 40 * MINUTE)
        assert ["buyers"] == groups_of(crm, ada)
    with opened({}, url=url, at=START + DAY + 40 * MINUTE) as crm:
        run_until(crm, START + DAY + 60 * MINUTE)
        assert [] == groups_of(crm, ada)
        assert [ada] == members(crm, "buyers", START + DAY + 42 * MINUTE)


def test_missed_while_switched_off(tmp_path):
    """What was recorded while the plugin was not there is made good at the next look."""
    url = shop_file(tmp_path)
    with opened(url=url) as crm:
        ada = order(crm)
        run_until(crm, START + 60 * MINUTE)
    clock = VirtualClock(to_instant(START + 60 * MINUTE))
    with Crm(url, clock=clock, segments=SEGMENTS) as without:
        bob = order(without, "bob")
        order(without, "ada")
    with opened(url=url, at=START + 61 * MINUTE) as crm:
        crm.pay_debts()
        run_until(crm, START + 90 * MINUTE)
        assert ["buyers", "regulars"] == groups_of(crm, ada)
        assert ["buyers"] == groups_of(crm, bob)


def test_a_worker_that_comes_late(crm):
    """What nobody looked at in time is found as it would have been, and at the same instants."""
    ada = order(crm)
    order(crm)
    crm.runtime.clock.advance_to(to_instant(START + 40 * DAY))
    order(crm)

    crm.run_due()
    run_until(crm, START + 40 * DAY + 20 * MINUTE)

    first, over = START + 14 * MINUTE, START + 30 * DAY + 14 * MINUTE
    assert [
        (first, "entered", "buyers"),
        (first, "entered", "regulars"),
        (over, "entered", "lapsed"),
        (over, "left", "regulars"),
        (START + 40 * DAY + 14 * MINUTE, "left", "lapsed"),
    ] == told(crm, ada)


def test_stages():
    """A group that asks for a stage follows it, be it moved by an order or by time."""
    segments = {
        "gone": 'relationship == "lapsed"',
        "ordering": 'relationship == "ordering"',
    }
    with opened(segments) as crm:
        ada = order(crm)
        run_until(crm, START + 20 * MINUTE)
        assert ["ordering"] == groups_of(crm, ada)

        run_until(crm, START + 800 * DAY)
        (stage,) = [each.stage for each in crm.customer(ada).stages]
        assert ("lapsed", ["gone"]) == (stage, groups_of(crm, ada))


def test_of_strangers():
    """Whoever becomes a customer is in the groups that ask for nothing to have happened."""
    with opened({"quiet": "not orders", "all": "everyone", "buyers": "orders"}) as crm:
        ada = crm.record("account.registered", email="ada@example.com").customer_id
        run_until(crm, START + 20 * MINUTE)
        assert ["all", "quiet"] == groups_of(crm, ada)

        order(crm)
        run_until(crm, START + 40 * MINUTE)
        assert ["all", "buyers"] == groups_of(crm, ada)


def test_only_some(crm):
    """`groups` says which named segments are kept."""
    with opened(plugin=Grouping(groups=["regulars"])) as crm:
        ada = order(crm)
        order(crm)
        run_until(crm, START + 20 * MINUTE)
        assert ["regulars"] == groups_of(crm, ada)


def test_circles_are_refused():
    """A group cannot ask for what follows from groups; the error names both."""
    for text, what in [
        ('grouping.groups == "vips"', "grouping.groups"),
        ("grouping.entered(days=3)", "grouping.entered"),
    ]:
        with pytest.raises(PluginError, match=f"'odd' cannot be a group: it asks for {what}"):
            opened({"odd": text})
    with pytest.raises(PluginError, match=r"groups has 'buyer'.*'buyers'"):
        opened(plugin=Grouping(groups=["buyer"]))


def test_erasure(crm):
    """Who is erased is in no group, and never was; everyone else stays."""
    ada, bob = order(crm, "ada"), order(crm, "bob")
    run_until(crm, START + DAY)

    crm.erase(ada)
    run_until(crm, START + 60 * DAY)

    assert [bob] == members(crm, "buyers") == members(crm, "buyers", START + DAY)
    with crm.runtime.database.begin() as connection:
        for table in (member, history):
            assert {bob} == {row[0] for row in connection.execute(select(table.c.customer_id))}


def test_rebuild(crm):
    """A rebuild leaves members and their history as they were."""
    for name in ("ada", "bob"):
        order(crm, name)
        order(crm, name)
    run_until(crm, START + 31 * DAY)
    order(crm, "ada")
    run_until(crm, START + 32 * DAY)

    def rows():
        with crm.runtime.database.begin() as connection:
            return [sorted(connection.execute(select(t)), key=repr) for t in (member, history)]

    before = rows()
    crm.rebuild("grouping")

    assert before == rows()
    assert 3 <= len(before[0]) < len(before[1])


def test_what_staff_see(crm):
    """The customer's page says since when, the report how many, and `why_in` the reason."""
    ada = order(crm)
    run_until(crm, START + DAY)

    assert {"buyers": "since 2024-01-10"} == crm.customer(ada).descriptions["grouping"]
    found = crm.report("grouping")
    assert {"members": {"buyers": 1}, "entered": {"buyers": 1}, "left": {}} == found.figures
    assert "1 group has members; the largest is buyers, with 1." == found.headline
    assert crm.why_in(ada, "buyers")
    (decided,) = crm.why_decisions(ada)
    assert "entered buyers, by rule" in str(decided.interaction.payload)


def test_fact_of_the_future(crm):
    """What is recorded ahead of time counts when its time has come."""
    ada = order(crm, at=START + 3 * DAY)
    run_until(crm, START + 2 * DAY)
    assert [] == groups_of(crm, ada)

    run_until(crm, START + 4 * DAY)
    assert ["buyers"] == groups_of(crm, ada)
