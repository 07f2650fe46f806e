"""Newsletters: on their day and hour, with what is new, once each; and never late."""

from __future__ import annotations

import threading
from datetime import date, datetime, time, timedelta
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from crmcore_email_link import EmailLink, NewsletterSettings
from crmcore_email_link.campaigns.newsletters import Newsletter
from hypothesis import given
from hypothesis import strategies as st

from crmcore import Calendar, Crm, VirtualClock, to_datetime, to_instant
from crmcore.errors import ConfigurationError, InputError, NotFoundError
from plugins.email_link.tests.campaigning import advance, campaigner, state, with_members
from plugins.email_link.tests.shops import DAY, START, mails
from tests.support.databases import shop_file

HOUR = DAY // 24
TUESDAY = START + DAY - HOUR  # 2024-01-02 09:00 UTC
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe")


def weekly(**values):
    return {"newsletters": {"weekly": NewsletterSettings(template="news", on="tuesday", **values)}}


def add(crm, title, name="weekly"):
    with crm.begin() as tx:
        return crm.plugin(EmailLink).add_news(tx, name, {"title": title})


def waiting(crm):
    with crm.begin() as tx:
        return [each["title"] for each in crm.plugin(EmailLink).waiting_news(tx, "weekly")]


def until(crm, instant):
    """Let a worker run until then, hour by hour."""
    clock = crm.runtime.clock
    while clock.now() < instant:
        clock.advance_to(min(instant, clock.now() + HOUR))
        crm.run_due()
        crm.deliver()


@pytest.mark.each_database
def test_an_issue_goes_on_its_day_with_what_is_new_since_the_one_before():
    with with_members(3, campaigner(**weekly())) as crm:
        assert (1, 2) == (add(crm, "Green tea"), add(crm, "Cups"))
        until(crm, TUESDAY - 1)
        assert [] == mails(crm)
        until(crm, TUESDAY)
        assert ["2 new"] * 3 == [str(each["Subject"]) for each in mails(crm)]
        assert "Green tea" in mails(crm)[0].get_body(("plain",)).get_content()
        assert "sent" == state(crm, "weekly-2024-01-02").standing
        assert [] == waiting(crm)
        add(crm, "Pots")
        until(crm, TUESDAY + 7 * DAY)
        assert ["1 new"] * 3 == [str(each["Subject"]) for each in mails(crm)[3:]]
        assert 6 == len(mails(crm))


def test_an_issue_without_news_is_left_out_unless_it_is_to_go():
    with with_members(2, campaigner(**weekly())) as crm:
        until(crm, TUESDAY + HOUR)
        assert [] == mails(crm)
        with pytest.raises(NotFoundError):
            state(crm, "weekly-2024-01-02")
        add(crm, "Tea")
        until(crm, TUESDAY + 7 * DAY)
        assert 2 == len(mails(crm))
    with with_members(2, campaigner(**weekly(empty="send"))) as crm:
        until(crm, TUESDAY + HOUR)
        assert ["0 new"] * 2 == [str(each["Subject"]) for each in mails(crm)]


def test_1_5_an_issue_is_never_late_and_its_news_goes_with_the_next():
    with with_members(2, campaigner(**weekly(late_hours=3))) as crm:
        add(crm, "Tea")
        advance(crm, TUESDAY + 4 * HOUR)  # nobody was there
        crm.run_due()
        crm.deliver()
        assert ([], ["Tea"]) == (mails(crm), waiting(crm))
        advance(crm, TUESDAY + 7 * DAY + 2 * HOUR)  # late, and not too late
        crm.run_due()
        crm.deliver()
        assert 2 == len(mails(crm))


def test_a_shop_can_say_what_is_new():
    asked = []

    def news(name, since, before):
        asked.append((name, since, before))
        return [{"title": "From the shop"}] if len(asked) == 2 else []

    with with_members(1, campaigner(news=news, **weekly())) as crm:
        until(crm, TUESDAY + 7 * DAY)
        assert [("weekly", 0, TUESDAY), ("weekly", TUESDAY, TUESDAY + 7 * DAY)] == asked
        assert ["1 new"] == [str(each["Subject"]) for each in mails(crm)]


def test_issues_hold_out_the_same_customers_each_time():
    settings = {
        "daily": NewsletterSettings(
            variants=[{"name": "a", "template": "tea"}, {"name": "b", "template": "loud"}],
            every="day",
            empty="send",
            holdout=0.4,
        )
    }
    with with_members(40, campaigner(newsletters=settings)) as crm:
        until(crm, START + 3 * DAY)
        got: dict[str, set[tuple[str, str]]] = {}
        for mail in mails(crm):
            got.setdefault(str(mail["Date"])[:16], set()).add((str(mail["To"]), mail["Subject"]))
        assert 3 == len(got)
        first, *others = got.values()
        assert all(first == each for each in others)
        assert 10 < len(first) < 40


