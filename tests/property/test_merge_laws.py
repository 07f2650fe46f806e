"""What is promised of merges, over random histories with every installed plugin."""

from __future__ import annotations

import itertools
import random
from contextlib import contextmanager
from typing import Any

import pytest
from crmcore_tiering import Tiering

from crmcore import Crm, VirtualClock
from crmcore.domain.message import STATES
from crmcore.persistence.cursors import backlog
from crmcore.persistence.merges import match, relation
from crmcore.persistence.messages import attempt, message
from crmcore.persistence.privacy import access
from crmcore.persistence.tasks import task
from crmcore.testing.dumps import difference, dump
from crmcore.testing.snapshots import difference as compared
from crmcore.testing.snapshots import snapshot
from tests.support.histories import START, instant
from tests.support.making import rows
from tests.support.merging import Forgetful, Notes, Shop, database_of, put
from tests.support.plugins import Books, Cases, Echo, Strict

# Derived rows may become fewer as time goes on, and timers fire.
DERIVED = {table.table.name for cls in (Tiering, Books) for table in cls.tables}
# What is claimed is claimed anew after a merge, and after it was undone.
UNCLAIMED = [state for state in STATES if state != "claimed"]
QUIETING = ("crm_consent", "crm_brake", "crm_zone", "crm_withheld")
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
    put(crm, task, [task_of(crm, n, chance, ids) for n in range(1, 21)])
    put(crm, access, [access_of(n, chance, ids) for n in range(1, 21)])
    _messages(crm, made, ids)


def task_of(crm, number, chance, ids):
    """Return a task, of a key that others may have, too, and that is open, done or goes on."""
    who = ids[number % len(ids)]
    done = (5, "staff:grace", "done", None) if chance.random() < 0.3 else (None,) * 4
    later = (crm.runtime.clock.now() + 5, "leads") if chance.random() < 0.3 else (None, None)
    key = f"{chance.randint(0, 2)}/{number // len(ids)}"
    texts = ("title", chance.choice((None, "note")), chance.choice((None, "grace")))
    return (number, who, who, "notes", key, *texts, 5, None, *later, None, *done, None, 0)


def access_of(number, chance, ids):
    """Return a note of somebody who looked at somebody, or at nobody in particular."""
    who = chance.choice([*ids, 0])
    outcome = chance.choice(("allowed", "refused"))
    return (number, number, "staff:grace", "clerk", "read", outcome, who, who, "email", None)


def _messages(crm, made, ids):
    """Give customers messages in every state, of keys that several of them have."""
    chance, number = made.chance, itertools.count(made.number * 100 + 1)
    columns, rows, attempts = message.columns.keys(), [], []
    for customer_id in ids:
        for key in chance.sample(("news", "thanks", "reminder"), 2):
            state = chance.choice(UNCLAIMED)
            leased = state == "handed"
            again = state in ("planned", "deferred") and chance.random() < 0.3
            handed = again or state in ("handed", "accepted", "unknown")
            values = {
                "message_id": next(number),
                "customer_id": customer_id,
                "recorded_for": customer_id,
                "plugin": "",
                "message_key": f"{key}/{made.number}",
                "purpose": "news",
                "channel": "letter",
                "asks": 0,
                "priority": chance.randint(0, 2),
                "state": state,
                "gate": "consent" if state == "withheld" else None,
                "planned_at": 5,
                "not_before": 5,
                "attempt": int(handed),
                "lease": "l" if leased else None,
                "leased_until": 9 if leased else None,
                "handed_at": 7 if handed else None,
                "settled_at": 8 if state in ("accepted", "failed", "withheld") else None,
            }
            rows.append(tuple(values.get(name) for name in columns))
            if handed:
                tried = values["message_id"], 1, customer_id, "k", 7, None, None, None, None
                attempts.append(tried)
    put(crm, message, rows)
    put(crm, attempt, attempts)


def two(made, gone=()):
    """Choose two customers who are not merged into anybody."""
    return made.chance.sample([c for c in sorted(made.ids.values()) if c not in gone], 2)


def counts(crm):
    """Return how many rows each table has, those of the log of merges included."""
    return {name: rows.total() for name, rows in dump(crm).items()}


@pytest.mark.parametrize(("kind", "histories", "expected"), UNTOUCHED)
def test_merge_then_unmerge_is_identity(tmp_path, kind, histories, expected):
    """Chains of merges, undone last-first, leave every row of every table as it was."""
    undone = narrowed = braked = 0
    seen: set[str] = set()
    for seed in range(histories):
        with shop(kind, tmp_path, seed, failing=seed % 2 == 1) as (crm, clock, made):
            live(crm, clock, made, 60)
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
                seen |= {name for name in QUIETING if before[0][name]}
                narrowed += rows(crm, "SELECT count(*) FROM crm_consent WHERE merge_id > 0")[0][0]
                braked += rows(crm, "SELECT count(*) FROM crm_brake WHERE merge_id > 0")[0][0]
                for merge_id in reversed(merges):
                    crm.unmerge(merge_id)
                    undone += 1
                    assert "" == difference(before.pop(), dump(crm)), (seed, merge_id)
                live(crm, clock, made, 5)
    assert undone >= expected, f"{undone} merges were undone"
    assert set(QUIETING) == seen
    # What two said apart was not said together, and no brake of either was lifted by the other's.
    assert histories < 6 or min(narrowed, braked) > 0


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
