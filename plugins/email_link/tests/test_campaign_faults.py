"""Campaigns whose shop makes mistakes: no mail is lost by them, and they say what is wrong."""

from __future__ import annotations

from typing import Any

import pytest
from crmcore_email_link import Campaign
from crmcore_email_link.commands.campaign_pages import said_of

from crmcore import Crm, VirtualClock
from crmcore.errors import InputError, SegmentError
from plugins.email_link.tests.campaigning import (
    LETTERS,
    advance,
    campaigner,
    decide,
    messages,
    start,
    state,
    with_members,
)
from plugins.email_link.tests.shops import DAY, START, mails

HOUR = DAY // 24
NOTHING: dict[str, Any] = {}


class Silent:
    """Something that cannot even say what it is."""

    def __str__(self) -> str:
        raise ZeroDivisionError


def without(*names):
    """Return the letters but these."""
    return {name: each for name, each in LETTERS.items() if name not in names}


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda ids: NOTHING["names"], "recipients raised KeyError: 'names'"),
        (lambda ids: None, "recipients returned NoneType"),
        (lambda ids: [{"name": "N"}], "recipients returned list"),
    ],
)
def test_e16_a_function_that_raises_leaves_nobody_unknown(answer, said):
    """Nothing was handed over by then, so it waits, and goes to everybody once it is mended."""
    answers = [answer]
    settings = {"recipients": lambda ids: answers[0](ids)}
    with with_members(4, campaigner(**settings)) as crm:
        start(crm, template="named")
        crm.deliver()
        assert {"deferred": 4} == state(crm).broadcast.states
        assert all(said in each.reason for each in messages(crm))
        answers[0] = lambda ids: {each: {"name": "N"} for each in ids}
        advance(crm, START + 2 * HOUR)
        crm.deliver()
        assert ({"accepted": 4}, 4) == (state(crm).broadcast.states, len(mails(crm)))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, "recipients returned NoneType for customer"),
        ("abc", "recipients returned str for customer"),
        ({3: "N"}, "recipients returned dict for customer"),
        ({"name": Silent()}, "a Silent is put out"),
        ({"name": "\ud800"}, "which no header may"),
        ({"name": "a" * 5_000_000}, "more than 2,000,000 characters"),
        ({"name": (1 for _ in "a")}, "a generator is put out"),
    ],
)
def test_e8_what_is_known_of_one_and_makes_no_sense_fails_for_them_alone(given, said):
    def recipients(ids):
        return {each: given if each == ids[0] else {"name": "N"} for each in ids}

    with with_members(4, campaigner(recipients=recipients)) as crm:
        start(crm, template="named")
        crm.deliver()
        assert {"accepted": 3, "failed": 1} == state(crm).broadcast.states
        (failed,) = (each for each in messages(crm) if each.state == "failed")
        assert f"{said}" in failed.reason


def test_a_worker_that_does_not_know_the_template_yet_fails_nobody(tmp_path):
    """It read the templates as it started; one that was started since sends them."""
    url = f"sqlite:///{tmp_path}/shop.db"
    with with_members(12, url=url) as crm:
        start(crm)
    with Crm(url, plugins=[campaigner(letters=without("tea"))], clock=VirtualClock(START)) as crm:
        crm.deliver()
        assert ("sending", {"deferred": 12}) == (state(crm).standing, state(crm).broadcast.states)
        assert "no template is called 'tea' here" in messages(crm)[0].reason
    with Crm(url, plugins=[campaigner()], clock=VirtualClock(START + HOUR)) as crm:
        crm.deliver()
        assert {"accepted": 12} == state(crm).broadcast.states


@pytest.mark.parametrize(
    ("lacking", "said"),
    [
        ({"segments": {}}, "nothing is named 'buyers'"),
        ({"letters": without("tea")}, "no template is called 'tea'"),
    ],
)
def test_one_that_cannot_start_says_why_and_starts_once_it_can(tmp_path, lacking, said):
    url = f"sqlite:///{tmp_path}/shop.db"
    usual: dict[str, Any] = {"segments": {"buyers": "everyone"}, "letters": LETTERS}
    with with_members(2, url=url, segments=usual["segments"]) as crm:
        for key, hours in (("tea-1", 24), ("tea-2", 1)):
            start(crm, key, at=START + DAY, segment="buyers", late_hours=hours)

    def opened(at, **values):
        values = {**usual, **values}
        made = campaigner(letters=values.pop("letters"))
        return Crm(url, plugins=[made], clock=VirtualClock(at), **values)

    with opened(START + DAY, **lacking) as crm:
        for minutes in range(0, 90, 10):
            advance(crm, START + DAY + minutes * HOUR // 60)
            crm.run_due()
        found, late = state(crm), state(crm, "tea-2")
        assert ("scheduled", "missed") == (found.standing, late.standing)
        assert ["scheduled", "scheduled"] == [each.what for each in found.kept.entries]
        assert "it cannot start: " in said_of(found)
        assert said in said_of(found)
        assert said in said_of(late)
    with opened(START + DAY + 3 * HOUR) as crm:
        crm.run_due()
        assert ("sending", 2) == (state(crm).standing, state(crm).broadcast.audience)
        assert "missed" == state(crm, "tea-2").standing


def test_what_it_is_judged_by_and_when_it_starts_are_laid_down():
    with with_members(2) as crm:
        start(crm)
        decide(crm, "pause", "tea-1")
        with pytest.raises(InputError, match="effect_days of campaign 'tea-1' is 30"):
            decide(crm, "edit", Campaign("tea-1", template="tea", effect_days=30))
        with pytest.raises(InputError, match="so it cannot start at 2024-01-02"):
            decide(crm, "edit", Campaign("tea-1", template="tea", at=START + DAY))
        start(crm, "later", at=START + DAY)
        decide(crm, "cancel", "later")
        with pytest.raises(InputError, match="'later' was cancelled at 2024-01-01"):
            decide(crm, "edit", Campaign("later", template="tea"))
        with pytest.raises(SegmentError):
            start(crm, "wrong", segment="regluars")


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"n": float("nan")}, "the variables: n is nan"),
        ({"n": [{"a": "x\0"}]}, "the variables: n: a holds a NUL character"),
        ({"n": "\udc00"}, "half of a character"),
        ({"n": {1: 2}}, "has the name 1"),
        ({"n": eval("[" * 50 + "]" * 50)}, "tables deep"),
        ("x", "a table of names is expected for the variables"),
        ({"n": "x" * 100_000}, "at most 100,000 are expected"),
    ],
)
def test_what_cannot_be_kept_is_refused_at_once(variables, said):
    """Not at its instant, when nobody is there any more to be told."""
    with pytest.raises(InputError, match=said):
        Campaign("tea-1", template="tea", variables=variables, at=START)
    with pytest.raises(InputError, match="one of care, news, promotion, survey"):
        Campaign("tea-1", template="tea", purpose=["news"])  # type: ignore[arg-type]
