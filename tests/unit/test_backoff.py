"""Backing off: when what failed, or what nobody was asked to take, is looked at again."""

from hypothesis import given
from hypothesis import strategies as st

from crmcore.domain.clock import SECOND
from crmcore.services.background.backoff import next_ask

MINUTE, HOUR, DAY = 60 * SECOND, 3600 * SECOND, 86_400 * SECOND
NOW = 1_704_103_200 * SECOND


def test_the_pause_is_an_eighth_of_the_wait_within_bounds():
    """A minute for the first eight; half an hour from the fourth hour on; an eighth between."""
    waits = (0, MINUTE, 8 * MINUTE, 16 * MINUTE, HOUR, 4 * HOUR, 5 * HOUR, 30 * DAY, 10_000 * DAY)
    pauses = [(next_ask(NOW, NOW - each) - NOW) / MINUTE for each in waits]

    assert [1, 1, 1, 2, 7.5, 30, 30, 30, 30] == pauses


@given(st.integers(-(10**15), 10**15), st.integers(-(10**15), 10**15))
def test_it_is_always_later_and_never_by_much(now, since):
    """Whatever the clock says: it comes in a minute or more, and in half an hour at most."""
    assert MINUTE <= next_ask(now, since) - now <= 30 * MINUTE


def test_three_days_are_some_two_hundred_looks():
    """Not thousands, as at a minute each."""
    now, count = NOW, 0
    while now < NOW + 3 * DAY:
        now, count = next_ask(now, NOW), count + 1

    assert 150 < count < 200
