"""Any number of tiers, and what keeps one, against a plain reading of the schemes."""

from typing import Any

import attrs
import pytest
from crmcore_tiering import Tiering
from crmcore_tiering.grading import Grading
from crmcore_tiering.method import Moment
from crmcore_tiering.tables import tier, total
from hypothesis import example, given
from hypothesis import strategies as st

pytestmark = pytest.mark.each_database(partitioned=False)

NOW = 1000
NAMES = ("gold", "silver", "bronze", "plain")
AMOUNTS = st.integers(-50, 60) | st.integers(0, 10**9)


@attrs.frozen
class Person:
    """A customer's totals, and the tier they have."""

    net: int
    tier: str | None = None
    orders: int = 1
    last: int = 0


people = st.lists(
    st.builds(
        Person,
        AMOUNTS,
        st.sampled_from([None, "elsewhere", *NAMES]),
        st.integers(0, 4),
        st.integers(0, 4),
    ),
    min_size=1,
    max_size=20,
)


def settings(scheme, borders, band):
    """Return a plugin with four tiers."""
    name = "score" if scheme == "rfm" else "percent"
    tiers = [{"name": n, name: b} for n, b in zip(NAMES, borders, strict=False)]
    return Tiering(scheme=scheme, tiers=[*tiers, {"name": NAMES[-1]}], **{f"band_{name}": band})


PARETO = ((40, 70, 90), 3)
RFM = ((13, 10, 6), 1)


def plain_tier(scheme, customers, number):
    """Return the tier that a customer gets, worked out one by one."""
    borders, band = PARETO if scheme == "pareto" else RFM
    me = customers[number]
    revenue = sum(max(0, p.net) for p in customers)
    held = NAMES.index(me.tier) if me.tier in NAMES else None
    if scheme == "rfm":
        position = 0
        for measure in (lambda p: p.last, lambda p: p.orders, lambda p: p.net):
            better = sum(measure(p) > measure(me) for p in customers)
            position += 5 - 5 * better // len(customers)
    else:
        position = 100 * sum(p.net for p in customers if p.net > max(0, me.net))
    for place, border in enumerate(borders):
        lenience = 0 if held is None else band if held <= place else -band
        if scheme == "rfm":
            if revenue and position >= border - lenience:
                return NAMES[place]
        elif position < (border + lenience) * revenue:
            return NAMES[place]
    return NAMES[-1]


def fill(sheet, customers):
    """Put customers into the tables, numbered from 0."""
    for number, person in enumerate(customers):
        row = {"customer_id": number, "orders": person.orders, "net_minor": person.net}
        sheet.write(total, [row | {"first_order_at": person.last, "last_order_at": person.last}])
        if person.tier:
            held = {"tier": person.tier, "since": 1, "scheme": "x", "position": 0, "place": 0}
            sheet.write(tier, [{"customer_id": number} | held])


def moment():
    nothing: Any = None  # no facts are asked for
    return Moment(nothing, total, tier, NOW, 0)


@given(customers=people, scheme=st.sampled_from(["pareto", "rfm"]))
def test_four_tiers(open_sheet, customers, scheme):
    """The statement finds the changes that a plain reading finds, from tiers gone by, too."""
    method = settings(scheme, *(PARETO if scheme == "pareto" else RFM))._reviews.method
    with open_sheet() as sheet:
        fill(sheet, customers)
        found = {g.customer_id: g.to_tier for g in method.gradings(sheet, moment())}

    new = {n: plain_tier(scheme, customers, n) for n in range(len(customers))}
    assert {n: name for n, name in new.items() if name != customers[n].tier} == found


def falls(scheme, customers, number, more=0):
    """Return whether a customer who brought that much more would get a worse tier."""
    me = customers[number]
    changed = [*customers]
    changed[number] = attrs.evolve(me, net=me.net + more)
    return NAMES.index(plain_tier(scheme, changed, number)) > NAMES.index(me.tier)


# A share of the revenue that is no whole number, which a database may round up.
UNEVEN = [Person(682025741), Person(10242972), Person(48997086), Person(6040, "gold")]


@example(customers=UNEVEN, scheme="pareto")
@given(customers=people, scheme=st.sampled_from(["pareto", "rfm"]))
def test_gap(open_sheet, customers, scheme):
    """Exactly the gap keeps the tier, one minor unit less does not; None: no amount does."""
    method = settings(scheme, *(PARETO if scheme == "pareto" else RFM))._reviews.method
    with open_sheet() as sheet:
        fill(sheet, customers)
        gaps = method.gaps(sheet, moment())

    held = [n for n, person in enumerate(customers) if person.tier in NAMES]
    assert {n for n in held if falls(scheme, customers, n)} == gaps.keys()
    for number, gap in gaps.items():
        if gap is None:
            assert scheme == "rfm"
            assert falls(scheme, customers, number, more=10**12)
        else:
            assert gap > 0
            assert not falls(scheme, customers, number, more=gap)
            assert falls(scheme, customers, number, more=gap - 1)


def test_least_of_more_tiers(sheet):
    """A change tells with how much each tier began, of the third and further ones, too."""
    fill(sheet, [Person(n) for n in (40, 30, 20, 10)])
    method = settings("pareto", *PARETO)._reviews.method
    found = method.gradings(sheet, moment())

    # Above them are 0, 40, 70 and 90 of 100; the borders from below are 37, 67 and 87.
    assert [(40, 30, (20,))] * 4 == [
        (g.a_from_minor, g.b_from_minor, g.more_from_minor) for g in found
    ]
    assert isinstance(found[0], Grading)
