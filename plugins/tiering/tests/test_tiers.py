"""Tiers against a plain reading of the two schemes."""

import attrs
import pytest
from crmcore_tiering import Tiering
from crmcore_tiering.grading import Grading
from crmcore_tiering.tables import tier, total
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.each_database(partitioned=False)

NOW = 1000
AMOUNTS = st.integers(-50, 50) | st.integers(0, 10**9)
TIERS = st.sampled_from([None, "A", "B", "C"])


@attrs.frozen
class Person:
    """A customer's totals, and the tier held since *since*."""

    net: int
    orders: int = 1
    last: int | None = 0
    tier: str | None = None
    since: int = 1


people = st.lists(
    st.builds(Person, AMOUNTS, st.integers(0, 4), st.integers(0, 4), TIERS)
    | st.builds(Person, AMOUNTS, st.integers(-1, 0), st.none(), TIERS),
    max_size=25,
)


def reviewed(sheet, plugin, customers):
    """Put *customers* into the tables, numbered from 1, and return who changes tier."""
    for number, person in enumerate(customers, start=1):
        row = {"customer_id": number, "orders": person.orders, "net_minor": person.net}
        sheet.write(total, [row | {"first_order_at": person.last, "last_order_at": person.last}])
        if person.tier:
            given_ = {"tier": person.tier, "since": person.since, "scheme": "x", "position": 0}
            given_ |= {"place": "ABC".index(person.tier)}
            sheet.write(tier, [{"customer_id": number, "caused_by": None} | given_])
    found = sheet.execute(plugin._reviews.changes(total), at=NOW)
    return {row[0]: Grading.of(row) for row in found}


def kept_or_plain(held, position, a, b, band, *, best):
    """Return the tier by *position*, of which *best* (max or min) is the better of two."""

    def within(border, above):
        """Who is above the border already is measured at its far side."""
        better = 1 if best is max else -1
        shift = 0 if held is None else -band if held in above else band
        met = border + better * shift
        return position >= met if best is max else position < met

    return "A" if within(a, "A") else "B" if within(b, "AB") else "C"


def expected_pareto(customers, a=80, b=95, band=2):
    buyers = {n: p for n, p in enumerate(customers, start=1) if p.last is not None}
    revenue = sum(max(0, p.net) for p in buyers.values())
    found = {}
    for number, person in buyers.items():
        above = sum(p.net for p in buyers.values() if p.net > max(0, person.net))
        # Percent of the revenue, times the revenue: all in whole numbers.
        position = above * 100 if revenue else 10**18
        borders = (a * revenue, b * revenue, band * revenue)
        new = kept_or_plain(person.tier, position, *borders, best=min)
        if new != person.tier:
            found[number] = new
    return found


def expected_rfm(customers, a=13, b=8, band=1):
    buyers = {n: p for n, p in enumerate(customers, start=1) if p.last is not None}
    revenue = sum(max(0, p.net) for p in buyers.values())
    found = {}
    for number, person in buyers.items():
        score = 0
        for measure in (lambda p: p.last, lambda p: p.orders, lambda p: p.net):
            better = sum(measure(p) > measure(person) for p in buyers.values())
            score += 5 - 5 * better // len(buyers)
        new = kept_or_plain(person.tier, score if revenue else -1, a, b, band, best=max)
        if new != person.tier:
            found[number] = new
    return found


@given(customers=people)
def test_pareto(open_sheet, customers):
    """The statement finds the changes that a plain reading finds."""
    with open_sheet() as sheet:
        found = reviewed(sheet, Tiering(), customers)

        assert expected_pareto(customers) == {n: g.to_tier for n, g in found.items()}


@given(customers=people, a=st.integers(10, 40), b=st.integers(60, 90), band=st.integers(0, 9))
def test_pareto_borders(open_sheet, customers, a, b, band):
    """The settings move the borders."""
    plugin = Tiering(a_percent=a, b_percent=b, band_percent=band)
    with open_sheet() as sheet:
        found = reviewed(sheet, plugin, customers)

        assert expected_pareto(customers, a, b, band) == {n: g.to_tier for n, g in found.items()}


