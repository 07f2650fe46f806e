"""Campaigns decided on by several at once, and as they start: nobody's word is lost."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, ClassVar

import pytest
from crmcore_email_link import Campaign, EmailLink

from crmcore import Crm, Plugin, VirtualClock, hookimpl
from crmcore.errors import InputError
from plugins.email_link.tests.campaigning import (
    advance,
    campaigner,
    decide,
    start,
    state,
    with_members,
)
from plugins.email_link.tests.shops import DAY, START, mails
from tests.support.databases import shop_file


class Halting(Plugin):
    """Holds up whoever plans a message, until it is let go."""

    name: ClassVar[str] = "halting"

    def __init__(self) -> None:
        self.is_there, self.goes_on = threading.Event(), threading.Event()

    @hookimpl
    def guard_message(self, ctx: Any, event: Any) -> None:
        """Wait, as messages are planned."""
        if not event.is_claim:
            self.is_there.set()
            assert self.goes_on.wait(20)


def at_once(*jobs: Callable[[], object]) -> list[Exception]:
    """Do all of it at once, each in a thread; returns what they raised."""
    raised = []

    def guarded(job: Callable[[], object]) -> None:
        try:
            job()
        except Exception as error:
            raised.append(error)

    threads = [threading.Thread(target=guarded, args=(job,)) for job in jobs]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    return raised


@pytest.mark.each_database
def test_e20_called_off_just_as_it_starts_it_goes_to_nobody(tmp_path):
    """Whoever calls it off waits for its start, and then stops what was planned by it."""
    url, halting = shop_file(tmp_path), Halting()
    with with_members(3, url=url) as crm:
        start(crm, at=START + DAY)
    clock = VirtualClock(START + DAY)
    with Crm(url, plugins=[campaigner(), halting], clock=clock, durable=False) as crm:
        starting = threading.Thread(target=crm.run_due)
        starting.start()
        assert halting.is_there.wait(20)
        calling = threading.Thread(target=decide, args=(crm, "cancel", "tea-1"))
        calling.start()
        calling.join(0.3)  # as far as it comes; the result does not depend on it
        halting.goes_on.set()
        starting.join()
        calling.join()
        crm.deliver()
        found = state(crm)
        assert ("cancelled", {"withheld": 3}, []) == (
            found.standing,
            found.broadcast.states,
            mails(crm),
        )


@pytest.mark.each_database(partitioned=False)
def test_e20_paused_and_resumed_at_once_neither_stands_in_the_others_way(tmp_path):
    with with_members(5, url=shop_file(tmp_path)) as crm:
        start(crm)
        resumed: Counter[bool] = Counter()

        def pause():
            for _ in range(25):
                decide(crm, "pause", "tea-1", why="the price")

        def resume():
            for _ in range(25):
                try:
                    decide(crm, "resume", "tea-1")
                except InputError:  # it was on its way
                    resumed[False] += 1
                else:
                    resumed[True] += 1

        assert [] == at_once(pause, resume)
        entries = Counter(each.what for each in state(crm).kept.entries)
        assert {"started": 1, "paused": 25, "resumed": resumed[True]} == {"resumed": 0, **entries}


@pytest.mark.each_database(partitioned=False)
def test_started_by_two_at_once_it_is_one(tmp_path):
    with with_members(8, url=shop_file(tmp_path)) as crm:
        email = crm.plugin(EmailLink)

        def begin():
            for number in range(5):
                made = Campaign(f"tea-{number}", template="tea")
                crm.run_transaction(partial(email.start_campaign, campaign=made))

        assert [] == at_once(begin, begin)
        crm.deliver()
        assert [["started"]] * 5 == [
            [each.what for each in state(crm, f"tea-{number}").kept.entries] for number in range(5)
        ]
        assert 5 * 8 == len(mails(crm))


def test_told_twice_to_pause_it_is_paused_once():
    with with_members(2) as crm:
        start(crm)
        for _ in range(3):
            decide(crm, "pause", "tea-1")
        decide(crm, "pause", "tea-1", why="the price is wrong")
        assert ["started", "paused", "paused"] == [e.what for e in state(crm).kept.entries]


def test_what_was_undone_with_the_shops_transaction_never_was():
    with with_members(2) as crm:
        for at in (None, START + DAY):
            with suppress(KeyError), crm.begin() as tx:
                crm.plugin(EmailLink).start_campaign(tx, Campaign("t", template="tea", at=at))
                raise KeyError
        advance(crm, START + DAY)
        crm.run_due()
        crm.deliver()
        with crm.begin() as tx:
            assert [] == crm.plugin(EmailLink).campaigns(tx)
        assert [] == mails(crm)
