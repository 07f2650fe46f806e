"""Current values against a plain reading of the policies."""

from typing import Any

import pytest
from attrs import evolve
from crmcore_profile.attributes import Attribute
from crmcore_profile.current import current_values, value_of
from crmcore_profile.tables import statement
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select

pytestmark = pytest.mark.each_database(partitioned=False)

CITY = Attribute(name="city")
LIKES = Attribute(name="likes", many=True)
TRUST = {"declared": 3, "observed": 2, "inferred": 1}


def said(value, as_of=10, *, origin="declared", confidence=100, attribute="city", **more):
    """Return a statement as the table has it."""
    return {
        "customer_id": 1,
        "attribute": attribute,
        "origin": origin,
        "value": value,
        "confidence": confidence,
        "as_of": as_of,
        "stated_at": as_of,
        "source": "shop",
        **more,
    }


def numbered(rows):
    """Return statements with ids in the order in which they arrived."""
    return [{**row, "interaction_id": n} for n, row in enumerate(rows, start=1)]


def values(sheet, rows, attribute=CITY):
    """Return the values that count, each with the number of the statement that says so."""
    sheet.write(statement, numbered(rows))
    current = current_values([attribute]).c
    found = select(current.value, current.interaction_id).order_by(current.value)
    return sheet.execute(found)


class TestPolicies:
    """Which of several statements counts."""

    @pytest.mark.parametrize(
        ("policy", "expected"),
        [("newest", ("Genf", 3)), ("most_trusted", ("Bern", 2)), ("most_frequent", ("Chur", 5))],
    )
    def test_policy(self, sheet, policy, expected):
        """The newest, the most trusted, or what was stated most often."""
        rows = [
            said("Chur", 1, origin="observed"),
            said("Bern", 20),
            said("Genf", 30, origin="inferred", confidence=99),
            said("Chur", 2, origin="inferred", confidence=1),
            said("Chur", 3, origin="observed"),
        ]

        assert [expected] == values(sheet, rows, evolve(CITY, policy=policy))

    def test_confidence(self, sheet):
        """Of equally trusted ones the surer counts, and then the newer."""
        rows = [
            said("Bern", 20, origin="inferred", confidence=60),
            said("Chur", 10, origin="inferred", confidence=70),
            said("Genf", 11, origin="inferred", confidence=70),
        ]

        assert [("Genf", 3)] == values(sheet, rows, evolve(CITY, policy="most_trusted"))

    def test_corrected(self, sheet):
        """Of two statements about one time, the later said one counts."""
        rows = [said("Bern", 10, stated_at=50), said("Genf", 10, stated_at=40)]

        assert [("Bern", 1)] == values(sheet, rows)

    def test_unfit(self, sheet):
        """A value that does not fit never counts, however new it is."""
        year = Attribute(name="city", type="date")

        assert [("2024-05-17", 1)] == values(sheet, [said("2024-05-17"), said("May", 99)], year)

    def test_policies_apart(self, sheet):
        """Each attribute goes by its own policy, when all are asked for at once, too."""
        rows = [said("Bern", 1), said("Chur", 2, origin="observed")]
        rows += [{**row, "attribute": "town"} for row in rows]
        rows += [{**row, "attribute": "likes"} for row in rows[:2]]
        sheet.write(statement, numbered(rows))
        town = Attribute(name="town", policy="most_trusted")
        current = current_values([CITY, town, LIKES]).c
        asked = select(current.attribute, current.value).order_by("attribute", "value")

        assert [("city", "Chur"), ("likes", "Bern"), ("likes", "Chur"), ("town", "Bern")] == (
            sheet.execute(asked)
        )


class TestTakenBack:
    """What a customer takes back no longer counts, unless it is stated anew."""

    def test_all(self, sheet):
        """All that was stated by then is gone, in the same instant, too."""
        rows = [said("Bern", 1), said("Genf", 5), said("", 5, origin="withdrawn")]

        assert [] == values(sheet, rows)
        assert [("Chur", 4)] == values(sheet, [*rows, said("Chur", 6)])

    def test_one(self, sheet):
        """Of many values only the one named is gone."""
        rows = [said("tea"), said("tennis"), said("tea", 11, origin="withdrawn")]
        likes = [{**row, "attribute": "likes"} for row in rows]

        assert [("tennis", 2)] == values(sheet, likes, LIKES)
        assert [("tea", 4), ("tennis", 2)] == values(
            sheet, [*likes, said("tea", 12, attribute="likes")], LIKES
        )


class TestMany:
    """Attributes with several values."""

    def test_joined(self, sheet):
        """All values stand in the trait, each once, in the order of their bytes."""
        rows = [said(each, attribute="likes") for each in ("tea", "Zen", "tea", "über", "art")]
        sheet.write(statement, numbered(rows))
        table = value_of(LIKES)

        assert [(1, "Zen, art, tea, über")] == sheet.execute(select(table))


# -- against a plain reading -----------------------------------------------------------------------


def counted(rows, attribute):
    """Return customer, value and what decides, read as the README says it."""
    found = {}
    for who in {row["customer_id"] for row in rows}:
        mine = [row for row in rows if row["customer_id"] == who]
        back = [(row["value"], row["as_of"]) for row in mine if row["origin"] == "withdrawn"]
        stands = [
            row
            for row in mine
            if row["origin"] != "withdrawn"
            and not any(v in ("", row["value"]) and at >= row["as_of"] for v, at in back)
        ]
        often = [row["value"] for row in stands]

        def newest(row):
            return (row["as_of"], row["stated_at"], TRUST[row["origin"]], row["confidence"])

        def wins(row, often=often):
            trusted = (TRUST[row["origin"]], row["confidence"])
            return {
                "newest": newest(row),
                "most_trusted": (*trusted, *newest(row)),
                "most_frequent": (often.count(row["value"]), *newest(row)),
            }[attribute.policy]

        groups: Any = {row["value"]: [] for row in stands} if attribute.many else {"": []}
        for row in stands:
            groups[row["value"] if attribute.many else ""].append(row)
        for group in groups.values():
            best = max(map(wins, group), default=None)
            values = [row["value"] for row in group if wins(row) == best]
            if values:
                value = min(values)
                origin = next(r["origin"] for r in group if r["value"] == value and wins(r) == best)
                found[who, value] = origin
    return found


statements = st.lists(
    st.builds(
        said,
        st.sampled_from(["a", "b", "B", "é"]),
        st.integers(0, 4),
        origin=st.sampled_from(["declared", "declared", "observed", "inferred", "withdrawn"]),
        confidence=st.sampled_from([0, 50, 100]),
        customer_id=st.integers(1, 2),
        stated_at=st.integers(4, 6),
    ),
    max_size=12,
)
attributes = st.builds(
    Attribute,
    name=st.just("city"),
    many=st.booleans(),
    policy=st.sampled_from(["newest", "most_trusted", "most_frequent"]),
)


@settings(max_examples=66)
@given(rows=statements, attribute=attributes, wiped=st.booleans(), data=st.data())
def test_read_plainly(request, rows, attribute, wiped, data):
    """Whatever was stated, in whatever order it arrived, the same values count as read plainly."""
    sheet = request.getfixturevalue("sheet")
    if wiped:
        rows = [{**r, "value": ""} if r["origin"] == "withdrawn" else r for r in rows]
    arrived = data.draw(st.permutations(rows))
    sheet.write(statement, numbered(arrived))
    current = current_values([attribute]).c
    found = sheet.execute(select(current.customer_id, current.value, current.origin))

    assert counted(rows, attribute) == {(who, value): origin for who, value, origin in found}
    assert len(found) == len({row[:2] for row in found})
