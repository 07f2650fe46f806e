"""The tables of tiers, made anew from the decisions in the ledger."""

import json

import pytest
from crmcore_tiering.history import PRESENT_TIERS, TIER_CHANGES
from crmcore_tiering.tables import tier, tier_change, tier_history
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

pytestmark = pytest.mark.each_database(partitioned=False)


def decided(customer, since, new, *, old="none", position=0, key="review", cause=None, **other):
    """Return a decision as the ledger holds it."""
    payload = {"from_tier": old, "to_tier": new, "scheme": "pareto", "position": position}
    payload |= {"place": "ABC".index(new)}
    payload |= {"a_from_minor": 500, "b_from_minor": None, "customers": 7, "border": None}
    return {
        "kind": "tier.changed",
        "customer_id": customer,
        "occurred_at": since,
        "source": "plugin:tiering",
        "source_key": f"{key}/{customer}",
        "caused_by": cause,
        "payload": json.dumps(payload),
    } | other


def folded(sheet, decisions):
    """Fold decisions, numbered as they arrived, and return the rows of both tables."""
    sheet.record(row | {"interaction_id": n} for n, row in enumerate(decisions, start=1))
    sheet.fold(TIER_CHANGES)
    sheet.fold(PRESENT_TIERS)
    return sheet.rows(tier), sheet.rows(tier_change)


def test_columns(sheet):
    """Every column is read from the decision, in its type."""
    present, changes = folded(sheet, [decided(1, 10, "B", old="C", position=812345, cause=77)])

    assert [(1, "B", 10, "pareto", 812345, 1, None, 77)] == present
    assert [(1, 10, "B", "C", "pareto", 812345, 1, None, 500, None, None, 77)] == changes


def test_others(sheet):
    """What somebody else records under the same name decides nothing."""
    strange = decided(1, 10, "A", source="shop")

    assert ([], []) == folded(sheet, [strange, decided(1, 11, "A", kind="other.kind")])


def test_history(sheet):
    """A tier ends when the next begins, and lasts while there is none."""
    folded(sheet, [decided(1, 30, "A"), decided(1, 10, "C"), decided(2, 20, "B")])
    history = sheet.execute(select(tier_history).order_by("customer_id", "from_instant"))

    assert [(1, "C", 10, 30), (1, "A", 30, None), (2, "B", 20, None)] == [r[:4] for r in history]


def test_merged(sheet):
    """Of two tiers of one instant, which only a merge brings about, the better one stays."""
    mine, theirs = decided(1, 10, "C", key="mine"), decided(1, 10, "B", key="theirs")

    present, changes = folded(sheet, [mine, theirs])

    assert ["B"] == [row[1] for row in present]
    assert ["B"] == [row[2] for row in changes]


decisions = st.lists(
    st.builds(
        decided,
        st.integers(1, 3),
        st.integers(0, 5),
        st.sampled_from("ABC"),
        position=st.integers(0, 3),
    ),
    max_size=20,
)


@given(decisions=decisions, data=st.data())
def test_adds_up(open_sheet, decisions, data):
    """Decisions in any order, folded in any number of parts, leave the same rows."""
    with open_sheet() as sheet:
        whole = folded(sheet, decisions)
    cuts = sorted(data.draw(st.sets(st.integers(1, 20))))
    arrived = data.draw(st.permutations(decisions))
    with open_sheet() as sheet:
        sheet.record(row | {"interaction_id": n} for n, row in enumerate(arrived, start=1))
        for low, high in zip([0, *cuts], [*cuts, 2**62], strict=True):
            sheet.fold(TIER_CHANGES, low + 1, high)
            sheet.fold(PRESENT_TIERS, low + 1, high)

        assert whole == (sheet.rows(tier), sheet.rows(tier_change))
