"""The same Core statements find the same customers in a snapshot, on DuckDB."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from crmcore_tiering import Tiering
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import insert

from crmcore import Crm, Snapshot, VirtualClock
from crmcore.domain.clock import DAY
from crmcore.domain.segments.parser import parse
from tests.support.databases import scratch
from tests.support.histories import START, instant
from tests.support.segments import (
    FAMILIES,
    Profile,
    accounts,
    card,
    cards,
    draft_of,
    happenings,
    segments,
)

pytestmark = pytest.mark.each_database(partitioned=False)


@settings(max_examples=20)
@given(data=st.data(), history=st.lists(happenings(), min_size=1, max_size=25))
def test_duckdb(data, history):
    """Whatever the segments and the history, a snapshot has the members that the database has."""
    trees = data.draw(st.lists(segments(), min_size=1, max_size=5))
    moment = data.draw(st.sampled_from(history))[1].occurred_at + data.draw(
        st.sampled_from((0, 1, 7 * DAY, 30 * DAY - 1, 84 * DAY))
    )
    kept = data.draw(st.lists(cards(), max_size=3))
    with (
        TemporaryDirectory() as folder,
        Crm(
            scratch(),
            plugins=[Tiering(), Profile()],
            clock=VirtualClock(instant(START) + 500 * DAY),
            segments={"named": parse('orders.count >= 2 or profile.city == "Rome"')},
            families=FAMILIES,
        ) as crm,
    ):
        crm.record_many([draft_of(number, *each) for number, each in enumerate(history)])
        ids = [crm.find_customer(account) for account in accounts()]
        rows = [(each, *row) for each, row in zip(ids, kept, strict=False) if each]
        with crm.begin() as tx:
            tx.connection.insert_rows(insert(card), rows)
        crm.snapshot(Path(folder, "s"), with_personal=True)
        conditions = [crm.segment(tree).condition for tree in trees]
        flags = crm._parts.segments.compiler.flags(conditions)
        expected = [crm.members(tree, at=moment) for tree in trees]

        with Snapshot(Path(folder, "s")) as snapshot:
            audiences = [crm.audience(tree, at=moment) for tree in trees]
            found = [sorted(row[0] for row in snapshot.execute(each)) for each in audiences]
            together = snapshot.execute(flags, now=moment)

    assert expected == found, audiences
    for number, members in enumerate(expected, start=1):
        assert members == sorted(row[0] for row in together if row[number]), trees[number - 1]
