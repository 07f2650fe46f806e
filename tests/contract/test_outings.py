"""Outings: what is let happen, so that a plugin has something to do."""

from typing import Any

from crmcore.testing.outings import crowd, loners, one_of_each
from crmcore.testing.strategies import START
from tests.contract.faulty.good import Hopes
from tests.contract.support import shop_with


def test_all_fields_have_values(tmp_path):
    """Of every kind there is one, and what its payload may leave out is there."""
    shop = shop_with(Hopes, tmp_path, recorded=("hopes.told",))
    made: dict[str, Any] = {draft.kind: draft.payload or {} for draft in one_of_each(shop)}

    assert "hopes.told" in made
    assert {"carrier", "promised_on", "order"} == made["order.delivered"].keys()
    assert all(v not in (None, [], {}) for payload in made.values() for v in payload.values())


def test_everybody_has_an_instant_of_their_own(tmp_path):
    """A statement for each instant is a statement for each customer, and so can be found."""
    templates = one_of_each(shop_with(Hopes, tmp_path))

    made = crowd(templates, 90)

    assert 90 * len(templates) == len(made) == len({draft.occurred_at for draft in made})
    first = [draft for draft in made if draft.identifiers[0].value == "c0"]
    assert [each.kind for each in templates] == [draft.kind for draft in first]
    times = [draft.occurred_at or START for draft in first]
    assert times == sorted(times)


def test_loners(tmp_path):
    """Each does one thing, and no two are one customer."""
    templates = one_of_each(shop_with(Hopes, tmp_path))

    made = loners(templates, first=2)

    assert len(made) == len({draft.identifiers for draft in made}) > 3
    assert {"order.placed", "product.viewed"} <= {draft.kind for draft in made}
