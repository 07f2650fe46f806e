"""The report's figures against their definitions, and against published values."""

from fractions import Fraction
from itertools import pairwise

import pytest
from crmcore_tiering.reports import REPORT
from crmcore_tiering.tables import tier, tier_change, total
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.each_database(partitioned=False)

nets = st.lists(st.integers(-50, 50) | st.integers(0, 10**12) | st.just(0), max_size=250)


def reported(sheet, nets):
    """Return the report on customers with these net revenues, numbered from 1."""
    rows = [
        {
            "customer_id": number,
            "orders": 1,
            "net_minor": net,
            "first_order_at": 0,
            "last_order_at": 0,
        }
        for number, net in enumerate(nets, start=1)
    ]
    sheet.write(total, rows)
    return REPORT.run(sheet)


def expected(nets):
    """Return the figures as they are defined."""
    worth = sorted(max(0, net) for net in nets)
    count, revenue = len(worth), sum(worth)
    best_first = worth[::-1]
    fewest = next(k for k in range(count + 1) if sum(best_first[:k]) * 100 >= 80 * revenue)
    share = inequality = None
    if revenue:
        top = -(-count // 5)
        share = sum(best_first[:top]) / revenue
        weighted = sum(place * x for place, x in enumerate(worth, start=1))
        inequality = float(Fraction(2 * weighted, count * revenue) - Fraction(count + 1, count))
    return {
        "customers": count,
        "revenue_minor": sum(nets),
        "share_of_top_20_percent": share,
        "gini": inequality,
        "a_customers": fewest,
    }


@given(nets=nets)
def test_figures(open_sheet, nets):
    """Every figure is what its definition says, to the last digit."""
    with open_sheet() as sheet:
        figures = reported(sheet, nets).figures

        assert expected(nets) == {name: figures[name] for name in expected(nets)}


@pytest.mark.parametrize(
    ("nets", "gini"),
    [
        ([7], 0.0),
        ([5, 5, 5, 5], 0.0),
        ([0, 0, 0, 1], 3 / 4),
        ([1, 2, 3, 4, 5, 6, 7, 8, 9, 10], 0.3),
        ([-100, 0, 1], 2 / 3),
    ],
)
def test_gini(sheet, nets, gini):
    """Known values: all alike 0, one of n has all 1 - 1/n, 1 to n (n*n - 1) / (3*n*(n + 1))."""
    assert gini == pytest.approx(reported(sheet, nets).figures["gini"], abs=1e-15)


def test_large_amounts(sheet):
    """Sums stay exact where the weighted ones are far beyond 64 bits."""
    nets = [2**36 + number for number in range(2000)]

    assert expected(nets)["gini"] == reported(sheet, nets).figures["gini"]


@pytest.mark.parametrize("nets", [[], [0], [0, -5]])
def test_no_revenue(sheet, nets):
    """Without revenue nothing can be said of how it is shared out, so nothing is."""
    found = reported(sheet, nets)

    assert None is found.figures["gini"]
    assert None is found.figures["share_of_top_20_percent"]
    assert 0 == found.figures["a_customers"]
    assert () == found.curves


def test_only_refunds(sheet):
    """Who never placed an order is not counted, in no figure."""
    row = {"customer_id": 99, "orders": 0, "net_minor": -700}
    sheet.write(total, [row | {"first_order_at": None, "last_order_at": None}])

    figures = reported(sheet, [300]).figures

    assert (1, 300) == (figures["customers"], figures["revenue_minor"])


@given(nets=nets)
def test_curve(open_sheet, nets):
    """The curve rises from nothing to everything, ever more slowly, in at most 100 steps."""
    with open_sheet() as sheet:
        for curve in reported(sheet, nets).curves:
            points = curve.points
            steps = [(b[0] - a[0], b[1] - a[1]) for a, b in pairwise(points)]
            slopes = [rise / run for run, rise in steps]

            assert ((0.0, 0.0), (1.0, 1.0)) == (points[0], points[-1])
            assert min(100, len(nets)) == len(steps)
            assert all(a >= b - 1e-9 for a, b in pairwise(slopes))


def test_tiers_and_moves(sheet):
    """First gradings are counted apart from moves; a review counts if it decided anything."""
    plain = {"scheme": "pareto", "position": 0, "place": 0, "caused_by": None}
    borders = {"a_from_minor": None, "b_from_minor": None}
    moves = [(1, 10, "none", "A"), (2, 10, "none", "B"), (3, 20, "none", "C"), (2, 30, "B", "A")]
    for customer, since, old, new in moves:
        row = {"customer_id": customer, "since": since, "tier": new} | plain
        sheet.write(tier, [row])
        sheet.write(tier_change, [row | borders | {"from_tier": old}])

    figures = reported(sheet, [1]).figures

    assert {"A": 2, "B": 0, "C": 1} == figures["tiers"]
    assert (3, 3, 1) == tuple(figures[n] for n in ("reviews", "first_gradings", "tier_changes"))
    assert "EUR" == figures["currency"]


def test_captions(sheet):
    """Every figure has a name for people."""
    found = reported(sheet, [1])

    assert set(found.figures) == set(found.captions)
