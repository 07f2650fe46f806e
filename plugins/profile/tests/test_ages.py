"""Ages, birthdays and children's groups, day by day and over leap years, against a plain count."""

from datetime import UTC, date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import pytest
from crmcore_profile.ages import age_traits, band_names, child_traits
from crmcore_profile.attributes import READY_MADE
from crmcore_profile.civil import ShopZone, changes_of, shop_day, shop_hour
from crmcore_profile.tables import Whole, statement
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlalchemy import bindparam, select

from crmcore import Calendar, to_instant

pytestmark = pytest.mark.each_database(partitioned=False)

BANDS = [1, 18, 25, 65]
GROUPS = {"school": 72, "baby": 0, "small": 12}
NOON = timedelta(hours=12)

birth_dates = st.dates(date(1900, 1, 1), date(2030, 12, 31)) | st.sampled_from(
    [date(1904, 2, 29), date(1984, 2, 29), date(2000, 2, 29), date(2023, 1, 31), date(2023, 12, 31)]
)
present_days = st.dates(date(1971, 1, 1), date(2090, 12, 31)) | st.sampled_from(
    [date(y, m, d) for y in (2023, 2024, 2100) for m, d in ((2, 27), (2, 28), (3, 1), (12, 31))]
    + [date(2024, 2, 29), date(2023, 4, 30)]
)
leap_days = st.sampled_from(["feb28", "mar1"])


def noon(day):
    """Return the instant at which it is noon of a day, in UTC."""
    return to_instant(datetime(day.year, day.month, day.day, 12, tzinfo=UTC))


def born(sheet, attribute, *values):
    sheet.write(
        statement,
        [
            {
                "customer_id": 1,
                "interaction_id": number,
                "attribute": attribute,
                "origin": "declared",
                "value": str(value),
                "confidence": 100,
                "as_of": 0,
                "stated_at": 0,
                "source": "shop",
            }
            for number, value in enumerate(values, start=1)
        ],
    )


@cache  # so that each statement is compiled once
def ages(leap_day="feb28", zone=None):
    traits = age_traits(READY_MADE["birthday"], BANDS, leap_day, zone or ShopZone())
    return {trait.name.removeprefix("profile."): trait for trait in traits}


@cache
def children(leap_day="feb28"):
    traits = child_traits(READY_MADE["children"], GROUPS, leap_day, ShopZone())
    return {trait.name.removeprefix("profile."): trait for trait in traits}


# -- counted plainly -------------------------------------------------------------------------------


