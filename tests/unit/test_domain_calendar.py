"""Civil days in every zone there is, against a definition from the transitions alone."""

import struct
import zoneinfo
from bisect import bisect_right
from datetime import UTC, date, datetime, timedelta
from importlib import resources
from pathlib import Path

import pytest

from crmcore import Calendar

EPOCH = date(1970, 1, 1)
DAY = 86_400
SECOND = 1_000_000
HORIZON = 2_300_000_000  # 2042: behind the last transition that is written out


def file_of(name):
    """Return the compiled rules of a zone, as the system or the package tzdata has them."""
    for folder in zoneinfo.TZPATH:
        if (path := Path(folder, name)).is_file():
            return path.read_bytes()
    return resources.files("tzdata").joinpath("zoneinfo", *name.split("/")).read_bytes()


def written_transitions(data):
    """Return the transitions of a TZif file, in seconds since 1970 (RFC 9636, section 3)."""

    def counts(start):
        return struct.unpack(">6l", data[start + 20 : start + 44])

    start, size = 0, 4
    if data[4:5] >= b"2":
        utc, standard, leap, times, types, chars = counts(0)
        start = 44 + times * 5 + types * 6 + chars + leap * 8 + standard + utc
        size = 8
    number = counts(start)[3]
    text = data[start + 44 : start + 44 + number * size]
    return list(struct.unpack(f">{number}{'q' if size == 8 else 'l'}", text))


class Days:
    """Starts of civil days: the first instant at which the day, or a later one, is shown."""

    def __init__(self, name):
        self.zone = zoneinfo.ZoneInfo(name)
        times = [t for t in written_transitions(file_of(name)) if t > -60_000_000_000]
        times += self._by_rule(max([*times, 1_600_000_000]))
        self.transitions = sorted(set(times))
        self._begins = [-(10**12), *self.transitions]
        self._ends = [*self.transitions, 10**12]
        first = self.transitions[0] - 1 if self.transitions else 0
        self._offsets = [self.offset(first), *map(self.offset, self.transitions)]

    def offset(self, second):
        offset = datetime.fromtimestamp(second, UTC).astimezone(self.zone).utcoffset()
        return int((offset or timedelta()).total_seconds())

    def _by_rule(self, low):
        """Return the transitions that only the rule at the end of the file tells."""
        found, before = [], self.offset(low)
        while low < HORIZON:
            high = low + 20 * DAY
            if self.offset(high) != before:
                while high - low > 1:
                    middle = (low + high) // 2
                    low, high = (middle, high) if self.offset(middle) == before else (low, middle)
                found.append(high)
                before = self.offset(high)
            low = high
        return found

    def day_of(self, second):
        place = bisect_right(self._begins, second) - 1
        return EPOCH + timedelta(days=(second + self._offsets[place]) // DAY)

    def start(self, day):
        # Where clocks go back across midnight, as in St John's until 2011, the day starts at its
        # first midnight: a day never starts behind an instant that falls on it.
        midnight = (day - EPOCH).days * DAY
        place = max(bisect_right(self._begins, midnight - 2 * DAY) - 1, 0)
        while self._ends[place] + self._offsets[place] <= midnight:
            place += 1
        return max(midnight - self._offsets[place], self._begins[place])

    def after(self, second, days):
        """Return the start of the day that comes *days* after the first to start by *second*."""
        day = self.day_of(second) - timedelta(days=2)
        while self.start(day) < second:
            day += timedelta(days=1)
        while self.start(day + timedelta(days=1)) == second:  # a day that was skipped
            day += timedelta(days=1)
        return self.start(day + timedelta(days=days))


def zones():
    """Return one zone of each set that have the same rules."""
    by_rules: dict[bytes, str] = {}
    for name in sorted(zoneinfo.available_timezones()):
        by_rules.setdefault(file_of(name), name)
    return sorted(by_rules.values())


AROUND = (-90_000, -7_201, -1_800, -1, 0, 1, 30, 1_800, 3_600, 43_200, 90_000)


def check(since, around, numbers):
    wrong = []
    for name in zones():
        days, calendar = Days(name), Calendar.named(name)
        for transition in days.transitions:
            if transition < since:
                continue
            before = None
            for second in sorted(transition + offset for offset in around):
                for number in numbers:
                    found = calendar.midnight_after(second * SECOND, days=number)
                    expected = days.after(second, number) * SECOND
                    if expected != found:
                        wrong.append((name, second, number, (found - expected) // SECOND))
                if before is not None and found < before:
                    wrong.append((name, second, "goes back", found - before))
                before = found
    assert [] == wrong[:10], f"{len(wrong)} in all"


def test_midnights_since_1990():
    """In every zone, days are counted to the starts of civil days, around every transition."""
    check(631_152_000, (-90_000, -1_800, -1, 0, 30, 1_800, 43_200), (1,))


@pytest.mark.slow
def test_midnights_at_all_times():
    """The same since local times were first written down, for several numbers of days."""
    check(-(10**11), AROUND, (0, 1, 2, 7))


@pytest.mark.parametrize(
    ("zone", "day", "expected"),
    [
        ("UTC", date(2024, 3, 31), "2024-03-31T00:00:00+00:00"),
        ("Europe/Berlin", date(2024, 3, 31), "2024-03-30T23:00:00+00:00"),
        ("Europe/Berlin", date(2024, 4, 1), "2024-03-31T22:00:00+00:00"),
        ("America/Sao_Paulo", date(2018, 11, 4), "2018-11-04T03:00:00+00:00"),  # no 00:00
        ("Africa/Cairo", date(2024, 4, 26), "2024-04-25T22:00:00+00:00"),  # no 00:00
        ("America/Havana", date(2024, 11, 3), "2024-11-03T04:00:00+00:00"),  # 00:00 twice
        ("America/St_Johns", date(2006, 10, 29), "2006-10-29T02:30:00+00:00"),  # 00:01 to 23:01
        ("Pacific/Apia", date(2011, 12, 31), "2011-12-30T10:00:00+00:00"),  # no 30 December
    ],
)
def test_days_start(zone, day, expected):
    """A day starts at its first midnight, or where that does not exist, when the gap ends."""
    found = Calendar.named(zone).start_of(day)

    assert expected == datetime.fromtimestamp(found / SECOND, UTC).isoformat()


def test_unknown_zone_names_the_nearest():
    """An unknown zone is refused with the nearest known name."""
    with pytest.raises(ValueError, match="Europe/Berlin"):
        Calendar.named("Europe/Berln")
