"""Totals against a plain count over the same history."""

from typing import Any

import pytest
from crmcore_tiering.tables import total
from crmcore_tiering.totals import TOTALS, totals_of
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.each_database(partitioned=False)

KINDS = ("order.placed", "order.cancelled", "order.refunded", "order.shipped", "product.viewed")


def numbered(facts):
    """Return the facts with ids in the order of their arrival."""
    return [fact | {"interaction_id": number} for number, fact in enumerate(facts, start=1)]


@st.composite
def histories(draw):
    """Interactions of a few customers, with orders and with other things, in any order."""
    fact = st.fixed_dictionaries(
        {
            "kind": st.sampled_from(KINDS),
            "customer_id": st.integers(1, 4),
            "occurred_at": st.integers(0, 20),
            "source_key": st.none() | st.sampled_from("pq"),
            "amount_base_minor": st.none() | st.integers(-500, 500),
        }
    )
    return numbered(draw(st.lists(fact, max_size=30)))


def counted(history):
    """Return the rows that the table of totals should have."""
    found: dict[int, Any] = {}
    for fact in history:
        if fact["kind"] in ("order.placed", "order.cancelled", "order.refunded"):
            orders, net, times = found.setdefault(fact["customer_id"], (0, 0, []))
            if fact["kind"] == "order.placed":
                orders, times = orders + 1, [*times, fact["occurred_at"]]
            elif fact["kind"] == "order.cancelled":
                orders -= 1
            net += fact["amount_base_minor"] or 0
            found[fact["customer_id"]] = orders, net, times
    return [
        (customer, orders, net, min(times, default=None), max(times, default=None))
        for customer, (orders, net, times) in sorted(found.items())
    ]


@given(history=histories())
def test_counted(open_sheet, history):
    """The table holds what a plain count finds, and so does the aggregate over the ledger."""
    with open_sheet() as sheet:
        sheet.record(history)
        sheet.fold(TOTALS)
        facts = sheet.facts()

        assert counted(history) == sheet.rows(total)
        assert counted(history) == sheet.execute(totals_of(facts).order_by(facts.c.customer_id))


@given(history=histories(), data=st.data())
def test_adds_up(open_sheet, history, data):
    """Facts in any order of arrival, folded in any number of parts, leave the same rows."""
    arrived = numbered(data.draw(st.permutations(history)))
    cuts = sorted(data.draw(st.sets(st.integers(1, 30))))
    with open_sheet() as sheet:
        sheet.record(arrived)
        for low, high in zip([0, *cuts], [*cuts, 2**62], strict=True):
            sheet.fold(TOTALS, low + 1, high)

        assert counted(history) == sheet.rows(total)
