"""Traits in a snapshot of the database, on DuckDB, which has no clock of the shop's either."""

from datetime import UTC, datetime

import pytest
from crmcore_profile import Profile

from crmcore import Crm, VirtualClock, to_instant
from tests.support.databases import scratch

pytest.importorskip("duckdb")
pytest.importorskip("pyarrow")

pytestmark = pytest.mark.each_database(partitioned=False)

STATED = {
    "birthday": "1984-05-18",
    "children": "2023-05-18",
    "gender": "female",
    "interests": "tea",
    "hobbies": "fencing",
    "zone": "Europe/Berlin",
}


def test_same_traits(tmp_path):
    """Every trait has the value in a snapshot that it has in the database."""
    from crmcore import Snapshot

    clock = VirtualClock(to_instant(datetime(2024, 5, 17, 23, tzinfo=UTC)))
    with Crm(scratch(), plugins=[Profile()], clock=clock, zone="Europe/Berlin") as crm:
        for name, value in STATED.items():
            payload = {"attribute": name, "value": value}
            crm.record("profile.declared", account="ada", payload=payload, channel="web")
        who = crm.record("order.placed", account="ada", amount="5.00").customer_id
        traits = crm.customer(who).traits
        crm.snapshot(tmp_path / "s", with_personal=True)
        found = {}
        with Snapshot(tmp_path / "s") as snapshot:
            for name, value in traits.items():
                if isinstance(value, bool):
                    rule = name if value else f"not {name}"
                else:
                    rule = f"{name} == {value!r}".replace("'", '"')
                found[name] = snapshot.execute(crm.audience(rule))

    assert ("toddler", 0) == (
        traits["profile.life_stage"],
        traits["profile.birthday_next_days"],
    )
    assert {name: [(who,)] for name in traits} == found
