"""Taking snapshots: of one instant, as a whole or not at all, in little memory."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from crmcore_tiering import Tiering
from sqlalchemy import (
    Column,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    insert,
)

from crmcore import Crm, Line, PluginTable
from crmcore.errors import InputError, PluginError, StorageError
from crmcore.persistence.tables import metadata
from tests.support.databases import present_kind, shop_file
from tests.support.making import plugin as made
from tests.support.snapshots import Whole, open_crm, rows_of

pytestmark = pytest.mark.each_database(partitioned=False)


# -- one state ---------------------------------------------------------------------------------


def test_one_state(tmp_path):
    """While others go on recording, all tables have the state of one instant."""
    stop = threading.Event()
    url = shop_file(tmp_path)
    with Crm(url, plugins=[Tiering()], durable=False) as crm:

        def record() -> None:
            with Crm(url, plugins=[Tiering()], durable=False) as other:
                number = 0
                while not stop.is_set():
                    other.record(
                        "order.placed",
                        account=f"a{number}",
                        lines=[Line(product="p", amount_minor=100)],
                        source_key=f"k{number}",
                    )
                    number += 1

        writer = threading.Thread(target=record)
        writer.start()
        try:
            while not crm.status().interactions:
                pass
            counts = [counted(crm, tmp_path / f"s{number}") for number in range(8)]
        finally:
            stop.set()
            writer.join()

    for each in counts:
        assert 1 == len({*each.values()}), each
    assert counts[0]["crm_customer"] < counts[-1]["crm_customer"]  # somebody did go on


def counted(crm: Crm, path: Path) -> dict[str, int]:
    """Return how many rows tables have of which each order writes one."""
    tables = crm.snapshot(path).tables
    names = ("customer", "identifier", "dedupe", "interaction", "line", "stage", "tiering_total")
    return {f"crm_{name}": tables[f"crm_{name}"].rows for name in names}


def test_nothing_is_written(tmp_path):
    """A snapshot changes no table of the shop's."""
    with open_crm(tmp_path, Tiering()) as crm:
        crm.record("order.placed", account="1", amount="3.00")
        before = {name: rows_of(crm, table) for name, table in metadata.tables.items()}
        crm.snapshot(tmp_path / "s")

        assert before == {name: rows_of(crm, table) for name, table in metadata.tables.items()}


# -- as a whole, or not at all -----------------------------------------------------------------


def test_it_is_there_already(tmp_path):
    """What is there is never overwritten, be it a snapshot, an empty directory or a file."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with open_crm(tmp_path) as crm:
        for name in ("empty", "file", "link"):
            with pytest.raises(InputError, match=r"is there already, .*; name another directory"):
                crm.snapshot(tmp_path / name)

    assert [] == [*(tmp_path / "empty").iterdir()]
    assert "mine" == (tmp_path / "file").read_text()
    assert not [*tmp_path.glob(".*.part")]


def test_it_cannot_be_written(tmp_path):
    """Where there is no directory to write to, that is said, and nothing is left."""
    (tmp_path / "file").write_text("mine")
    with open_crm(tmp_path) as crm:
        for path in (tmp_path / "none" / "s", tmp_path / "file" / "s"):
            with pytest.raises(InputError, match=r"no snapshot can be written to .*: N.*; a dir"):
                crm.snapshot(path)
        wrong: Any
        for wrong in (None, 3):
            with pytest.raises(InputError, match=f"path is {wrong}; a directory"):
                crm.snapshot(wrong)
        wrong = "no"
        with pytest.raises(InputError, match="with_personal is 'no'; True or False"):
            crm.snapshot(tmp_path / "s", with_personal=wrong)

    assert not [*tmp_path.glob(".*.part")]
    assert not (tmp_path / "none").exists()


FULL = """
import resource, sys
from crmcore import Crm
from crmcore.errors import InputError
resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))
with Crm(sys.argv[1]) as crm:
    try:
        crm.snapshot(sys.argv[2])
    except InputError as error:
        sys.exit(f"refused: {error}")
