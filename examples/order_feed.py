"""A feed of orders: once committed, each is appended to a file that another system reads."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from attrs import define
from typing_extensions import override

from crmcore import Context, Crm, Interaction, InteractionsRecorded, Plugin, hookimpl


@define(eq=False)
class OrderFeed(Plugin):
    """
    Appends orders to a file of JSON Lines, such as for the warehouse.

    An order that is rolled back never gets there. One that is told twice, as when a worker was
    killed before it could note that it was done, is written once: its id is in the file.
    """

    name = "order_feed"
    file: Path

    @hookimpl
    @override
    def after_interactions_recorded(self, ctx: Context, event: InteractionsRecorded) -> None:
        if "order.placed" not in event.kinds:
            return
        with self.file.open("a+b") as feed:
            written = _ids_in(feed)
            for item in event:
                if item.kind == "order.placed" and item.id not in written:
                    feed.write(json.dumps(_line(item)).encode() + b"\n")
            feed.flush()
            os.fsync(feed.fileno())


def _ids_in(feed: Any) -> set[int]:
    """Return what the file holds; a last line that is not whole is cut off."""
    feed.seek(0)
    lines = feed.read().splitlines(keepends=True)
    if lines and not lines[-1].endswith(b"\n"):
        feed.truncate(sum(map(len, lines[:-1])))
        del lines[-1]
    return {int(json.loads(line)["id"]) for line in lines}


def _line(item: Interaction) -> dict[str, Any]:
    return {
        "id": str(item.id),
        "customer": str(item.customer_id),
        "at": item.occurred_at.isoformat(),
        "amount_minor": item.amount_minor,
        "currency": item.currency,
    }


def read(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_orders_are_fed_once_committed(tmp_path: Path) -> None:
    """What was rolled back is not in the feed; what was committed is, in order."""
    url, file = f"sqlite:///{tmp_path / 'crm.db'}", tmp_path / "orders.jsonl"
    with Crm(url, plugins=[OrderFeed(file=file)]) as crm:
        crm.record("order.placed", email="ada@example.com", amount="19.90")
        try:
            with crm.begin() as tx:
                tx.record("order.placed", email="bob@example.com", amount="5.00")
                raise LookupError("the shop finds the shelf empty")
        except LookupError:
            pass
        crm.record("product.viewed", email="ada@example.com", payload={"product": "tea"})
        crm.record("order.placed", email="eve@example.com", amount="7.50")
        crm.worker().once()

    assert [1990, 750] == [line["amount_minor"] for line in read(file)]


def test_told_again_it_is_written_once(tmp_path: Path) -> None:
    """A worker that was killed in the midst tells again, and the feed has each order once."""
    url, file = f"sqlite:///{tmp_path / 'crm.db'}", tmp_path / "orders.jsonl"
    with Crm(url, plugins=[OrderFeed(file=file)]) as crm:
        crm.record("order.placed", email="ada@example.com", amount="19.90")
        crm.worker().once()
        first = file.read_bytes()
        with crm.begin() as tx:  # as if the cursor had never been moved on
            tx.connection.sqlalchemy.exec_driver_sql("UPDATE crm_cursor SET position_id = 0")
        file.write_bytes(first + b'{"id": "2", "cust')  # and it died while it was writing
        crm.record("order.placed", email="bob@example.com", amount="5.00")
        crm.worker().once()

    assert [1990, 500] == [line["amount_minor"] for line in read(file)]
    assert file.read_bytes().startswith(first)


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    """While the file is out of reach orders are taken all the same, and are fed afterwards."""
    url, folder = f"sqlite:///{tmp_path / 'crm.db'}", tmp_path / "away"
    with Crm(url, plugins=[OrderFeed(file=folder / "orders.jsonl")]) as crm:
        crm.record("order.placed", email="ada@example.com", amount="19.90")
        crm.worker().once()
        assert ["FileNotFoundError"] == [fault.error for fault in crm.faults("order_feed")]
        assert {"order_feed": 1} == dict(crm.backlog())
        folder.mkdir()
        with crm.begin() as tx:  # the worker tries again after a minute; here at once
            tx.connection.sqlalchemy.exec_driver_sql("UPDATE crm_backlog SET run_at = 0")
        crm.worker().once()

        assert {} == dict(crm.backlog())
    assert [1990] == [line["amount_minor"] for line in read(folder / "orders.jsonl")]
