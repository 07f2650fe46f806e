"""A plugin that failed and is mended ends where one that never failed ends."""

import random
from typing import Any

import pytest
from attrs import define
from crmcore_tiering import Tiering

from crmcore import Crm, VirtualClock, hookimpl
from crmcore.replay.replayer import Replayer
from crmcore.testing.snapshots import difference, snapshot
from tests.support.databases import present_kind, scratch, shop_file
from tests.support.histories import cdnow, instant

pytestmark = pytest.mark.each_database


@define(eq=False)
class Failing(Tiering):
    """Tiering that fails in some of its batches, after it has written."""

    chance: Any = None

    @hookimpl
    def on_interactions_recorded(self, ctx, event):
        super().on_interactions_recorded(ctx, event)
        if self.chance.random() < 0.3:
            raise ValueError("told to fail")


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("scheme", ["pareto", "rfm"])
def test_tables_of_a_run_that_never_failed(tmp_path, seed, scheme):
    """Failing at random for 78 weeks, then mended and paid, leaves the tables of a clean run."""
    history = cdnow(every=100 if present_kind() == "sqlite" else 800)
    moments = [d.occurred_at for d in history if d.occurred_at is not None]
    start, end = instant(moments[0]), instant(moments[-1])

    def run(url, plugin, drafts):
        clock = VirtualClock(start)
        with Crm(url, currency="USD", plugins=[plugin], clock=clock, secret="law") as crm:
            recorded = Replayer(crm, clock, batch_size=7).run(drafts, until=end).recorded
            owed = sum(crm.debts().values())
            return recorded, owed, len(crm.faults(plugin.name)), snapshot(crm)

    url = shop_file(tmp_path)
    failing = Failing(scheme=scheme, chance=random.Random(seed))
    recorded, owed, faults, _ = run(url, failing, history)
    assert len(history) == recorded
    assert owed > 0
    assert faults > 0

    with Crm(
        url, currency="USD", plugins=[Tiering(scheme=scheme)], clock=VirtualClock(end), secret="law"
    ) as crm:
        crm.pay_debts()
        assert {} == dict(crm.debts())
        mended = snapshot(crm)
    _, _, _, clean = run(scratch(), Tiering(scheme=scheme), history)

    assert "" == difference(clean.derived_tables, mended.derived_tables)
    assert "" == difference(clean.decided, mended.decided)