@given(customers=people)
def test_rfm(open_sheet, customers):
    """The statement finds the changes that a plain reading finds."""
    with open_sheet() as sheet:
        found = reviewed(sheet, Tiering(scheme="rfm"), customers)

        assert expected_rfm(customers) == {n: g.to_tier for n, g in found.items()}


@given(customers=people, scheme=st.sampled_from(["pareto", "rfm"]))
def test_equal_customers(open_sheet, customers, scheme):
    """Customers with equal numbers and tiers get equal tiers, whatever their ids."""
    twice = [*customers, *customers[::-1]]
    with open_sheet() as sheet:
        found = reviewed(sheet, Tiering(scheme=scheme), twice)
        new = [found[n].to_tier if n in found else None for n in range(1, len(twice) + 1)]

        assert new == new[::-1]


def test_evidence_of_pareto(sheet):
    """A change carries the numbers that made it, and the money with which tiers began."""
    customers = [Person(600), Person(200), Person(150), Person(50), Person(-40, tier="B")]

    found = reviewed(sheet, Tiering(), customers)

    assert {1: "A", 2: "A", 3: "B", 4: "C", 5: "C"} == {n: g.to_tier for n, g in found.items()}
    assert (
        Grading(
            customer_id=5,
            from_tier="B",
            to_tier="C",
            orders=1,
            net_minor=-40,
            customers=5,
            above_minor=1000,
            revenue_minor=1000,
            a_from_minor=200,
            b_from_minor=150,
            recency=None,
            frequency=None,
            monetary=None,
            since=1,
        )
        == found[5]
    )


def test_evidence_of_rfm(sheet):
    """A change carries the three quintiles; equal customers share the best of their ranks."""
    customers = [
        Person(net, orders, last) for net, orders, last in [(9, 1, 5), (5, 3, 1), (5, 2, 3)]
    ]

    found = reviewed(sheet, Tiering(scheme="rfm"), customers)

    assert [(5, 2, 5), (2, 5, 4), (4, 4, 4)] == [
        (g.recency, g.frequency, g.monetary) for g in found.values()
    ]


@pytest.mark.parametrize("scheme", ["pareto", "rfm"])
@pytest.mark.parametrize("held", [None, "A"])
def test_no_revenue(sheet, scheme, held):
    """While nobody has brought anything, everyone is in the lowest tier."""
    found = reviewed(sheet, Tiering(scheme=scheme), [Person(0, tier=held), Person(-5, tier=held)])

    assert ["C", "C"] == [g.to_tier for g in found.values()]


@pytest.mark.parametrize("scheme", ["pareto", "rfm"])
def test_nobody(sheet, scheme):
    """A shop without customers has nothing to review."""
    assert {} == reviewed(sheet, Tiering(scheme=scheme), [])


@pytest.mark.parametrize("since", [NOW, NOW + 1])
def test_once_at_an_instant(sheet, since):
    """A tier given at the instant of the review, or later, stays."""
    assert {} == reviewed(sheet, Tiering(), [Person(10, tier="C", since=since)])


class TestHysteresis:
    """One customer swings around the border between A and B, which lies at 80 percent."""

    @staticmethod
    def follow(sheet, percents):
        """Return the tiers of a customer above whom each of *percents* of the revenue lies."""
        tiers: list[str] = []
        for percent in percents:
            customers = [
                Person(percent * 100),
                Person((100 - percent) * 100, tier=next(iter(tiers[-1:]), None)),
            ]
            found = reviewed(sheet, Tiering(), customers)
            tiers.append(found[2].to_tier if 2 in found else tiers[-1])
        return tiers

    def test_inside_the_band(self, sheet):
        """Within the band the customer keeps the tier, though the plain border is crossed."""
        assert ["A"] * 6 == self.follow(sheet, [79, 81, 79, 80, 81, 78])

    def test_inside_the_band_from_below(self, sheet):
        """The band works on both sides: whoever starts below the border stays below."""
        assert ["B"] * 6 == self.follow(sheet, [80, 79, 81, 78, 80, 79])

    def test_outside_the_band(self, sheet):
        """Beyond the band the customer moves once, and back only beyond the other side."""
        assert list("ABBBAAA") == self.follow(sheet, [79, 82, 81, 78, 77, 79, 81])
