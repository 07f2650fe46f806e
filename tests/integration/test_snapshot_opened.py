"""Snapshots opened: asked by statements and by hand, and refused where they are not whole."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from sqlalchemy import (
    Column,
    MetaData,
    Table,
    Text,
    bindparam,
    func,
    select,
)

from crmcore import Snapshot
from crmcore.errors import ConfigurationError, InputError, StorageError
from crmcore.persistence.customers import identifier
from crmcore.persistence.ledger import interaction, line
from crmcore.persistence.tasks import task
from tests.support.snapshots import HIGHEST, open_crm, thing

pytestmark = pytest.mark.each_database(partitioned=False)


@pytest.mark.parametrize("name", ["plain", "it's [1] of *?", "{a}", "größer\\"])
def test_opened_wherever_it_is(tmp_path, name):
    """Whatever the directory is called, its tables are there, and no other's."""
    with open_crm(tmp_path) as crm:
        crm.record("order.placed", account="1", amount="3.00")
        crm.snapshot(tmp_path / name)
    with Snapshot(tmp_path / name) as snapshot:
        assert [(1, 300)] == snapshot.execute(
            select(interaction.c.customer_id, interaction.c.amount_minor)
        )
        assert [(1,)] == snapshot.duckdb.sql("SELECT count(*) FROM crm_customer").fetchall()


def test_values_of_parameters(tmp_path):
    """A kept statement runs with other values each time, and signs and quotes mean themselves."""
    with open_crm(tmp_path) as crm:
        for number in range(5):
            crm.record(
                "order.placed", account="1", amount=f"{number}.00", source_key=f"%s'{number}"
            )
        crm.snapshot(tmp_path / "s")
    statement = select(interaction.c.source_key).where(
        interaction.c.amount_minor == bindparam("wanted"), interaction.c.source_key.like("%s'%")
    )
    with Snapshot(tmp_path / "s") as snapshot:
        found = [snapshot.execute(statement, wanted=wanted) for wanted in (100, 400, HIGHEST)]

    assert [[("%s'1",)], [("%s'4",)], []] == found


def test_whole_numbers_are_divided_as_in_the_database(tmp_path):
    """Quotients are cut off towards zero, and remainders have the sign of what is divided."""
    statement = select(
        interaction.c.interaction_id,
        (interaction.c.amount_minor - 700) // 200,
        (interaction.c.amount_minor - 700) % 200,
        func.max(interaction.c.amount_minor).over() * 5 // 3,
    ).order_by(interaction.c.interaction_id)
    with open_crm(tmp_path) as crm:
        for number in range(9):
            crm.record("order.placed", account="1", amount=f"{number}.50")
        crm.snapshot(tmp_path / "s")
        with crm.runtime.database.begin(read_only=True) as connection:
            expected = [tuple(row) for row in connection.execute(statement)]
    with Snapshot(tmp_path / "s") as snapshot:
        assert expected == snapshot.execute(statement)
    assert {int((n * 100 + 50 - 700) / 200) for n in range(9)} == {row[1] for row in expected}


def test_what_was_left_out_is_named(tmp_path):
    """A statement that needs a column that is not there is refused, with what to do."""
    table, keeper = thing()
    with open_crm(tmp_path, keeper) as crm:
        crm.snapshot(tmp_path / "s")
    with Snapshot(tmp_path / "s") as snapshot:
        for column, cure in (
            (identifier.c.identifier_value, "--with-personal"),
            (task.alias("todo").c.title, "--with-personal"),
            (table.c.words, "or plugin 'things' declares which columns are personal"),
        ):
            with pytest.raises(InputError) as caught:
                snapshot.execute(select(column))
            assert str(caught.value).startswith(f"column {column.name!r} of ")
            assert "is not in this snapshot, as it may hold personal values" in str(caught.value)
            assert str(caught.value).endswith(cure)
        with pytest.raises(StorageError, match=r"DuckDB refused a statement: .*nowhere"):
            snapshot.execute(select(Table("nowhere", MetaData(), Column("a", Text))))
        assert [] == snapshot.execute(select(line.c.product))  # and goes on


def test_no_snapshot(tmp_path):
    """What is no snapshot, or not a whole one, is refused, and says why."""
    with open_crm(tmp_path) as crm:
        crm.snapshot(tmp_path / "s")
    told = json.loads((tmp_path / "s" / "manifest.json").read_text())

    def refused(match: str) -> None:
        with pytest.raises(InputError, match=match):
            Snapshot(tmp_path / "s")

    (tmp_path / "s" / "manifest.json").write_text(json.dumps({**told, "format": 2}))
    refused(r"cannot be read \(its format is 2, and 1 is expected\); one that")
    (tmp_path / "s" / "manifest.json").write_text("[]")
    refused("cannot be read .*; one that `crm snapshot` wrote is expected")
    (tmp_path / "s" / "manifest.json").write_text(json.dumps(told))
    (tmp_path / "s" / "crm_line.parquet").write_bytes(b"PAR1")
    refused("crm_line.parquet' cannot be read")
    (tmp_path / "s" / "crm_line.parquet").unlink()
    refused("is not a whole snapshot: crm_line.parquet is not there")
    (tmp_path / "s" / "manifest.json").unlink()
    refused("is no snapshot: there is no manifest.json in it; `crm snapshot DIRECTORY` takes one")
    nothing: Any = None
    with pytest.raises(InputError, match="path is None; the directory of a snapshot"):
        Snapshot(nothing)


def test_without_the_extra(tmp_path, monkeypatch):
    """Without pyarrow or DuckDB, one sentence says what to install; nothing is written."""
    with open_crm(tmp_path) as crm:
        crm.snapshot(tmp_path / "s")
        monkeypatch.setitem(sys.modules, "pyarrow", None)
        with pytest.raises(ConfigurationError, match=r"install crmcore\[snapshot\]$"):
            crm.snapshot(tmp_path / "t")
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(ConfigurationError, match=r"DuckDB, .*install crmcore\[snapshot\]$"):
        Snapshot(tmp_path / "s")

    assert ["s"] == [path.name for path in tmp_path.iterdir() if path.suffix not in (".db",)]
