"""Intervals: the published examples, and what every interval is."""

import statistics

import pytest
from crmcore_email_link.campaigns.intervals import (
    Counted,
    Summed,
    difference_of_means,
    difference_of_shares,
)
from hypothesis import given
from hypothesis import strategies as st

from crmcore.errors import InputError


@pytest.mark.parametrize(
    ("one", "other", "low", "high"),
    [
        # Newcombe (1998), table II, method 10.
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((6, 7), (2, 7), 0.0582, 0.8062),
        ((5, 56), (0, 29), -0.0381, 0.1926),
        ((0, 10), (0, 20), -0.1611, 0.2775),
        ((0, 10), (0, 10), -0.2775, 0.2775),
        ((10, 10), (0, 20), 0.6791, 1.0000),
        ((10, 10), (0, 10), 0.6075, 1.0000),
    ],
)
def test_the_published_intervals_of_shares(one, other, low, high):
    """To the digits in which they were published."""
    found = difference_of_shares(Counted(*one), Counted(*other))
    assert low == pytest.approx(found.low, abs=6e-5)
    assert high == pytest.approx(found.high, abs=6e-5)
    assert one[0] / one[1] - other[0] / other[1] == pytest.approx(found.difference)


groups = st.integers(0, 5000).flatmap(
    lambda size: st.builds(Counted, st.integers(0, size), st.just(size))
)


@given(groups, groups)
def test_an_interval_of_shares_holds_the_difference(one, other):
    """It lies within -1 and 1, and looked at from the other side it is its mirror."""
    found, mirror = difference_of_shares(one, other), difference_of_shares(other, one)

    assert -1 <= found.low <= found.difference + 1e-12
    assert found.difference - 1e-12 <= found.high <= 1
    assert -mirror.high == pytest.approx(found.low)
    assert -mirror.low == pytest.approx(found.high)
    wider = difference_of_shares(one, other, level=0.99)
    assert wider.low <= found.low
    assert found.high <= wider.high


amounts = st.lists(st.integers(-10_000, 1_000_000), min_size=30, max_size=60)


@given(amounts, amounts)
def test_an_interval_of_means_follows_from_the_amounts(one, other):
    """As the standard library has means and variances."""
    sums = [Summed(len(g), sum(g), sum(each * each for each in g)) for g in (one, other)]
    found = difference_of_means(*sums)
    spread = sum(statistics.variance(group) / len(group) for group in (one, other)) ** 0.5

    assert found is not None
    assert statistics.mean(one) - statistics.mean(other) == pytest.approx(found.difference)
    assert 1.959964 * spread == pytest.approx(found.high - found.difference, abs=1e-3, rel=1e-6)
    assert found.difference - found.low == pytest.approx(found.high - found.difference)


def test_of_few_no_mean_is_told():
    """Below 30 customers there is no interval, rather than one that is wrong."""
    few, many = Summed(29, 100, 5000), Summed(3000, 100, 5000)
    assert difference_of_means(few, many) is None
    assert difference_of_means(many, few) is None


def test_what_is_no_group_is_refused():
    """More than there are, fewer than none, and levels that are none."""
    for did, size in ((3, 2), (-1, 2)):
        with pytest.raises(InputError, match=f"{did} of {size}"):
            Counted(did, size)
    for level in (0, 1, 95):
        with pytest.raises(InputError, match=f"level is {level}"):
            difference_of_shares(Counted(1, 2), Counted(1, 2), level=level)
