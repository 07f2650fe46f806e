"""The table of statements, made of the ledger in any parts and any order."""

import pytest
from crmcore_profile.statements import STATEMENTS
from crmcore_profile.tables import statement
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.each_database(partitioned=False)


def stated(kind, number=1, at=100, *, attribute="city", value="Bern", customer=7, **more):
    """Return an interaction as the ledger holds it."""
    return {
        "interaction_id": number,
        "kind": f"profile.{kind}",
        "customer_id": customer,
        "occurred_at": at,
        "source_key": f"k{number}",
        "payload": {"attribute": attribute, **more},
        "personal": {} if value is None else {"value": value},
    }


def folded(sheet, *rows):
    sheet.record(rows)
    sheet.fold(STATEMENTS)
    return [row[2:8] for row in sheet.rows(statement)]


def test_columns(sheet):
    """Every column is read from the interaction, with the confidence that its origin has."""
    assert [
        ("city", "declared", "Bern", 100, 100, 100),
        ("city", "observed", "Bern", 100, 100, 100),
        ("city", "inferred", "Bern", 50, 100, 100),
        ("city", "inferred", "Bern", 0, 100, 100),
        ("city", "withdrawn", "", 100, 100, 100),
        ("city", "withdrawn", "Bern", 100, 90, 100),
    ] == folded(
        sheet,
        stated("declared"),
        stated("observed", 2),
        stated("inferred", 3),
        stated("inferred", 4, confidence=0),
        stated("withdrawn", 5, value=None),
        stated("withdrawn", 6, as_of=90),
    )


def test_as_of(sheet):
    """What is stated may have been so for long; of what is to be, it is known now only."""
    rows = folded(sheet, stated("declared", as_of=-5), stated("declared", 2, as_of=101))

    assert [-5, 100] == [row[4] for row in rows]


def test_erased(sheet):
    """What was erased states nothing, and takes nothing back."""
    gone = (stated("declared"), stated("withdrawn", 2))

    assert [] == folded(sheet, *({**each, "personal": None} for each in gone))


def test_zone(sheet):
    """Where the core was told that a customer lives, the profile knows, too."""
    moved = {**stated("x"), "kind": "customer.zone_changed", "personal": None}
    moved["payload"] = {"zone": "Europe/Bern"}

    assert [("zone", "observed", "Europe/Bern", 100, 100, 100)] == folded(sheet, moved)


def test_others(sheet):
    """Other kinds are no statements."""
    assert [] == folded(sheet, {**stated("asked")}, {**stated("x", 2), "kind": "order.placed"})


rows = st.lists(
    st.builds(
        stated,
        st.sampled_from(["declared", "observed", "inferred", "withdrawn", "asked"]),
        at=st.integers(0, 5),
        customer=st.integers(1, 3),
        confidence=st.none() | st.integers(0, 100),
    ),
    max_size=15,
)


@given(rows=rows, cuts=st.sets(st.integers(1, 15)))
def test_adds_up(open_sheet, rows, cuts):
    """Folded in any number of parts, the ledger leaves the same rows."""
    numbered = [{**row, "interaction_id": n} for n, row in enumerate(rows, start=1)]
    found = []
    for parts in ((), cuts):
        with open_sheet() as sheet:
            sheet.record(numbered)
            sheet.fold_in_parts(STATEMENTS, parts)
            found.append(sheet.rows(statement))

    assert found[0] == found[1]