"""


def test_no_room(tmp_path):
    """Where a file can grow no further, nothing is left behind, and the shop's data stay."""
    url = shop_file(tmp_path)
    with Crm(url, durable=False) as crm:
        with crm.begin() as tx:
            rows = [(f"{number * 7919:x}", f"k{number}", number) for number in range(20_000)]
            tx.connection.insert_rows(insert(metadata.tables["crm_dedupe"]), rows)
        out = tmp_path / "out"
        out.mkdir()
        words = [sys.executable, "-c", FULL, url, str(out / "s")]
        done = subprocess.run(words, capture_output=True, text=True)

        assert "refused: no snapshot can be written to" in done.stderr
        assert "File too large" in done.stderr
        assert [] == [*out.iterdir()]
        assert 20_000 == crm.snapshot(out / "s").tables["crm_dedupe"].rows


@pytest.mark.parametrize("raised", [KeyboardInterrupt, PluginError])
def test_it_is_stopped(tmp_path, raised):
    """Stopped in the middle, it leaves nothing behind, and can be taken anew."""

    class Stopping(TypeDecorator[str]):
        """A column whose values cannot be read to the end."""

        impl = Text
        cache_ok = True

        def process_result_value(self, value: Any, dialect: Any) -> Any:
            raise raised("x", "y") if raised is PluginError else raised

    table = Table(
        "crm_things_thing",
        MetaData(),
        Column("customer_id", Whole, primary_key=True, autoincrement=False),
        Column("words", Stopping),
    )
    kept = PluginTable(table, derived=False, merge="move", erase="delete")
    with open_crm(tmp_path, made("things", tables=(kept,))) as crm:
        with crm.begin() as tx:
            tx.connection.insert_rows(insert(table), [(1, "a")])
        with pytest.raises(raised):
            crm.snapshot(tmp_path / "s", with_personal=True)

        assert not [*tmp_path.glob(".*.part")]
        assert not (tmp_path / "s").exists()
        assert 1 == crm.snapshot(tmp_path / "s").tables["crm_things_thing"].rows


def test_what_no_column_says(tmp_path):
    """A text in a column of numbers, which SQLite allows, is named; nothing is left behind."""
    if present_kind() != "sqlite":
        pytest.skip("PostgreSQL does not allow it")
    with open_crm(tmp_path) as crm:
        crm.record("order.placed", account="1", amount="3.00")
        with crm.runtime.database.engine.begin() as connection:
            connection.exec_driver_sql("UPDATE crm_line SET quantity = 'x'")
            connection.exec_driver_sql("UPDATE crm_interaction SET recorded_at = 'soon'")
        with pytest.raises(StorageError, match="table crm_interaction holds what its columns do"):
            crm.snapshot(tmp_path / "s")

    assert not (tmp_path / "s").exists()
    assert not [*tmp_path.glob(".*.part")]


def test_only_who_took_it_may_read_it(tmp_path):
    """The directory is open to nobody else."""
    with open_crm(tmp_path) as crm:
        crm.snapshot(tmp_path / "s")

    assert 0o700 == (tmp_path / "s").stat().st_mode & 0o777


# -- memory ------------------------------------------------------------------------------------

PEAK = """
import resource, sys
from crmcore import Crm
with Crm(sys.argv[1]) as crm:
    crm.snapshot(sys.argv[2])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.slow
def test_memory(tmp_path):
    """Ten times as many rows take no more memory."""
    url, peaks, first = shop_file(tmp_path), [], 0
    with Crm(url, durable=False) as crm:
        for last in (200_000, 2_000_000):
            for low in range(first, last, 50_000):
                rows = [(f"s{n}", f"key-{n * 7919:x}", n) for n in range(low, low + 50_000)]
                with crm.begin() as tx:
                    tx.connection.insert_rows(insert(metadata.tables["crm_dedupe"]), rows)
            first = last
            words = [sys.executable, "-c", PEAK, url, str(tmp_path / f"s{last}")]
            done = subprocess.run(words, capture_output=True, text=True, check=True)
            peaks.append(int(done.stdout))

    assert peaks[1] < peaks[0] + 30, peaks  # megabytes; 1,800,000 rows are 300 as Python has them
