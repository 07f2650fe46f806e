"""Quiet hours and days against a clock on the wall that is read second by second."""

import random
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from crmcore.domain.clock import DAY, SECOND, Calendar
from crmcore.domain.quiet import QuietHours, day_bounds, quiet_until
from crmcore.errors import ConfigurationError
from tests.support.walls import EPOCH, HOUR, ZONES, first_not_quiet, transitions, wall_of

RULES = (
    [("22:00", "07:00", ())],
    [("00:00", "02:30", ())],
    [("01:30", "03:00", ())],
    [("23:30", "00:30", ())],
    [("02:15", "02:45", ())],
    [("00:00", "00:00", ("sat", "sun")), ("21:00", "08:00", ())],
    [("03:00", "02:00", ())],
    [("20:00", "06:00", ("fri",)), ("05:30", "09:15", ("sat",)), ("00:00", "00:01", ())],
)


def probes(chance, change, count):
    """Return instants around a change of the clocks: at it, beside it, and some hours off."""
    beside = [change, change - 1, change + 1, change - SECOND, change - HOUR, change + HOUR]
    some = [change + chance.randrange(-30 * HOUR, 30 * HOUR) for _ in range(count)]
    return chance.sample(beside, min(count, len(beside))) + some


def check(names, changes_of, count):
    """Compare at every change, and return how many were quiet, and how many were not."""
    quiet = loud = 0
    for name in names:
        zone, chance = ZoneInfo(name), random.Random(name)
        for change in changes_of(name):
            for at in probes(chance, change, count):
                rules = chance.choice(RULES)
                hours = [QuietHours(since=s, until=u, weekdays=list(d)) for s, u, d in rules]
                expected = first_not_quiet(zone, rules, at)

                assert expected == quiet_until(hours, zone, at), (name, at, rules)

                quiet, loud = quiet + (expected is not None), loud + (expected is None)
    return quiet, loud


def test_quiet_hours_around_some_changes():
    """A spread of every zone's changes; all offsets are whole minutes, so walking is exact."""
    quiet, loud = check(ZONES, lambda name: transitions(name)[::19], 2)

    assert quiet > 60
    assert loud > 60


@pytest.mark.slow
def test_quiet_hours_around_every_change():
    """Every change of twenty zones from 2000 to 2037."""
    assert sum(len(transitions(name)) for name in ZONES) > 900

    quiet, loud = check(ZONES, transitions, 8)

    assert quiet > 4000
    assert loud > 4000


def dates_around(zone, change):
    """Yield every minute around a change with the date that the wall shows."""
    start = change - 2 * DAY
    for minute in range(start - start % (60 * SECOND), change + 2 * DAY + 2 * HOUR, 60 * SECOND):
        yield minute, wall_of(zone, minute).date()


def check_days(name, change, chance):
    zone, calendar = ZoneInfo(name), Calendar(ZoneInfo(name))
    shown = list(dates_around(zone, change))
    at = change + chance.choice((0, -1, 1, -HOUR, HOUR, chance.randrange(-20 * HOUR, 20 * HOUR)))
    day = wall_of(zone, at).date()
    first = next(minute for minute, each in shown if each == day)
    later = next(minute for minute, each in shown if minute > at and each > day)

    assert (first, later) == day_bounds(zone, at, calendar.start_of), (name, at)


def test_days_around_some_changes():
    """A day begins when the wall first shows it, and is over when the wall shows a later one."""
    for name in ZONES:
        chance = random.Random(name)
        for change in transitions(name)[::37]:
            check_days(name, change, chance)


@pytest.mark.slow
def test_days_around_every_change():
    """So at every change of twenty zones, also where clocks are put back over midnight."""
    for name in ZONES:
        chance = random.Random(name)
        for change in transitions(name):
            check_days(name, change, chance)


@pytest.mark.parametrize(
    ("at", "until"),
    [
        # The night in which 02:00 becomes 03:00: hours that end at 02:30 end with the gap.
        ("2024-03-31T00:59:59+00:00", "2024-03-31T01:00:00+00:00"),
        # The night in which 03:00 becomes 02:00 again: both 02:00 to 02:30 are quiet.
        ("2024-10-27T00:15:00+00:00", "2024-10-27T00:30:00+00:00"),
        ("2024-10-27T01:15:00+00:00", "2024-10-27T01:30:00+00:00"),
        ("2024-10-27T00:45:00+00:00", None),
    ],
)
def test_a_gap_and_an_overlap(at, until):
    """Hours from 01:00 to 02:30 in Berlin, in the nights in which the clocks are changed."""
    hours = [QuietHours(since="01:00", until="02:30")]

    def instant(text):
        return (datetime.fromisoformat(text) - EPOCH) // timedelta(microseconds=1)

    found = quiet_until(hours, ZoneInfo("Europe/Berlin"), instant(at))

    assert (None if until is None else instant(until)) == found


def test_seconds_and_microseconds_count():
    """The last microsecond before the end is quiet, the first of the end is not."""
    hours = [QuietHours(since="22:00", until="07:00")]
    end = 7 * HOUR

    assert end == quiet_until(hours, ZoneInfo("UTC"), end - 1)
    assert quiet_until(hours, ZoneInfo("UTC"), end) is None
    assert date(1970, 1, 1) == wall_of(ZoneInfo("UTC"), end).date()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"since": "7:00", "until": "08:00"}, "since is '7:00'"),
        ({"since": "24:00", "until": "08:00"}, "since is '24:00'"),
        ({"since": "07:00", "until": "08:60"}, "until is '08:60'"),
        ({"since": "07:00", "until": "08:00", "weekdays": ["sun", "mo"]}, "'mo'"),
        ({"since": "07:00", "until": "08:00", "weekdays": "sun"}, "a list is expected"),
    ],
)
def test_hours_that_are_none(settings, says):
    """What is no time or weekday is refused, with what it was."""
    with pytest.raises(ConfigurationError, match=says):
        QuietHours(**settings)
