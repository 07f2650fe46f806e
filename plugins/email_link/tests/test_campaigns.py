"""Campaigns: frozen when they start, each once, paused, changed, called off and never late."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from attrs import define
from crmcore_email_link import Campaign, EmailLink, Variant
from crmcore_email_link.pages import Pages, Request

from crmcore import Content
from crmcore.errors import ConfigurationError, InputError, NotFoundError, SegmentError
from plugins.email_link.tests.campaigning import (
    Turning,
    advance,
    campaigner,
    decide,
    messages,
    start,
    state,
    two,
    with_members,
)
from plugins.email_link.tests.shops import DAY, START, mails, member

HOUR = DAY // 24


def subjects(crm):
    return Counter(str(mail["Subject"]) for mail in mails(crm))


@pytest.mark.each_database
def test_everybody_gets_it_once_and_the_audience_is_frozen():
    with with_members(7) as crm:
        begun = start(crm)
        assert ("sending", 7) == (begun.standing, begun.broadcast.audience)
        member(crm, "late", "news")
        again = start(crm)  # told again it changes nothing
        assert 7 == again.broadcast.audience
        crm.deliver()
        crm.deliver()
        assert {f"p{n}@example.com" for n in range(7)} == {str(m["To"]) for m in mails(crm)}
        assert 7 == len(mails(crm))
        assert "sent" == state(crm).standing


def test_it_goes_to_a_segment_by_name_or_text_as_of_its_start():
    with with_members(6, segments={"buyers": "orders.count >= 1"}) as crm:
        for number in (1, 4):
            crm.record("order.placed", email=f"p{number}@example.com", amount="3")
        start(crm, "named", segment="buyers")
        start(crm, "told", segment="orders.count == 0")
        crm.record("order.placed", email="p0@example.com", amount="3")
        assert (2, 4) == (
            state(crm, "named").broadcast.audience,
            state(crm, "told").broadcast.audience,
        )


@pytest.mark.each_database
def test_it_starts_at_its_instant_for_whom_it_is_for_then():
    with with_members(3) as crm:
        begun = start(crm, at=START + 2 * DAY)
        assert ("scheduled", None) == (begun.standing, begun.broadcast)
        member(crm, "new", "news")
        advance(crm, START + 2 * DAY - 1)
        crm.run_due()
        assert "scheduled" == state(crm).standing
        advance(crm, START + 2 * DAY)
        crm.run_due()
        assert ("sending", 4) == (state(crm).standing, state(crm).broadcast.audience)
        crm.deliver()
        assert 4 == len(mails(crm))


@pytest.mark.parametrize("late", [24 * HOUR + 1, 9 * DAY])
def test_1_5_it_never_starts_late(late):
    """A worker that was away, or a restored database, sends nobody yesterday's campaign."""
    with with_members(3) as crm:
        start(crm, at=START + DAY)
        advance(crm, START + DAY + late)
        assert "missed" == state(crm).standing
        crm.run_due()
        crm.deliver()
        found = state(crm)
        assert ("missed", []) == (found.standing, mails(crm))
        assert "nobody was there to start it" in found.kept.last.why
        with pytest.raises(InputError, match="a later instant is expected"):
            start(crm, "tea-2", at=START + DAY)


def test_what_is_left_of_it_is_withheld_when_its_hours_are_over():
    with with_members(3) as crm:
        start(crm, late_hours=2)
        decide(crm, "pause", "tea-1")
        advance(crm, START + 3 * HOUR)
        decide(crm, "resume", "tea-1")
        crm.deliver()
        assert ({"withheld": 3}, []) == (state(crm).broadcast.states, mails(crm))


@pytest.mark.each_database
def test_e20_it_is_paused_changed_and_goes_on():
    def stop():
        decide(crm, "pause", "tea-1", why="the price is wrong")

    with with_members(5, campaigner(at_once=2, carrier=Turning(stop))) as crm:
        begun = start(crm)
        crm.deliver()
        crm.deliver()
        assert Counter({"Tea": 2}) == subjects(crm)
        assert ("paused", 3) == (state(crm).standing, state(crm).broadcast.pending)
        decide(crm, "edit", Campaign("tea-1", template="loud", at=begun.campaign.at))
        decide(crm, "resume", "tea-1")
        crm.deliver()
        assert Counter({"Tea": 2, "TEA!": 3}) == subjects(crm)
        assert ["started", "paused", "edited", "resumed"] == [
            each.what for each in state(crm).kept.entries
        ]
        assert "the price is wrong" == state(crm).kept.entries[1].why


def test_e20_it_is_called_off_before_and_after_it_started():
    def stop():
        decide(crm, "cancel", "tea-1", why="no tea")

    with with_members(4, campaigner(at_once=1, carrier=Turning(stop))) as crm:
        start(crm)
        start(crm, "later", at=START + DAY)
        crm.deliver()
        for key in ("tea-1", "later", "later"):
            assert "cancelled" == decide(crm, "cancel", key, why="no tea").standing
        advance(crm, START + DAY)
        crm.run_due()
        crm.deliver()
        assert {"accepted": 1, "withheld": 3} == state(crm).broadcast.states
        assert (1, None) == (len(mails(crm)), state(crm, "later").broadcast)
        with pytest.raises(InputError, match="called off"):
            decide(crm, "resume", "tea-1")


