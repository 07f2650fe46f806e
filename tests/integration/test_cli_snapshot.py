"""`crm snapshot`, as somebody types it."""

from __future__ import annotations

import json
import sys

import pytest
from click.testing import CliRunner

from crmcore import Crm, Snapshot
from crmcore.cli import crm as command


@pytest.fixture
def shop(tmp_path):
    """A shop with two customers, as its configuration."""
    config = tmp_path / "crm.toml"
    config.write_text("[plugins.tiering]\n")
    with Crm.from_config(config) as crm:
        crm.record("order.placed", email="ada@example.com", amount="10", payload={"note": "Ring"})
        crm.record("order.placed", account="77", amount="20.00")
    return config


def run(shop, *words):
    return CliRunner().invoke(command, ["--config", str(shop), *words])


def test_snapshot(shop, tmp_path):
    """It says how much was copied, as of when, and that columns were left out."""
    done = run(shop, "snapshot", str(tmp_path / "s"))

    assert 0 == done.exit_code, done.output
    first, second = done.output.splitlines()
    with Snapshot(tmp_path / "s") as snapshot:
        manifest = snapshot.manifest
        assert 2 == len(snapshot.duckdb.sql("FROM crm_identifier").fetchall())
    count = sum(len(each.left_out) for each in manifest.tables.values())
    rows = sum(each.rows for each in manifest.tables.values())
    assert f"{tmp_path / 's'}: {len(manifest.tables)} tables, {rows} rows, as of 20" in first
    assert f"{count} columns that may hold personal values were left out; --with-per" in second
    assert not manifest.with_personal


def test_with_personal(shop, tmp_path):
    """Asked for, personal values are copied, and it says what that means; as JSON, too."""
    done = run(shop, "snapshot", str(tmp_path / "s"), "--with-personal")

    assert 0 == done.exit_code, done.output
    assert "Personal values are in it, and no erasure reaches them.\n" in done.output
    with Snapshot(tmp_path / "s") as snapshot:
        rows = snapshot.duckdb.sql("SELECT personal FROM crm_interaction").fetchall()
    assert {"note": "Ring"} in [json.loads(text) for (text,) in rows if text]
    told = json.loads(run(shop, "snapshot", str(tmp_path / "t"), "--json").output)
    written = json.loads((tmp_path / "t" / "manifest.json").read_text())
    assert {"directory": str(tmp_path / "t"), **written} == told


def test_refused(shop, tmp_path, monkeypatch):
    """What is there already, and an extra that is not, end with one sentence and exit code 2."""
    (tmp_path / "s").mkdir()

    there = run(shop, "snapshot", str(tmp_path / "s"))
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    lacking = run(shop, "snapshot", str(tmp_path / "t"))

    assert (2, 2) == (there.exit_code, lacking.exit_code)
    assert there.output.startswith(f"Error: '{tmp_path / 's'}' is there already, and a snapshot")
    assert lacking.output.endswith("which is not installed; install crmcore[snapshot]\n")
    assert not (tmp_path / "t").exists()
