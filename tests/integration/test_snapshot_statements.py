"""What is asked of a real shop's customers has equal answers in the database and in a snapshot."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from crmcore_tiering import Tiering
from crmcore_tiering.reports import concentration
from crmcore_tiering.tables import tier, tier_change, total
from crmcore_tiering.totals import totals_of
from sqlalchemy import Executable, func, select

from crmcore import Crm, Snapshot, VirtualClock
from crmcore.domain.clock import DAY
from crmcore.persistence.customers import customer
from crmcore.persistence.ledger import interaction
from tests.support.databases import shop_file
from tests.support.histories import cdnow, instant, start_of

pytestmark = pytest.mark.each_database(partitioned=False)

SEGMENTS = {
    "buyers": "orders.count >= 1",
    "regulars": "orders(days=180).count >= 3",
    "spenders": "orders.sum >= 100 USD and not in regulars",
    "lapsed": "orders.last before 200 days ago and orders.count >= 2",
    "never_again": "days_since(orders.last) > 300",
    "quick": "orders then orders within 7 days",
    "slow": "orders then not orders within 90 days",
    "best": 'tier == "A" and tiering.orders > 2',
    "others": 'tier in ("B", "C") or relationship == "lapsed"',
    "large": "orders(amount >= 50 USD).first after 400 days ago",
}


def whole(rows: list[Any]) -> list[tuple[Any, ...]]:
    """Return rows with whole numbers as they are; PostgreSQL adds them up to decimals."""
    return [
        tuple(
            int(each) if isinstance(each, Decimal) and each == int(each) else each for each in row
        )
        for row in rows
    ]


def statements() -> dict[str, tuple[Executable, dict[str, int]]]:
    """Return what tiering asks of all customers; at an instant at which many would move."""
    at = {"at": 2**62}
    by_share = Tiering(a_percent=40, b_percent=90, band_percent=1)
    by_score = Tiering(scheme="rfm", a_score=12, b_score=7)
    facts = totals_of(interaction).subquery("totals")
    return {
        "Pareto review": (by_share.changes(total), at),
        "RFM review": (by_score.changes(total), at),
        "Pareto review by the ledger": (by_share.changes(facts), at),
        "concentration": (concentration(total), {}),
        "tiers": (
            select(tier.c.tier, func.count()).group_by(tier.c.tier).order_by(tier.c.tier),
            {},
        ),
        "history": (
            select(tier_change).order_by(tier_change.c.customer_id, tier_change.c.since),
            {},
        ),
    }


def compared(folder: Path, every: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return all answers of the database, and those of a snapshot of it, by name."""
    history = cdnow(every=every)
    clock = VirtualClock(start_of(history))
    with Crm(
        shop_file(folder),
        plugins=[Tiering()],
        currency="USD",
        clock=clock,
        durable=False,
        segments=SEGMENTS,
    ) as crm:
        half = len(history) // 2
        for batch in (history[:half], history[half:]):
            crm.record_many(batch)
            last = batch[-1].occurred_at
            assert last is not None
            clock.advance_to(instant(last) + DAY)
            crm.run_due()
        taken = crm.snapshot(folder / "s")
        asked = statements()
        live: dict[str, Any] = {name: crm.members(name) for name in SEGMENTS}
        with crm.runtime.database.begin(read_only=True) as connection:
            for name, (statement, values) in asked.items():
                live[name] = whole(connection.execute(statement, **values))
        with Snapshot(folder / "s") as snapshot:
            copied: dict[str, Any] = {
                name: sorted(
                    row[0] for row in snapshot.execute(crm.audience(name, at=taken.taken_at))
                )
                for name in SEGMENTS
            }
            for name, (statement, values) in asked.items():
                copied[name] = whole(snapshot.execute(statement, **values))
            (number,) = snapshot.execute(select(func.count()).select_from(customer))
    assert number[0] == len(live["buyers"])
    return live, copied


def check(live: dict[str, Any], copied: dict[str, Any], customers: int) -> None:
    for name, expected in live.items():
        assert expected == copied[name], name
        assert expected, name
    assert customers == len(live["buyers"])
    assert len(live["Pareto review"]) > customers / 20
    assert len(live["RFM review"]) > customers / 20
    # Every rule leaves somebody out, and means somebody.
    assert all(0 < len(live[name]) < customers for name in {*SEGMENTS} - {"buyers"})


def test_a_real_shop(tmp_path):
    """Of every tenth customer of CDNOW: segments, reviews by both schemes, and concentration."""
    check(*compared(tmp_path, every=10), customers=2_357)


@pytest.mark.slow
def test_all_of_a_real_shop(tmp_path):
    """Of all 23,570 customers of CDNOW, too."""
    check(*compared(tmp_path, every=1), customers=23_570)