def test_one_that_waits_can_be_changed_altogether():
    with with_members(3) as crm:
        start(crm, at=START + DAY)
        decide(crm, "edit", Campaign("tea-1", template="loud", at=START + 2 * DAY, holdout=0.5))
        advance(crm, START + DAY)
        crm.run_due()
        assert "scheduled" == state(crm).standing
        advance(crm, START + 2 * DAY)
        crm.run_due()
        assert (0.5, "sending") == (state(crm).campaign.holdout, state(crm).standing)
        start(crm, "tea-2", at=START + 3 * DAY)
        with pytest.raises(InputError, match="a later instant than now"):
            decide(crm, "edit", Campaign("tea-2", template="tea"))


def test_what_is_laid_down_cannot_be_changed_once_it_has_started():
    with with_members(3) as crm:
        start(crm, variants=two(), template="")
        decide(crm, "pause", "tea-1")
        same: dict[str, Any] = {"variants": two("loud", "tea")}
        decide(crm, "edit", Campaign("tea-1", **same))
        for changed, said in (
            ({**same, "segment": "orders.count > 0"}, "segment of campaign 'tea-1'"),
            ({**same, "holdout": 0.2}, "holdout of campaign 'tea-1'"),
            ({"variants": two(weight=2)}, "each keeps its name and weight"),
            ({"template": "tea"}, "each keeps its name and weight"),
        ):
            with pytest.raises(InputError, match=said):
                decide(crm, "edit", Campaign("tea-1", **changed))
        decide(crm, "resume", "tea-1")
        with pytest.raises(InputError, match="on its way"):
            decide(crm, "edit", Campaign("tea-1", **same))


def test_the_same_key_is_the_same_campaign():
    with with_members(2) as crm:
        start(crm)
        with pytest.raises(InputError, match="with another template, holdout"):
            start(crm, template="loud", holdout=0.1)
        with pytest.raises(NotFoundError, match=r"'tea-2' \(did you mean 'tea-1'\?\)"):
            decide(crm, "pause", "tea-2")
        crm.broadcast(
            "shops-own", "everyone", purpose="news", channel="email", content=_content("x")
        )
        start(crm, "shops-own")  # the shop's broadcasts have keys of their own
        assert 2 == state(crm, "shops-own").broadcast.audience


def _content(text):
    return Content(text=text, subject=text)


def test_e9_it_does_not_start_without_what_the_law_wants():
    with with_members(2, campaigner(postal_address="")) as crm:
        with pytest.raises(ConfigurationError, match="postal_address missing"):
            start(crm)
        with pytest.raises(NotFoundError):
            state(crm)


def test_what_is_wrong_with_it_is_said_before_anybody_is_planned_for():
    with with_members(2) as crm:
        for error, said, values in (
            (InputError, r"'teh' \(did you mean 'tea'\?\)", {"template": "teh"}),
            (SegmentError, "nothing is named 'regluars'", {"segment": "regluars"}),
            (SegmentError, "orders.cuont", {"personal": {"n": "orders.cuont"}}),
        ):
            with pytest.raises(error, match=said):
                start(crm, **values)
            with pytest.raises(NotFoundError):
                state(crm)
        assert [] == messages(crm)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"template": ""}, "neither is given"),
        ({"template": "a", "variants": two()}, "both are given"),
        ({"template": "a", "purpose": "service"}, "purpose is 'service'"),
        ({"template": "a", "purpose": "newz"}, r"'newz' \(did you mean 'news'\?\)"),
        ({"template": "a", "holdout": 1}, "a share from 0 to 0.9"),
        ({"template": "a", "holdout": "0.1"}, "a share from 0 to 0.9"),
        ({"template": "a", "late_hours": 0}, "from 1 to 1440"),
        ({"template": "a", "effect_days": 400}, "from 1 to 365"),
        ({"template": "a", "segment": " "}, "the segment is ' '"),
        ({"template": "a", "variables": {"first name": 1}}, "a name that a template can use"),
        ({"template": "a", "variables": {"when": object()}}, "cannot be kept as JSON"),
        ({"template": "a", "personal": {"n": 3}}, "personal.n is 3"),
        ({"variants": (Variant("a", template="x"), Variant("a", template="y"))}, "different names"),
        ({"variants": ["a"]}, "a tuple of Variant"),
    ],
)
def test_a_campaign_that_is_not_right_says_why(values, said):
    with pytest.raises(InputError, match=said):
        Campaign("tea-1", **values)


