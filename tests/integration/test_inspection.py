"""Plugins inspected from beside: how far they are behind, and that they rest."""

from __future__ import annotations

import pytest

from crmcore import PluginTable
from crmcore.services.checkups.hook_times import BUDGET, REST
from crmcore.services.checkups.inspection import inspect_plugin, inspect_plugins
from tests.integration.test_hook_times import noting
from tests.support.databases import shop_file
from tests.support.making import draft, plugin, us
from tests.support.notebook import tally
from tests.support.runs import opened

pytestmark = pytest.mark.each_database


@pytest.fixture
def url(tmp_path):
    return shop_file(tmp_path)


def test_rest(url):
    """A breach is counted, and the rest that follows it ends when it ends in the application."""
    with opened([noting([3 * BUDGET / 1_000_000])], url=url) as (crm, clock):
        for n in range(3):
            crm.record(draft("order.placed", key=str(n)))
        ends = clock.now() + REST

    (during,) = inspect_plugins(url, ["notes"], ends - 1)
    (afterwards,) = inspect_plugins(url, ["notes"], ends)

    assert (1, 3) == (during.cost.breaches, during.cost.calls)
    assert during.cost.microseconds == sum(each.microseconds for each in during.hooks)
    assert ends == during.rests_until
    assert afterwards.rests_until is None


def test_lag(url):
    """What a cursor has yet to bring is counted, parked timers and customers among the rest."""

    def raises(ctx, event):
        raise ValueError("told to fail")

    def set_timer(ctx, event):
        ctx.set_timer("later", us(1))

    late = plugin(
        "late", after_interactions_recorded=raises, on_started=set_timer, on_timers_due=raises
    )
    with opened([late], url=url) as (crm, clock):
        for n in range(3):
            crm.record(draft("order.placed", key=str(n), email=f"c{n}"))
        behind = inspect_plugin(url, "late", (), ["late"], clock.now()).status
        clock.advance_to(us(1))
        crm.worker().once()
        told = inspect_plugin(url, "late", (), ["late"], clock.now()).status

    assert (3, 0, 1, 0) == (behind.behind, behind.waiting, behind.timers, behind.timers_due)
    assert (0, 3) == (told.behind, told.waiting)
    assert told.faults > 1


def test_tables(url):
    """Rows are counted, and a table that is not there is told from an empty one."""
    gone = PluginTable(tally, derived=True, merge="recompute", erase="delete")
    with opened([], url=url) as (crm, clock):
        crm.record(draft("order.placed", key="1"))
        now = clock.now()

    found = inspect_plugin(url, "notebook", [gone], [], now)

    assert {tally.name: None} == found.rows
    assert not found.status.is_on
    assert [] == list(found.hooks)
