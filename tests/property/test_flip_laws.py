"""When time alone changes who is in which segment: the statement is never later than the oracle."""

from __future__ import annotations

from functools import cache

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from crmcore import Crm, VirtualClock
from crmcore.domain.clock import DAY
from crmcore.domain.segments.flips import delays, next_flip
from crmcore.domain.segments.oracle import Known, Oracle
from crmcore.domain.segments.parser import parse
from tests.support.databases import scratch
from tests.support.histories import START, instant
from tests.support.segments import (
    FAMILIES,
    LAST_DAY,
    Profile,
    accounts,
    draft_of,
    happenings,
    segments,
)

histories = st.lists(happenings(), min_size=1, max_size=20)
some = segments().filter(lambda tree: "tiering." not in repr(tree))
trees = st.lists(
    some.filter(lambda tree: 'segment("named")' not in repr(tree)), min_size=1, max_size=4
)
BORDERS = (
    "orders then not orders within 7 days",
    "days_since(orders.first) == 7 or not orders(days=30).last after 3 hours ago",
    "orders.last before 90 days ago",
    'carts(hours=1, channel="web").count >= 2',
)
moments = st.lists(
    st.tuples(st.integers(-1, LAST_DAY + 100), st.sampled_from((-1, 0, 1, 3_600_000_000))),
    min_size=5,
    max_size=8,
)


@pytest.mark.each_database(partitioned=False)
@settings(max_examples=25)
@given(history=histories, drawn=trees, at=moments)
def test_statement_is_never_late(history, drawn, at):
    """
    For each customer it gives an instant after now, and no flip of the oracle's comes before it.

    Where the oracle knows none, there may be one at which nothing changes; where there is none,
    the oracle knows none.
    """
    named = {"named": "orders", **{f"s{n}": tree for n, tree in enumerate([*drawn, *BORDERS])}}
    with Crm(
        scratch(),
        plugins=[Profile()],
        clock=VirtualClock(instant(START) + 300 * DAY),
        durable=False,
        segments=named,
        families=FAMILIES,
    ) as crm:
        crm.record_many([draft_of(n, who, fact) for n, (who, fact) in enumerate(history)])
        found_ids = {who: crm.find_customer(accounts()[who]) for who, _ in history}
        ids = {who: each for who, each in found_ids.items() if each is not None}
        service = crm._parts.segments
        # Traits that read the clock change at midnights, and are not asked about here.
        names = evolve(service.registry.names, moving=frozenset())
        for day, step in at:
            now = instant(START) + day * DAY + step
            with crm._read() as unit:
                found = service.next_flips(unit.connection, now, tuple(named), list(ids.values()))
            for who, customer in ids.items():
                known = Known([fact for each, fact in history if each == who])
                flips = [
                    next_flip(each.condition, names, known, now) for each in crm.segments.values()
                ]
                expected = min((flip for flip in flips if flip is not None), default=None)
                given_at = found.get(customer)

                assert given_at is None or given_at > now
                assert expected is None or (given_at is not None and given_at <= expected)


@settings(max_examples=100)
@given(history=histories, tree=some, day=st.integers(-1, LAST_DAY + 100))
def test_nothing_changes_before_a_delay_is_over(history, tree, day):
    """Between two instants at which a fact's delay is over, the answer stays as it is."""
    tree = parse(repr(tree).replace("profile.is_grown", "profile.is_vip"))
    names = _names()
    known = Known([fact for _, fact in history])
    now = instant(START) + day * DAY
    lengths = delays(tree, names)
    instants = sorted(
        fact.occurred_at + length for fact in known.facts for length in lengths.get(fact.kind, ())
    )
    ahead = [each for each in instants if each > now]

    until = ahead[0] - 1 if ahead else now + 500 * DAY
    answers = {Oracle(names, known, each).holds(tree) for each in (now, (now + until) // 2, until)}
    assert 1 == len(answers)


@cache
def _names():
    with Crm(
        "sqlite://",
        plugins=[Profile()],
        segments={"named": "orders.count >= 2"},
        families=FAMILIES,
    ) as crm:
        return crm._parts.segments.registry.names