@pytest.mark.parametrize("key", ["", "a b", "x" * 121, "a/", None, "ä\n"])
def test_a_key_that_is_not_right_says_why(key):
    with pytest.raises(InputError, match="campaign's key"):
        Campaign(key, template="tea")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"name": "1a"}, "a letter"),
        ({"name": "held out"}, "a letter"),
        ({"weight": 0}, "from 1 to 10000"),
        ({"weight": True}, "from 1 to 10000"),
        ({"template": ""}, "template of variant"),
    ],
)
def test_a_variant_that_is_not_right_says_why(values, said):
    given = {"name": "a", "template": "tea", **values}
    with pytest.raises(InputError, match=said):
        Variant(given.pop("name"), **given)


def test_a_table_of_a_campaign_is_read_as_it_was_written():
    made = Campaign("tea-1", variants=two(weight=3), personal={"n": "orders.count"}, at=START)
    assert made.to_json() == Campaign.of_table(made.to_table()).to_json()
    with pytest.raises(InputError, match=r"'templat' is nothing of a campaign .*'template'"):
        Campaign.of_table({"key": "a", "templat": "tea"})
    with pytest.raises(InputError, match="'a' has no template"):
        Campaign.of_table({"key": "a", "variants": [{"name": "a"}]})


@pytest.mark.each_database
def test_e8_each_gets_their_own_and_in_their_language():
    named = {"recipients": lambda ids: {each: {"name": f"N{each}"} for each in ids}}
    with with_members(0, campaigner(languages=["en", "de"], **named)) as crm:
        email = crm.plugin(EmailLink)
        ids = {}
        for name, locale, amount in (("ada", "de-AT", "1234.50"), ("bob", None, "3")):
            ids[name] = member(crm, name, "news")
            with crm.begin() as tx:
                tx.record("order.placed", customer=ids[name], amount=amount)
                email.capture(
                    tx,
                    f"o-{name}",
                    f"{name}@example.com",
                    bases={"service": "contract"},
                    locale=locale,
                    customer=ids[name],
                )
        start(crm, "own", template="named")
        start(crm, "sums", template="sums", personal={"spent": "orders.sum", "n": "orders.count"})
        start(crm, "tongues", template="tongues")
        crm.deliver()
        found = {(str(m["To"]).partition("@")[0], str(m["Subject"])) for m in mails(crm)}
        assert {
            ("ada", f"For N{ids['ada']}"),
            ("bob", f"For N{ids['bob']}"),
            ("ada", "1234.50 in 1"),
            ("bob", "3.00 in 1"),
            ("ada", "Guten Tag"),
            ("bob", "Good day"),
        } == found


def test_e8_whom_something_is_not_known_of_fails_alone():
    known = {"recipients": lambda ids: {each: {"name": "N"} for each in ids[1:]}}
    with with_members(6, campaigner(lock_percent=50, **known)) as crm:
        start(crm, template="named")
        crm.deliver()
        assert {"accepted": 5, "failed": 1} == state(crm).broadcast.states
        (failed,) = (each for each in messages(crm) if each.state == "failed")
        assert "it cannot be written: " in failed.reason
        assert "'name' is undefined" in failed.reason


def test_what_the_shop_has_to_mend_waits_until_it_is_mended():
    trouble: list[int] = []

    def recipients(ids):
        if trouble:
            raise ConfigurationError("the table of names is not there")
        return {each: {"name": "N"} for each in ids}

    with with_members(3, campaigner(recipients=recipients)) as crm:
        trouble.append(1)
        start(crm, template="named")
        crm.deliver()
        (found, *_) = messages(crm)
        assert "deferred" == found.state
        assert "the table of names is not there" in found.reason
        trouble.clear()
        advance(crm, START + 2 * HOUR)
        crm.deliver()
        assert {"accepted": 3} == state(crm).broadcast.states


def test_e8_an_archive_page_shows_what_was_said_to_all_and_of_nobody():
    letters = {"recipients": lambda ids: {each: {"name": "SECRET"} for each in ids}}
    with with_members(40, campaigner(**letters)) as crm:
        start(crm, template="", variants=two("named", "loud"))
        crm.deliver()
        pages, email = Pages(crm), crm.plugin(EmailLink)
        subject = {str(mail["To"]): str(mail["Subject"]) for mail in mails(crm)}
        assert {"For SECRET", "TEA!"} == set(subject.values())
        shown: Counter[bool] = Counter()
        for each in messages(crm):
            url = email.composer.links.of("archive", each.id, each.planned_at)
            path = url.removeprefix("https://shop.example/m")
            answer = pages.respond(Request(method="GET", path=path))
            is_loud = b"FIRST FLUSH!" in answer.body
            assert is_loud == (subject[each.address] == "TEA!")
            assert b"SECRET" not in answer.body
            shown[is_loud] += 1
        assert 2 == len(shown)


@define
class SetClock:
    """A clock that somebody sets."""

    instant: int = START

    def now(self):
        return self.instant


def test_e20_a_clock_that_is_set_back_starts_nothing_twice():
    clock = SetClock()
    with with_members(3, clock=clock) as crm:
        start(crm, at=START + DAY)
        for instant in (START + DAY, START + DAY - HOUR, START + DAY + HOUR):
            clock.instant = instant
            crm.run_due()
            crm.deliver()
        assert 3 == len(mails(crm))
