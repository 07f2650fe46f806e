"""What is promised of segments, over random ones and random histories."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from attrs import frozen
from crmcore_tiering import Tiering
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import insert

from crmcore import Crm, VirtualClock
from crmcore.domain.clock import DAY
from crmcore.domain.segments.dependencies import dependencies
from crmcore.domain.segments.flips import next_flip
from crmcore.domain.segments.forms import from_json, to_json
from crmcore.domain.segments.measured import measured_column
from crmcore.domain.segments.names import Names
from crmcore.domain.segments.oracle import Fact, Known, Oracle
from crmcore.domain.segments.parser import parse
from crmcore.domain.segments.tree import Compared, Condition, leaves
from crmcore.services.segments.segments import SegmentService
from tests.support.databases import scratch
from tests.support.histories import START, instant
from tests.support.segments import (
    FAMILIES,
    LAST_DAY,
    Profile,
    accounts,
    card,
    cards,
    draft_of,
    happenings,
    segments,
)

# Where random ones seldom come to a border.
BORDERS = (
    parse("orders then orders within 1 day"),
    parse("orders then not orders within 7 days"),
    parse("carts or views then carts then not orders within 1 day"),
    parse("days_since(orders.first) == 7 or not orders.last after 2024-01-09"),
    parse("profile.is_grown"),  # an expression, of a row that not everybody has
)
sometimes = st.sampled_from((False, False, True))
histories = st.lists(happenings(), min_size=1, max_size=25)
named = segments().filter(lambda tree: 'segment("named")' not in repr(tree))
many = st.lists(segments(), min_size=1, max_size=5)
END = instant(START) + (LAST_DAY + 1) * DAY
HOUR = 3_600_000_000
WINDOWS = (0, HOUR, DAY, 7 * DAY, 30 * DAY, 84 * DAY)
LENGTHS = {"hour": HOUR, "day": DAY, "week": 7 * DAY}
UNITS = re.compile(r"(\d+) (hour|day|week)")
WINDOW = re.compile(r"(hours|days|weeks)=(\d+)")


@frozen
class Shop:
    """A shop, and what is known of each of its customers by the history alone."""

    crm: Crm
    facts: dict[int, list[Fact]]
    traits: dict[int, dict[str, Any]]
    grown_at: dict[int, int]

    @property
    def service(self) -> SegmentService:
        return self.crm._parts.segments

    @property
    def names(self) -> Names:
        return self.service.registry.names

    def known(self, customer: int, now: int) -> Known:
        traits = dict(self.traits[customer])
        if customer in self.grown_at:
            traits["profile.is_grown"] = self.grown_at[customer] <= now
        return Known(self.facts[customer], traits)

    def expected(self, tree: Condition, now: int) -> list[int]:
        """Return who is in the segment, by the oracle."""
        checked = self.crm.segment(tree).condition
        return sorted(
            customer
            for customer in self.facts
            if Oracle(self.names, self.known(customer, now), now).holds(checked)
        )


@contextmanager
def opened(
    history: Sequence[tuple[int, Fact]],
    kept: Sequence[tuple[int, float, str, int]],
    of_named: Condition,
    *,
    merged: bool = False,
) -> Iterator[Shop]:
    """Open a shop with a history; if asked, a customer is merged into another, and one erased."""
    with Crm(
        scratch(),
        plugins=[Tiering(), Profile()],
        clock=VirtualClock(END + 30 * DAY),
        durable=False,
        segments={"named": of_named},
        families=FAMILIES,
    ) as crm:
        crm.record_many(
            [draft_of(number, customer, fact) for number, (customer, fact) in enumerate(history)]
        )
        found = {n: crm.find_customer(account) for n, account in enumerate(accounts())}
        ids = {n: each for n, each in found.items() if each is not None}
        facts: dict[int, list[Fact]] = {n: [] for n in ids}
        for customer, fact in history:
            facts[customer].append(fact)
        rows = [(ids[n], *row) for n, row in enumerate(kept) if n in ids]
        with crm.begin() as tx:
            tx.connection.insert_rows(insert(card), rows)
        if merged and len(facts) > 2:
            gone, survivor, erased, *_ = facts
            crm.merge(ids[survivor], ids[gone])
            facts[survivor] += facts.pop(gone)
            crm.erase(ids[erased])
            del facts[erased]
        yield Shop(
            crm,
            {ids[n]: each for n, each in facts.items()},
            {ids[n]: traits_of(crm, ids[n], kept[n : n + 1]) for n in facts},
            {ids[n]: kept[n][3] for n in facts if n < len(kept)},
        )


def traits_of(
    crm: Crm, customer: int, kept: Sequence[tuple[int, float, str, int]]
) -> dict[str, Any]:
    """Return the traits that do not change with time alone."""
    view = crm.customer(customer, most=0)
    found: dict[str, Any] = {"tiering.orders": view.traits["tiering.orders"]}
    for each in view.stages:
        if each.lifecycle == "relationship":
            found["stage.relationship"] = each.stage
    for vip, score, city, _ in kept:
        found |= {"profile.is_vip": bool(vip), "profile.score": score, "profile.city": city}
    return found


def moments(
    history: Sequence[tuple[int, Fact]], trees: Sequence[Condition], seed: int
) -> list[int]:
    """Return instants at which something may begin or end, and those just before and after."""
    lengths = {0}
    for number, unit in UNITS.findall(repr(trees)) + [
        (number, unit) for unit, number in WINDOW.findall(repr(trees))
    ]:
        lengths.add(int(number) * LENGTHS[unit.rstrip("s")])
    found = {
        fact.occurred_at + length + step
        for _, fact in history
        for length in lengths
        for step in (-1, 0, 1)
    }
    return random.Random(seed).sample(sorted(found), min(len(found), 30))


@pytest.mark.each_database(partitioned=False)
@settings(max_examples=15)
@given(data=st.data(), history=histories, trees=many, of_named=named, merged=sometimes)
def test_statement_and_oracle_agree(data, history, trees, of_named, merged):
    """
    The statement finds whom the oracle finds, alone, together with others, and among some.

    The oracle is told what happened by the history, not by the database; who was merged into
    another or erased is in no segment.
    """
    kept = data.draw(st.lists(cards(), max_size=3))
    trees = [*trees, *BORDERS]
    with opened(history, kept, of_named, merged=merged) as shop:
        together = shop.service.compiler.flags([shop.crm.segment(t).condition for t in trees])
        some = sorted(shop.facts)[::2]
        for now in moments(history, [*trees, of_named], len(history)):
            expected = [shop.expected(tree, now) for tree in trees]
            with shop.crm._read() as unit:
                found = [shop.service.members(unit.connection, tree, now) for tree in trees]
                among = [
                    shop.service.members_among(unit.connection, tree, some, now) for tree in trees
                ]
                rows = unit.connection.execute(together, now=now)

            assert (now, expected) == (now, found)
            assert (now, [{*each} & {*some} for each in expected]) == (now, among)
            flags = [sorted(row[0] for row in rows if row[n]) for n in range(1, len(trees) + 1)]
            assert (now, expected) == (now, flags)


@pytest.mark.each_database(partitioned=False)
@settings(max_examples=15)
@given(data=st.data(), history=histories, trees=many, of_named=named, merged=sometimes)
def test_measures(data, history, trees, of_named, merged):
    """What conditions compare is given for each member as the oracle has it, whatever it is."""
    kept = data.draw(st.lists(cards(), max_size=3))
    with opened(history, kept, of_named, merged=merged) as shop:
        checked = [shop.crm.segment(tree).condition for tree in (*trees, *BORDERS)]
        compared = [each for tree in checked for each in leaves(tree) if isinstance(each, Compared)]
        names = [measured_column(each, shop.names).name for each in compared]
        among = trees[0]
        for now in moments(history, [*trees, of_named], len(history))[:10]:
            oracles = {c: Oracle(shop.names, shop.known(c, now), now) for c in sorted(shop.facts)}
            expected = [
                (customer, *map(oracle.value, compared))
                for customer, oracle in oracles.items()
                if oracle.holds(checked[0])
            ]
            found = shop.crm.measures(names, among, at=now)

            assert (now, expected) == (now, found.rows)
            assert names == [column.name for column in found.columns]


@pytest.mark.each_database(partitioned=False)
@settings(max_examples=4)
@given(history=histories, trees=many, of_named=named)
def test_verdict(history, trees, of_named):
    """Why somebody is in a segment, or not, fits with whether they are; and something decides."""
    moment = moments(history, trees, len(history))[0]
    with opened(history, (), of_named) as shop:
        for tree in trees:
            expected = shop.expected(tree, moment)
            for customer in shop.facts:
                known = shop.known(customer, moment)
                verdict = shop.crm.why_in(customer, tree, at=moment)

                checked = shop.crm.segment(tree).condition
                assert (customer in expected) == verdict.is_member
                assert set(verdict.because) <= set(verdict.reasons)
                assert verdict.because
                assert next_flip(checked, shop.names, known, moment) == verdict.next_flip


def names_alone(of_named: Condition) -> Names:
    """Return what segments may speak of, without a database that has any customers."""
    with Crm(
        "sqlite://", plugins=[Tiering(), Profile()], segments={"named": of_named}, families=FAMILIES
    ) as crm:
        return crm._parts.segments.registry.names


NAMES = names_alone(parse('orders.count >= 2 or profile.city == "Rome"'))


@settings(max_examples=60)
@given(segments())
def test_text_round_trip(tree):
    """The text of a tree is parsed into that tree."""
    assert tree == parse(repr(tree))


@settings(max_examples=60)
@given(segments())
def test_json_round_trip(tree):
    """A tree comes back from JSON as it was."""
    assert tree == from_json(json.loads(json.dumps(to_json(tree))))


@settings(max_examples=100)
@given(data=st.data(), history=histories, tree=segments(), grown_at=st.integers(0, 130))
def test_next_flip(data, history, tree, grown_at):
    """Until the next flip the answer stays as it is, if nothing new happens."""
    facts = [fact for _, fact in history]
    moment = moments(history, [tree], data.draw(st.integers(0, 99)))[0]
    due = instant(START) + grown_at * DAY

    def holds(at: int) -> bool:
        known = Known(facts, {"profile.is_grown": due <= at})
        return Oracle(NAMES, known, at).holds(tree)

    flip = next_flip(tree, NAMES, Known(facts, {"profile.is_grown": due <= moment}), moment)
    last = END + 200 * DAY if flip is None else flip - 1
    later = {
        each.occurred_at + window + step
        for each in facts
        for window in WINDOWS
        for step in (-1, 0, 1)
    }
    instants = sorted({moment, last, *(at for at in later if moment < at <= last)})

    assert flip is None or moment < flip
    assert {holds(moment)} == {holds(at) for at in instants}


@settings(max_examples=100)
@given(data=st.data(), history=histories, tree=segments(), new=happenings())
def test_dependencies(data, history, tree, new):
    """A fact of a kind that a segment does not depend on changes nothing, whenever it is asked."""
    facts = [fact for _, fact in history]
    moment = moments(history, [tree], data.draw(st.integers(0, 99)))[0]
    _, fact = new
    asked = dependencies(tree, NAMES)

    before = Oracle(NAMES, Known(facts), moment).holds(tree)
    after = Oracle(NAMES, Known([*facts, fact]), moment).holds(tree)

    assert fact.kind in asked.kinds or before == after
    if not asked.by_time:
        later = moment + data.draw(st.integers(0, 300)) * DAY
        past = [each for each in facts if each.occurred_at <= moment]
        assert Oracle(NAMES, Known(past), moment).holds(tree) == Oracle(
            NAMES, Known(past), later
        ).holds(tree)
