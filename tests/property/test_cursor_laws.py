"""Laws of telling: nothing is lost, order is kept, and nobody waits for another."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crmcore import VirtualClock
from tests.support.making import draft, plugin, us
from tests.support.runs import opened

pytestmark = pytest.mark.each_database

DAY = us(1) - us(0)

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("record"), st.lists(st.integers(1, 4), min_size=1, max_size=5)),
        st.tuples(st.just("deaf"), st.sets(st.integers(1, 4))),
        st.tuples(st.just("work"), st.none()),
        st.tuples(st.just("day"), st.none()),
        st.tuples(st.just("forget"), st.none()),
    ),
    min_size=1,
    max_size=14,  # so few that nobody is parked
)


class Shop:
    """A shop whose customers are 1 to 4, and what a plugin that is sometimes deaf was told."""

    def __init__(self) -> None:
        self.recorded: list[tuple[int, str]] = []
        self.heard: list[tuple[int, str]] = []
        self.deaf: set[int] = set()
        self.forgot = False

    def hear(self, ctx: Any, event: Any) -> None:
        told = [(int(item.thread), item.source_key) for item in event]
        if self.deaf & {customer for customer, _ in told}:
            raise ValueError("told to fail")
        self.heard += told

    def do(self, crm: Any, clock: VirtualClock, step: tuple[str, Any]) -> None:
        match step:
            case "record", customers:
                new = [(c, f"k{len(self.recorded) + n}") for n, c in enumerate(customers)]
                crm.record_many(
                    draft("order.placed", key=key, email=f"c{c}", thread=str(c)) for c, key in new
                )
                self.recorded += new
            case "deaf", customers:
                self.deaf = set(customers)
            case "work", _:
                before = list(self.heard)
                crm.worker().once()
                told = self.heard[len(before) :]
                assert not self.deaf & {customer for customer, _ in told}
            case "day", _:
                clock.advance_to(clock.now() + DAY)
            case "forget", _:  # as when a worker dies before it can note what it has told
                self.forgot = True
                with crm.begin() as tx:
                    tx.connection.sqlalchemy.exec_driver_sql(
                        "UPDATE crm_cursor SET position_xid = 0, position_id = 0"
                    )


@given(STEPS)
@settings(max_examples=30)
def test_everything_is_told_in_order(steps):
    """Whoever fails, and whenever, in the end all is told, each customer's in order; once."""
    shop = Shop()
    ears = plugin("ears", after_interactions_recorded=shop.hear)
    with opened([ears]) as (crm, clock):
        for step in steps:
            shop.do(crm, clock, step)
        shop.deaf = set()
        clock.advance_to(clock.now() + DAY)
        crm.worker().once()
        assert {} == dict(crm.backlog())

    firsts = list(dict.fromkeys(shop.heard))
    for customer in range(1, 5):
        assert [item for item in shop.recorded if item[0] == customer] == [
            item for item in firsts if item[0] == customer
        ]
    if not shop.forgot:
        assert len(shop.recorded) == len(shop.heard)
