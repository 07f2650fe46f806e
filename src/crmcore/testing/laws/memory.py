"""Laws of memory: what a plugin knows of customers is in tables, and nowhere else."""

from __future__ import annotations

import itertools
import re
from typing import Final

from sqlalchemy import insert

from crmcore.app import Crm
from crmcore.domain.clock import DAY, to_instant
from crmcore.domain.interaction import Draft
from crmcore.persistence.customers import customer
from crmcore.testing.laws.base import Laws
from crmcore.testing.memory import contents_of
from crmcore.testing.outings import crowd, one_of_each
from crmcore.testing.shop import Shop, clock_of, settle
from crmcore.testing.snapshots import difference, snapshot
from crmcore.testing.strategies import START

_STARTS: Final = itertools.count(3000, 100)
"""Days on which shops begin, later each time: what is remembered of another is not the same."""


class MemoryLaws(Laws):
    """Another process, which has none of this one's memory, does the same."""

    def test_a_restart_changes_nothing(self, shop: Shop) -> None:
        """Nothing is kept in objects: a new process after each step makes the same of it."""
        everything = crowd(one_of_each(shop), 2)

        def check(history: list[Draft]) -> None:
            half = len(everything) + len(history) // 2
            history = [*everything, *history]
            with shop.opened() as crm:
                shop.play(crm, history[:half], days=0, settled=False)
                shop.play(crm, history[half:])
                settle(crm)
                expected = snapshot(crm)
            with shop.database() as url:
                with shop.opened(url=url) as crm:
                    shop.play(crm, history[:half], days=0, settled=False)
                    now = clock_of(crm).now()
                with shop.opened(url=url, at=now) as crm:
                    shop.play(crm, history[half:])
                    found = snapshot(crm)
            told = difference(expected.tables, found.tables)
            if told:
                raise shop.broken(
                    "a restart in the middle of a history changes the result, so something is "
                    "kept in the plugin's object, or on_started does something twice; keep state "
                    f"of customers in tables\n{told}"
                )

        shop.over(check, examples=max(2, shop.examples // 3), least=4)

    def test_remembers_nothing_in_memory(self, any_shop: Shop) -> None:
        """What its object and its modules hold stays as it is while a shop goes on."""
        shop = any_shop
        kept = re.compile(rf"\.({'|'.join(map(re.escape, self.held)) or '(?!)'})\b")
        day = next(_STARTS)
        with shop.opened(at=to_instant(START) + day * DAY) as crm:
            _start_counting_elsewhere(crm, day)
            plugin = crm.plugin(shop.subject.cls)
            shop.play(crm, crowd(one_of_each(shop), 2, day=day), days=2)
            before = contents_of(plugin)
            shop.play(crm, crowd(one_of_each(shop), 3, day=day + 3, first=2), days=2)
            after = contents_of(plugin)
        for name, held in after.items():
            if held != before.get(name, held) and not kept.search(name):
                raise shop.broken(
                    f"{name} changes in memory as things happen; a rollback does not take that "
                    "back, and another process does not see it, so keep state of customers in "
                    "tables; and if it is a cache that changes no answer, say so: "
                    f"held = {{{name.rpartition('.')[2]!r}: '...'}}"
                )


def _start_counting_elsewhere(crm: Crm, day: int) -> None:
    """Let customers have ids that those of no shop before had."""
    row = {"customer_id": day * 1000, "recorded_at": 0, "reference": "", "bucket": 0}
    with crm.runtime.database.begin() as connection:
        connection.change(insert(customer).values(**row))
