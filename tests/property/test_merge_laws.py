"""What is promised of merges, over random histories with every installed plugin."""

from __future__ import annotations

import itertools
import random
from contextlib import contextmanager
from typing import Any

import pytest
from crmcore_tiering import Tiering

from crmcore import Crm, VirtualClock
from crmcore.persistence.cursors import backlog
from crmcore.persistence.merges import match, relation
from tests.support.histories import START, instant
from tests.support.making import rows
from tests.support.merging import Forgetful, Notes, Shop, database_of, difference, dump, put
from tests.support.plugins import Books, Cases, Echo, Strict
from tests.support.snapshots import difference as compared
from tests.support.snapshots import snapshot

# Derived rows may become fewer as time goes on, and timers fire.
DERIVED = {table.table.name for cls in (Tiering, Books) for table in cls.tables}
# How many histories, and how many merges they undo at least: with the slow ones more than 600.
UNTOUCHED = [
    ("sqlite", 6, 50),
    ("postgresql", 2, 10),
    ("partitioned", 1, 3),
    pytest.param("sqlite", 40, 430, marks=pytest.mark.slow),
    pytest.param("postgresql", 6, 50, marks=pytest.mark.slow),
]
BETWEEN = [
    ("sqlite", 4, 20),
    ("postgresql", 1, 4),
    pytest.param("sqlite", 20, 110, marks=pytest.mark.slow),
    pytest.param("postgresql", 5, 25, marks=pytest.mark.slow),
]


@contextmanager
def shop(kind, folder, seed, *, failing=False, **options):
    """Open a shop with every plugin there is, and a history of some weeks."""
    chance = random.Random(seed)
    folder = folder / f"{seed}"
    folder.mkdir()
    clock = VirtualClock(instant(START))
    books = Forgetful(chance=random.Random(seed)) if failing else Books(reviews=False)
    plugins = [
        Tiering(review_every_days=chance.choice((7, 30)), **options),
        books,
        Echo(),
        Notes(),
        Cases(),
        Strict(of_ten=2),
    ]
    with (
        database_of(kind, folder) as url,
        Crm(url, plugins=plugins, clock=clock, secret="law", durable=False) as crm,
    ):
        yield crm, clock, Shop(chance)


def live(crm, clock, made, count, *, by_id=False):
    """Let some things happen, and time run to the last of them."""
    record = []
    for _ in range(count):
        draft = made.draft(by_id=by_id)
        clock.advance_to(max(clock.now(), instant(draft.occurred_at)))
        crm.run_due()
        crm.record(draft)
        record.append(draft)
        made.learn(crm)
    return record


def entangle(crm, made):
    """Give customers relations, proposals and backlogs, some of which stand in others' way."""
    ids, chance = sorted(made.ids.values()), made.chance
    pairs = list(itertools.combinations(ids, 2))
    related = {
        (a, chance.choice(("child_of", "referred_by")), b) for a, b in chance.sample(pairs, 6)
    }
    related |= {(b, name, a) for a, name, b in list(related)[:2]}
    put(crm, relation, [(*each, 7) for each in sorted(related)])
    put(
        crm,
        match,
        [
            (a, b, chance.choice(("open", "rejected")), '{"email": 1}', 5, None, None)
            for a, b in chance.sample(pairs, 5)
        ],
    )
    put(
        crm,
        backlog,
        [
            ("notes", "after", c, 0, chance.randint(1, 9), chance.randint(0, 3), 5, None)
            for c in chance.sample(ids, 3)
        ],
    )


def two(made, gone=()):
    """Choose two customers who are not merged into anybody."""
    return made.chance.sample([c for c in sorted(made.ids.values()) if c not in gone], 2)


def counts(crm):
    """Return how many rows each table has, those of the log of merges included."""
    return {name: rows.total() for name, rows in dump(crm).items()}


@pytest.mark.parametrize(("kind", "histories", "expected"), UNTOUCHED)
def test_merge_then_unmerge_is_identity(tmp_path, kind, histories, expected):
    """Chains of merges, undone last-first, leave every row of every table as it was."""
    undone = 0
    for seed in range(histories):
        with shop(kind, tmp_path, seed, failing=seed % 2 == 1) as (crm, clock, made):
            live(crm, clock, made, 40)
            entangle(crm, made)
            for _ in range(4):
                before: list[Any] = []
                gone: list[int] = []
                merges: list[int] = []
                for _ in range(made.chance.randint(1, 5)):
                    survivor, merged = two(made, gone)
                    before.append(dump(crm))
                    merges.append(crm.merge(survivor, merged).id)
                    gone.append(merged)
                for merge_id in reversed(merges):
                    crm.unmerge(merge_id)
                    undone += 1
                    assert "" == difference(before.pop(), dump(crm)), (seed, merge_id)
                live(crm, clock, made, 5)
    assert undone >= expected, f"{undone} merges were undone"


@pytest.mark.parametrize(("kind", "histories", "expected"), BETWEEN)
def test_what_came_between_goes_where_it_belongs(tmp_path, kind, histories, expected):
    """
    Merges with things recorded in between end where a shop without merges ends.

    Rows that came by an identifier, or by an id, belong to whom they belong to there; no table
    has lost a row; and what is derived is what a rebuild makes of it, at every point.
    """
    undone = 0
    for seed in range(100, 100 + histories):
        with shop(kind, tmp_path, seed) as (crm, clock, made):
            record = live(crm, clock, made, 40)
            entangle(crm, made)
            for _ in range(2):
                before: list[Any] = []
                gone: list[int] = []
                merges: list[int] = []
                for _ in range(made.chance.randint(2, 5)):
                    survivor, merged = two(made, gone)
                    before.append(counts(crm))
                    merges.append(crm.merge(survivor, merged).id)
                    gone.append(merged)
                    record += live(crm, clock, made, 4, by_id=made.chance.random() < 0.3)
                assert_rebuilt_equals_live(crm)
                for merge_id in reversed(merges):
                    crm.unmerge(merge_id)
                    undone += 1
                    record += live(crm, clock, made, 2)
                    after, least = counts(crm), before.pop()
                    for name in least.keys() - {
                        "crm_timer",
                        "crm_stage",
                        "crm_stage_change",
                        *DERIVED,
                    }:
                        assert least[name] <= after[name], (seed, name)
                assert_rebuilt_equals_live(crm)
            found = ownership(crm)
        with shop("sqlite", tmp_path, 1000 + seed) as (twin, twin_clock, _):
            for draft in record:
                twin_clock.advance_to(max(twin_clock.now(), instant(draft.occurred_at)))
                twin.record(draft)

            assert ownership(twin) == found, seed
    assert undone >= expected, f"{undone} merges were undone"


def assert_rebuilt_equals_live(crm):
    before = snapshot(crm).derived_tables
    crm.rebuild()
    assert "" == compared(before, snapshot(crm).derived_tables)


def ownership(crm):
    """Return whose each interaction the shop reported is, and whose each identifier."""
    observed = "SELECT source_key, customer_id FROM crm_interaction WHERE origin = 'observed'"
    named = "SELECT scheme, identifier_value, customer_id FROM crm_identifier"
    return dict(rows(crm, observed)), sorted(rows(crm, named))