def test_a_worker_that_starts_anew_sends_no_issue_twice(tmp_path):
    url = f"sqlite:///{tmp_path / 'crm.db'}"
    with with_members(2, campaigner(**weekly(empty="send")), url=url) as crm:
        until(crm, TUESDAY)
        assert 2 == len(mails(crm))
    made = campaigner(**weekly(empty="send"))
    with Crm(url, plugins=[made], clock=VirtualClock(TUESDAY - HOUR)) as crm:
        until(crm, TUESDAY + HOUR)  # restarted by a clock that is slow
        assert [] == mails(crm)


def test_another_schedule_counts_from_the_next_start(tmp_path):
    url = f"sqlite:///{tmp_path / 'crm.db'}"
    with with_members(1, campaigner(**weekly(empty="send")), url=url):
        pass
    later = {"weekly": NewsletterSettings(template="news", on="wednesday", empty="send")}
    with Crm(url, plugins=[campaigner(newsletters=later)], clock=VirtualClock(START)) as crm:
        until(crm, TUESDAY + HOUR)
        assert [] == mails(crm)
        until(crm, TUESDAY + DAY)
        assert 1 == len(mails(crm))
    with Crm(url, plugins=[campaigner()], clock=VirtualClock(TUESDAY + DAY)) as crm:
        until(crm, TUESDAY + 9 * DAY)  # it is switched off: its timer does nothing
        assert [] == mails(crm)


@pytest.mark.each_database
def test_news_that_many_add_at_once_are_all_kept(tmp_path):
    with with_members(1, campaigner(**weekly()), url=shop_file(tmp_path)) as crm:
        email = crm.plugin(EmailLink)

        def work(number):
            def item(each):
                return {"title": f"{number}-{each}"}

            for each in range(5):
                crm.run_transaction(partial(email.add_news, newsletter="weekly", item=item(each)))

        threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert {f"{n}-{e}" for n in range(6) for e in range(5)} == set(waiting(crm))


def test_news_that_is_not_right_says_why():
    with with_members(1, campaigner(**weekly())) as crm:
        email = crm.plugin(EmailLink)
        wrong: list[Any] = ["Tea", {}, {"title": object()}]
        for item in wrong:
            with crm.begin() as tx, pytest.raises(InputError, match="the item"):
                email.add_news(tx, "weekly", item)
        with crm.begin() as tx, pytest.raises(NotFoundError, match="did you mean 'weekly'"):
            email.add_news(tx, "wekly", {"title": "Tea"})
        with crm.begin() as tx:
            for _ in range(500):
                email.add_news(tx, "weekly", {"title": "Tea"})
            with pytest.raises(InputError, match="500 items wait"):
                email.add_news(tx, "weekly", {"title": "Tea"})


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"every": "weak"}, r"every is 'weak' \(did you mean 'week'\?\)"),
        ({"on": "tusday"}, r"did you mean 'tuesday'"),
        ({"every": "month", "on": "32"}, "a day from '1' to '31'"),
        ({"every": "day", "on": "monday"}, "nothing, as it comes every day"),
        ({"time": "9 o'clock"}, "a time of the day"),
        ({"time": "09:00+02:00"}, "a time of the day without a zone"),
        ({"empty": "no"}, "'skip' or 'send'"),
        ({"template": ""}, "neither is given"),
        ({"holdout": 2}, "a share from 0 to 0.9"),
        ({"variants": [{"name": "a"}], "template": ""}, "has no template"),
        ({"purpose": "service"}, "purpose is 'service'"),
    ],
)
def test_a_newsletter_that_is_not_right_says_why(values, said):
    given = {"template": "news", **values}
    with pytest.raises(ConfigurationError, match=said):
        campaigner(newsletters={"weekly": NewsletterSettings(**given)})


def test_crm_toml_has_newsletters(tmp_path):
    (tmp_path / "secret").write_text("00" * 32)
    (tmp_path / "templates").mkdir()
    for name in ("subject", "html"):
        (tmp_path / "templates" / f"news.en.{name}").write_text("News")
    (tmp_path / "crm.toml").write_text(
        f"""
[crm]
database = "sqlite://"
[plugins.email_link]
sender = "shop@shop.example"
sender_name = "The Shop"
postal_address = "1 High Street"
base_url = "https://shop.example/m/"
secret_file = "{tmp_path / "secret"}"
templates = "{tmp_path / "templates"}"
host = "127.0.0.1"
[plugins.email_link.newsletters.weekly]
on = "friday"
personal = {{ spent = "orders.sum" }}
variants = [{{ name = "a", template = "news" }}, {{ name = "b", template = "news", weight = 3 }}]
"""
    )
    with Crm.from_config(tmp_path / "crm.toml") as crm, crm.begin() as tx:
        due = crm.plugin(EmailLink).next_issues(tx)["weekly"]
        assert due is not None
        assert (4, 9) == (to_datetime(due).weekday(), to_datetime(due).hour)


