"""Clusters: customers who are alike, told as rules of segments."""

from __future__ import annotations

import json
import random
import tomllib
from decimal import Decimal

import numpy as np
import pytest
from click.testing import CliRunner
from crmcore_grouping import Grouping
from crmcore_grouping.clusters import find_clusters
from crmcore_grouping.clusters.rules import between
from crmcore_grouping.clusters.thresholds import threshold_tree
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from crmcore import Crm, Draft, Identifier, Money, SegmentError, VirtualClock, to_datetime
from crmcore.cli.root import crm as root
from crmcore.errors import InputError
from tests.support.databases import scratch, shop_file

DAY = 86_400_000_000  # microseconds
NOW = 20_000 * DAY
MEASURES = ("orders.count", "orders.sum", "days_since(orders.last)")
# How many orders, of which amount in cents, how many days ago the last one was.
SORTS = {"once": (1, 2_000, 300), "often": (12, 3_000, 10), "rich": (4, 90_000, 60)}
SIZES = {"once": 40, "often": 25, "rich": 15}


def drafts():
    """Yield the orders of three sorts of customers, a little different from one another."""
    chance = random.Random(20260801)
    for sort, size in SIZES.items():
        count, cents, days = SORTS[sort]
        for number in range(size):
            for order in range(count):
                ago = days + chance.randrange(days // 5 + 1) + order * 3
                yield Draft(
                    "order.placed",
                    identifiers=(Identifier("email", f"{sort}{number}@example.com"),),
                    amount=Money(cents + chance.randrange(cents // 10), "EUR"),
                    occurred_at=to_datetime(NOW - ago * DAY),
                    source="shop",
                    source_key=f"{sort}/{number}/{order}",
                )


def recorded(crm):
    """Record them, and somebody who only looked; return the ids by sort."""
    crm.record_many(list(drafts()))
    crm.record("product.viewed", email="eve@example.com", payload={"product": "tea"})
    return {
        sort: [
            crm.find_customer(Identifier("email", f"{sort}{number}@example.com"))
            for number in range(size)
        ]
        for sort, size in SIZES.items()
    }


@pytest.fixture
def shop():
    with Crm(scratch(), plugins=[Grouping()], clock=VirtualClock(NOW)) as crm:
        yield crm, recorded(crm)


@pytest.mark.each_database(partitioned=False)
def test_sorts_of_customers(shop):
    """Customers of three plain sorts are found as such, by number too; the largest comes first."""
    crm, sorts = shop
    for into in (None, 3):
        found = find_clusters(crm, MEASURES, into=into)

        members = [crm.members(each.rule) for each in found.clusters]
        assert [sorts["once"], sorts["often"], sorts["rich"]] == members
        assert [40, 25, 15] == [each.size for each in found.clusters]
        assert [0.5, 0.3125, 0.1875] == [each.share for each in found.clusters]
        assert (80, 1, 1.0, 1.0) == (
            found.customers,
            found.left_out,
            found.agreement,
            found.price,
        )
        assert ["cluster_1", "cluster_2", "cluster_3"] == list(found.segments)
        assert [1, 12, 4] == [each.centre["orders.count"] for each in found.clusters]
    assert "orders.sum high" in found.clusters[2].label
    assert "orders.count low" in found.clusters[0].label


def test_they_are_groups_once_named(shop):
    """What is printed stands in crm.toml as it is, and is kept as groups."""
    crm, sorts = shop
    found = find_clusters(crm, MEASURES, into=3, prefix="sort")
    named = tomllib.loads(found.toml())["segments"]

    assert found.segments == named
    clock = VirtualClock(NOW)
    with Crm(scratch(), plugins=[Grouping()], segments=named, clock=clock) as other:
        ids = recorded(other)
        clock.advance_to(NOW + DAY)
        other.run_due()
        with other.begin() as tx, tx.acting(Grouping) as (grouping, ctx):
            assert ids["rich"] == grouping.members(ctx, "sort_3")
            assert [len(each) for each in sorts.values()] == [
                len(grouping.members(ctx, name)) for name in named
            ]


@pytest.mark.each_database(partitioned=False)
@settings(max_examples=20)
@given(
    orders=st.lists(
        st.tuples(st.integers(0, 30), st.integers(-5, 400), st.integers(1, 10**6)),
        min_size=8,
        max_size=60,
    ),
    into=st.integers(2, 6),
    seed=st.integers(0, 3),
)
def test_each_is_in_one(orders, into, seed):
    """Whatever customers did, each is in one cluster, as many as it says; the seed decides all."""
    with Crm(scratch(), plugins=[Grouping()], clock=VirtualClock(NOW), durable=False) as crm:
        crm.record_many(
            Draft(
                "order.placed",
                identifiers=(Identifier("email", f"{who}@example.com"),),
                amount=Money(cents, "EUR"),
                occurred_at=to_datetime(NOW - max(ago, 0) * DAY),
                source="shop",
                source_key=f"{number}",
                channel="web" if ago % 3 else "till",
            )
            for number, (who, ago, cents) in enumerate(orders)
        )
        measures = (*MEASURES, 'orders(channel="till").count', "relationship")
        try:
            found = find_clusters(crm, measures, into=into, seed=seed)
        except InputError as error:
            told = [row[1:] for row in crm.measures(measures).rows]
            assert "differ in" in str(error) or "the same for each of" in str(error)  # noqa: PT017
            assert len(set(told)) < into
            return
        again = find_clusters(crm, measures, into=into, seed=seed)
        members = [crm.members(each.rule) for each in found.clusters]
        everybody = crm.members("everyone")

    assert found == again
    assert everybody == sorted(each for some in members for each in some)
    assert [each.size for each in found.clusters] == [len(some) for some in members]
    assert found.customers == len(everybody)
    assert sorted(map(len, members), reverse=True) == [len(some) for some in members]
    # Rules may even be nearer, as k-means promises no optimum.
    assert found.price > 0
    assert 0 < found.agreement <= 1
    assert found.agreement < 1 or pytest.approx(1) == found.price


@settings(max_examples=60)
@given(
    points=arrays.arrays(
        np.float64, st.tuples(st.integers(4, 40), st.integers(1, 4)), elements=st.integers(-9, 9)
    ),
    data=st.data(),
)
def test_threshold_tree(points, data):
    """Each leaf has one centre, its own; and every point comes out at one leaf."""
    different = np.unique(points, axis=0)
    if len(different) < 2:
        return
    into = data.draw(st.integers(2, min(6, len(different))))
    centres = different[data.draw(st.permutations(range(len(different))))[:into]]
    distances = ((points[:, None, :] - centres[None]) ** 2).sum(axis=2)
    labels = distances.argmin(axis=1)

    leaves = threshold_tree(points, labels, centres)

    assert list(range(into)) == sorted(leaf.cluster for leaf in leaves)
    assert (np.sum([leaf.points for leaf in leaves], axis=0) == 1).all()
    for leaf in leaves:
        at_home = [
            all((centre[s.feature] <= s.at) == s.is_low for s in leaf.splits) for centre in centres
        ]
        assert [number == leaf.cluster for number in range(into)] == at_home
        for place, point in enumerate(points):
            inside = all((point[s.feature] <= s.at) == s.is_low for s in leaf.splits)
            assert leaf.points[place] == inside


@settings(max_examples=60)
@given(points=st.lists(st.integers(-20, 20), min_size=4, max_size=30), cut=st.integers(-20, 20))
def test_fewest_are_parted(points, cut):
    """Of two clusters on a line, the threshold parts as few from their centre as any could."""
    values = np.array(points, dtype=np.float64)[:, None]
    labels = (values[:, 0] > cut).astype(np.int64)
    if labels.min() == labels.max():
        return
    centres = np.array([[values[labels == each].mean()] for each in (0, 1)])
    leaf, *_ = threshold_tree(values, labels, centres)

    def parted(at):
        low = labels[values[:, 0] <= at]
        high = labels[values[:, 0] > at]
        return int((low == 1).sum() + (high == 0).sum())

    tried = [at for at in {*values[:, 0], *centres[:, 0]} if centres.min() <= at < centres.max()]
    assert min(map(parted, tried)) == parted(leaf.splits[0].at)


@pytest.mark.parametrize(
    ("low", "high", "is_whole", "expected"),
    [
        (97, 113, True, "100"),
        (2, 3, True, "2"),
        (14, 16, True, "15"),
        (44, 61, True, "50"),
        (-7, 4, True, "0"),
        (0.31, 0.42, False, "0.4"),
        (0.33, 0.37, False, "0.35"),
        (2.0, 2.001, False, "2"),
        (9_950, 12_310, True, "10000"),
    ],
)
def test_the_roundest_number(low, high, is_whole, expected):
    """A border that could lie anywhere between two values lies where people remember it."""
    assert Decimal(expected) == between(float(low), float(high), is_whole=is_whole)


@given(low=st.integers(-(10**9), 10**9), gap=st.integers(1, 10**6))
def test_a_round_number_parts_alike(low, gap):
    """However round, a border parts the same values."""
    assert low <= between(float(low), float(low + gap), is_whole=True) < low + gap


def test_within_a_segment(shop):
    """Of a segment's customers, clusters hold none but those of the segment."""
    crm, sorts = shop
    found = find_clusters(crm, ["orders.count"], into=2, among="orders.sum >= 200")

    members = [crm.members(each.rule) for each in found.clusters]
    assert [sorts["often"], sorts["rich"]] == members
    assert all(each.rule.startswith("(orders.sum >= 200 EUR) and ") for each in found.clusters)


def test_earlier(shop):
    """As of an earlier instant, what was later does not count."""
    crm, _ = shop
    found = find_clusters(crm, ["orders.count"], at=NOW - 100 * DAY)

    assert [41 + 15 + 25] == [found.customers]
    assert [0.0, 1.0] == sorted(each.centre["orders.count"] for each in found.clusters)
    assert [40] == [each.size for each in found.clusters if each.centre["orders.count"] == 1]


def test_traits_and_categories():
    """Traits with few values set customers apart, too, and stand in rules as such."""
    with Crm(scratch(), plugins=[Grouping()], clock=VirtualClock(NOW)) as crm:
        for number in range(30):
            kind = "order.placed" if number % 3 else "product.viewed"
            extra = {"amount": "10"} if number % 3 else {"payload": {"product": "tea"}}
            crm.record(kind, email=f"{number}@example.com", **extra)
        found = find_clusters(crm, ["relationship"], into=2)

        assert ['stage.relationship != "ordering"', 'stage.relationship == "ordering"'] == sorted(
            each.rule for each in found.clusters
        )
        assert [20, 10] == [each.size for each in found.clusters]
        assert [1.0, 0.0] == [
            each.centre['stage.relationship == "ordering"'] for each in found.clusters
        ]


@pytest.mark.parametrize(
    ("by", "settings", "error", "problem"),
    [
        (MEASURES, {"into": 1}, InputError, "into is 1; a whole number from 2 to 20"),
        (MEASURES, {"seed": -1}, InputError, "seed is -1"),
        (MEASURES, {"among": "in nobody"}, SegmentError, "unknown segment 'nobody'"),
        (MEASURES, {"prefix": "my clusters"}, InputError, "prefix is 'my clusters'"),
        (["orders.cont"], {}, SegmentError, "'orders.cont'"),
        (["carts.count"], {}, InputError, "the same for each of 81 customers"),
        (["orders.count"], {"into": 9}, InputError, "differ in 4 ways only; at least 9"),
        (MEASURES, {"among": "orders.count >= 99"}, InputError, "each of 0 customers"),
    ],
)
def test_what_cannot_be_parted(shop, by, settings, error, problem):
    """What makes no clusters is said in one sentence."""
    crm, _ = shop
    with pytest.raises(error) as caught:
        find_clusters(crm, by, **settings)

    assert problem in str(caught.value)


def test_command(tmp_path):
    """The command prints what can be pasted, or JSON; a mistake ends in one sentence."""
    url = shop_file(tmp_path)
    config = tmp_path / "crm.toml"
    config.write_text(f'[crm]\ndatabase = "{url}"\n\n[plugins.grouping]\n')
    with Crm.from_config(config) as crm:
        recorded(crm)

    def run(*arguments):
        return CliRunner().invoke(root, ["clusters", *arguments, "--config", str(config)])

    by = ("--by", "orders.count", "--by", "orders.sum", "--into", "3")
    told = run(*by)
    assert told.exit_code == 0
    named = tomllib.loads(told.output)["segments"]
    assert ["cluster_1", "cluster_2", "cluster_3"] == list(named)
    as_json = json.loads(run(*by, "--json").output)
    assert named == {each["name"]: each["rule"] for each in as_json["clusters"]}
    wrong = run("--by", "tire")
    assert wrong.exit_code == 2
    assert "unknown trait 'tire'" in wrong.output