def kept_in(year, month, day, leap_day):
    """Return the day on which a date of birth is kept in a month of a year."""
    try:
        return date(year, month, day)
    except ValueError:
        first_of_next = date(year + month // 12, month % 12 + 1, 1)
        return first_of_next - timedelta(days=1) if leap_day == "feb28" else first_of_next


def months_between(birth, today, leap_day):
    """Return how many monthly days of birth have come, one after the other; less if before."""
    months, year, month = -1, birth.year, birth.month
    while kept_in(year, month, birth.day, leap_day) <= today:
        months += 1
        year, month = year + month // 12, month % 12 + 1
    return months


def band_of(birth, today, leap_day):
    if birth > today:
        return ""
    years = sum(
        kept_in(year, birth.month, birth.day, leap_day) <= today
        for year in range(birth.year + 1, today.year + 1)
    )
    return next((n for n, end in zip(band_names(BANDS), BANDS, strict=False) if years < end), "65+")


def days_left(month, day, today, leap_day):
    there = today
    while there != kept_in(there.year, month, day, leap_day):
        there += timedelta(days=1)
    return (there - today).days


@settings(max_examples=100)
@given(birth=birth_dates, today=present_days, leap_day=leap_days)
@example(date(2004, 2, 29), date(2022, 2, 28), "feb28")
@example(date(2004, 2, 29), date(2022, 2, 28), "mar1")
@example(date(2004, 2, 29), date(2022, 3, 1), "mar1")
def test_age(request, birth, today, leap_day):
    """The band of an age, and the days to a birthday, are as counted on a calendar."""
    sheet = request.getfixturevalue("sheet")
    born(sheet, "birthday", birth)
    traits, now = ages(leap_day), noon(today)

    assert {1: band_of(birth, today, leap_day)} == sheet.values(traits["age_band"], now)
    assert {1: days_left(birth.month, birth.day, today, leap_day)} == sheet.values(
        traits["birthday_next_days"], now
    )


@settings(max_examples=40)
@given(birth=birth_dates, today=present_days, leap_day=leap_days)
def test_without_a_year(request, birth, today, leap_day):
    """Without a year there is a birthday, and no age."""
    sheet = request.getfixturevalue("sheet")
    born(sheet, "birthday", f"-{str(birth)[4:]}")
    traits, now = ages(leap_day), noon(today)

    assert {1: ""} == sheet.values(traits["age_band"], now)
    assert {1: days_left(birth.month, birth.day, today, leap_day)} == sheet.values(
        traits["birthday_next_days"], now
    )


@settings(max_examples=66)
@given(births=st.lists(birth_dates, min_size=1, max_size=3), today=present_days, leap=leap_days)
@example([date(2023, 1, 31), date(2022, 1, 31)], date(2023, 2, 28), "mar1")
def test_children(request, births, today, leap):
    """Children are in the groups of their months, with nobody saying how old they have become."""
    sheet = request.getfixturevalue("sheet")
    born(sheet, "children", *births)
    names = {0: "baby", 12: "small", 72: "school"}

    def group_of(birth):
        if birth > today:
            return "expected"
        months = months_between(birth, today, leap)
        return names[max(start for start in names if start <= months)]

    traits, now = children(leap), noon(today)

    assert {1: group_of(max(births))} == sheet.values(traits["life_stage"], now)
    assert {1: group_of(min(births))} == sheet.values(traits["oldest_child"], now)


def test_grows_up(sheet):
    """A child moves on from group to group, while not a row changes."""
    born(sheet, "children", "2022-05-17")
    rows = sheet.rows(statement)
    found = {}
    for day in ("2022-05-16", "2022-05-17", "2023-05-16", "2023-05-17", "2028-05-17"):
        found[day] = sheet.values(children()["life_stage"], noon(date.fromisoformat(day)))[1]

    assert ["expected", "baby", "baby", "small", "school"] == list(found.values())
    assert rows == sheet.rows(statement)


def test_nobody(sheet):
    """Of whom no birthday is known, and where it does not fit, there is no row."""
    born(sheet, "birthday", "17 May")

    assert {} == sheet.values(ages()["age_band"], 0)
    assert {} == sheet.values(ages()["birthday_next_days"], 0)


# -- the shop's own days ---------------------------------------------------------------------------

ZONES = "Europe/Berlin Pacific/Apia Asia/Kathmandu America/Sao_Paulo America/New_York".split()
NOW = bindparam("now", type_=Whole)
SHOP = {name: ShopZone(Calendar.named(name)) for name in ZONES}
SHOWN = {name: select(shop_day(NOW, SHOP[name]), shop_hour(NOW, SHOP[name])) for name in ZONES}


def _seconds(year):
    return int(datetime(year, 1, 1, tzinfo=UTC).timestamp())


def _near_changes():
    """Return instants, in seconds, about when clocks are changed somewhere."""
    found = {
        since // 1_000_000 for name in ZONES for since, _ in changes_of(Calendar.named(name))[1:]
    }
    return st.builds(int.__add__, st.sampled_from(sorted(found)), st.integers(-7300, 7300))


@settings(max_examples=133)
@given(
    second=st.integers(_seconds(1971), _seconds(2099)) | _near_changes(),
    name=st.sampled_from(ZONES),
)
def test_shown_on_the_wall(request, second, name):
    """The day and the hour are those that the shop's clock shows, whenever it is changed."""
    sheet = request.getfixturevalue("sheet")
    wall = datetime.fromtimestamp(second, tz=ZoneInfo(name))

    assert [(int(f"{wall:%Y%m%d}"), wall.hour)] == sheet.execute(
        SHOWN[name], now=second * 1_000_000
    )


def test_ages_at_the_shops_midnight(sheet):
    """A birthday begins at midnight in the shop, not in Greenwich."""
    born(sheet, "birthday", "2000-05-17")
    zone = ShopZone(Calendar.named("Europe/Berlin"))
    left = ages(zone=zone)["birthday_next_days"]
    midnight = to_instant(datetime(2024, 5, 16, 22, tzinfo=UTC))

    assert {1: 1} == sheet.values(left, midnight - 1)
    assert {1: 0} == sheet.values(left, midnight)