INSTANTS = st.integers(START - 365 * DAY, START + 3 * 365 * DAY)
SCHEDULES = st.one_of(
    st.just(("day", "")),
    st.sampled_from(["monday", "sunday"]).map(lambda on: ("week", on)),
    st.sampled_from(["", "1", "29", "31", "last"]).map(lambda on: ("month", on)),
)


def on_days(every, on):
    """Return the days of some years on which it comes, by walking the calendar."""
    day, end = date(2022, 12, 1), date(2027, 4, 1)
    while day < end:
        tomorrow = day + timedelta(days=1)
        is_last = tomorrow.month != day.month
        if (
            every == "day"
            or (every == "week" and day.strftime("%A").lower() == on)
            or (every == "month" and on == "last" and is_last)
            or (every == "month" and on != "last" and day.day == int(on or 1))
            or (every == "month" and on not in ("", "last") and is_last and day.day < int(on))
        ):
            yield day
        day = tomorrow


@given(INSTANTS, SCHEDULES, st.times(), st.sampled_from(ZONES))
def test_the_next_issue_is_the_first_of_its_days_to_come(instant, schedule, at, zone):
    every, on = schedule
    at = at.replace(microsecond=0)
    settings = NewsletterSettings(template="x", every=every, on=on, time=at.isoformat())
    found = Newsletter(name="n", settings=settings).next_after(instant, Calendar.named(zone))
    wall = [datetime.combine(day, at, tzinfo=ZoneInfo(zone)) for day in on_days(every, on)]
    assert min(due for due in map(to_instant, wall) if due > instant) == found


@pytest.mark.parametrize(
    ("day", "at", "utc"),
    [
        (date(2026, 3, 29), time(2, 30), "2026-03-29 01:30"),  # skipped: 03:30 on the wall
        (date(2026, 10, 25), time(2, 30), "2026-10-25 00:30"),  # comes twice: the first
        (date(2026, 7, 1), time(9), "2026-07-01 07:00"),
    ],
)
def test_an_issue_comes_by_the_clock_on_the_wall(day, at, utc):
    settings = NewsletterSettings(template="x", every="day", time=at.isoformat())
    calendar = Calendar.named("Europe/Berlin")
    found = Newsletter(name="n", settings=settings).next_after(calendar.start_of(day) - 1, calendar)
    assert utc == f"{to_datetime(found):%Y-%m-%d %H:%M}"


def test_a_time_that_is_changed_on_the_day_sends_one_issue_that_day(tmp_path):
    url = f"sqlite:///{tmp_path / 'crm.db'}"
    with with_members(2, campaigner(**weekly()), url=url) as crm:
        add(crm, "Tea")
        until(crm, TUESDAY)
        assert 2 == len(mails(crm))
    made = campaigner(**weekly(time="15:00"))
    with Crm(url, plugins=[made], clock=VirtualClock(TUESDAY + HOUR)) as crm:
        add(crm, "Cups")
        until(crm, TUESDAY + DAY)
        assert ([], ["Cups"]) == (mails(crm), waiting(crm))
        until(crm, TUESDAY + 7 * DAY + 6 * HOUR)
        assert ["1 new"] * 2 == [str(each["Subject"]) for each in mails(crm)]
        assert [] == crm.faults("email_link")


def test_an_issue_that_cannot_be_made_is_left_out_and_the_next_one_comes():
    trouble = [True]

    def news(name, since, before):
        return [{"title": object() if trouble else "Cups"}]

    with with_members(2, campaigner(news=news, **weekly())) as crm:
        add(crm, "Tea")
        until(crm, TUESDAY + DAY)
        assert ([], ["Tea"]) == (mails(crm), waiting(crm))
        trouble.clear()
        until(crm, TUESDAY + 7 * DAY)
        assert ["2 new"] * 2 == [str(each["Subject"]) for each in mails(crm)]


@pytest.mark.parametrize("title", [float("nan"), "a\0b", "\ud800", {1: 2}, "x" * 50_000])
def test_an_item_that_no_issue_could_hold_is_not_kept(title):
    with with_members(1, campaigner(**weekly())) as crm:
        with crm.begin() as tx, pytest.raises(InputError, match=r"cannot be kept|at most 50,000"):
            crm.plugin(EmailLink).add_news(tx, "weekly", {"title": title})
        assert [] == waiting(crm)
