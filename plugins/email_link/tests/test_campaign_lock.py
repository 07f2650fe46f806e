"""E8: a campaign of which too many mails cannot be written is locked until somebody looks."""

from __future__ import annotations

import pytest
from crmcore_email_link import Campaign
from crmcore_email_link.outbox import Outbox

from crmcore import Failed
from crmcore.errors import ConfigurationError, InputError
from plugins.email_link.tests.campaigning import campaigner, decide, start, state, with_members
from plugins.email_link.tests.shops import mails


def named(is_known):
    """Return settings by which only some customers' names are known."""
    known = lambda ids: {each: {"name": "N"} for each in ids if is_known(each)}  # noqa: E731
    return {"recipients": known, "at_once": 10}


@pytest.mark.each_database
def test_e8_it_is_locked_when_too_many_cannot_be_written():
    with with_members(60, campaigner(**named(lambda each: False))) as crm:
        start(crm, template="named")
        crm.deliver()
        found = state(crm)
        assert ("locked", []) == (found.standing, mails(crm))
        assert {"failed": 10, "planned": 50} == found.broadcast.states
        assert "10 mails could not be written, of 10 that were tried" in found.kept.last.why
        crm.deliver()
        assert 50 == state(crm).broadcast.states["planned"]


def test_e8_it_goes_on_where_few_cannot_be_written():
    with with_members(300, campaigner(**named(lambda each: each % 25))) as crm:
        start(crm, template="named")
        crm.deliver()
        found = state(crm)
        assert ("sent", {"accepted": 288, "failed": 12}) == (
            found.standing,
            found.broadcast.states,
        )
        assert 12 == found.kept.unwritten


def test_e8_one_that_fails_only_later_is_locked_then():
    names = named(lambda each: each <= 200 or each % 2)
    with with_members(600, campaigner(**names)) as crm:
        start(crm, template="named")
        crm.deliver()
        states = state(crm).broadcast.states
        assert "locked" == state(crm).standing
        # Of 200 and n more, half of which fail, more than 5 % fail from n = 23 on.
        assert 10 <= states["failed"] <= 25
        assert states["accepted"] > 200


def test_e8_mended_it_goes_on_with_whom_it_has_not_reached():
    with with_members(60, campaigner(**named(lambda each: False))) as crm:
        begun = start(crm, template="named")
        crm.deliver()
        decide(crm, "edit", Campaign("tea-1", template="tea", at=begun.campaign.at))
        decide(crm, "resume", "tea-1")
        crm.deliver()
        assert {"accepted": 50, "failed": 10} == state(crm).broadcast.states
        assert ("sent", 0) == (state(crm).standing, state(crm).kept.unwritten)


def test_e8_resumed_without_being_mended_it_is_locked_again():
    with with_members(60, campaigner(**named(lambda each: False))) as crm:
        start(crm, template="named")
        for failed in (10, 20, 30):
            crm.deliver()
            assert ("locked", failed) == (
                state(crm).standing,
                state(crm).broadcast.states["failed"],
            )
            decide(crm, "resume", "tea-1")


def test_e8_what_servers_refuse_locks_nothing():
    class Refusing(Outbox):
        def send(self, envelopes):
            return [Failed("550 5.1.1 no such user") for _ in envelopes]

    with with_members(40, campaigner(carrier=Refusing())) as crm:
        start(crm)
        crm.deliver()
        assert ("sent", {"failed": 40}) == (state(crm).standing, state(crm).broadcast.states)


def test_lock_percent_is_checked():
    with pytest.raises(ConfigurationError, match="lock_percent is 101"):
        campaigner(lock_percent=101)
    with with_members(2) as crm:
        start(crm)
        with pytest.raises(InputError, match="on its way"):
            decide(crm, "resume", "tea-1")
