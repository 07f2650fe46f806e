"""Snapshots: every table copied as it is, and what is personal left out."""

from __future__ import annotations

import json
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from crmcore_tiering import Tiering
from sqlalchemy import (
    insert,
    select,
)

from crmcore import Crm, Snapshot
from crmcore.channels.recording import Recording
from crmcore.persistence.catalogue import setting
from crmcore.persistence.schema import REVISION
from crmcore.persistence.tables import metadata
from crmcore.services.privacy.treatments import NOBODYS, TREATMENTS
from crmcore.services.snapshots.contents import PERSONAL
from tests.support.canaries import Canaries, Vault, plant
from tests.support.databases import shop_file
from tests.support.histories import START, instant
from tests.support.making import plugin as made
from tests.support.snapshots import HIGHEST, asked, open_crm, rows_of, thing

pytestmark = pytest.mark.each_database(partitioned=False)


# -- what is in it -----------------------------------------------------------------------------


def test_every_table(tmp_path):
    """Every table of the core and of plugins is there, with the rows that the database has."""
    plugins = (Recording(), Vault(folder=tmp_path))
    with open_crm(tmp_path, *plugins) as crm:
        for name in ("Ada", "Bob"):
            plant(crm, Canaries(name))
        crm.run_due()

        taken = crm.snapshot(tmp_path / "s", with_personal=True)

        tables = [*metadata.sorted_tables]
        tables += [each.table for plugin in plugins for each in plugin.tables]
        expected = {table.name: rows_of(crm, table) for table in tables}
        columns = {table.name: table.columns.keys() for table in tables}
    with asked(tmp_path / "s") as ask:
        found = {name: sorted(ask(name).fetchall(), key=repr) for name in expected}
        assert columns == {name: ask(name).columns for name in expected}
    assert expected == found
    assert sum(map(bool, expected.values())) > 25  # few of them are empty
    assert {name: len(rows) for name, rows in expected.items()} == {
        each.name: each.rows for each in taken.tables.values()
    }
    files = {path.name for path in (tmp_path / "s").iterdir()}
    assert {"manifest.json", *(f"{name}.parquet" for name in expected)} == files
    assert taken.rows == sum(map(len, expected.values()))


def test_types(tmp_path):
    """Whole numbers of 64 bits, any text and NULL stay what they are, and so does the rest."""
    table, keeper = thing()
    texts = "größer \U0001f600", "a,\"b\"\n\\c\t'd'", ""
    full: list[tuple[Any, ...]] = [
        (
            number,
            whole,
            words,
            True,
            0.1,
            Decimal("10000000.01"),
            b"\x00\xff",
            datetime.fromisoformat("2024-02-29T23:59:59.999999"),
            date(1912, 6, 23),
            {"a": [1, None]},
        )
        for number, (whole, words) in enumerate(
            zip((HIGHEST, -HIGHEST - 1, 0), texts, strict=True), start=1
        )
    ]
    empty = (4, *[None] * 9)
    names = table.columns.keys()
    with open_crm(tmp_path, keeper) as crm:
        with crm.runtime.database.engine.begin() as connection:
            given = [dict(zip(names, row, strict=True)) for row in (*full, empty)]
            # SQLAlchemy's JSON of None is the JSON value null, which is a text.
            given[-1].pop("notes")
            for row in given:
                connection.execute(insert(table), row)
        crm.snapshot(tmp_path / "s", with_personal=True)

    with asked(tmp_path / "s") as ask:
        found = ask("crm_things_thing").order("customer_id").fetchall()
        kinds = [str(each) for each in ask("crm_things_thing").types]
    assert [
        *((*row[:5], str(row[5]), *row[6:9], '{"a": [1, null]}') for row in full),
        empty,
    ] == found
    assert [
        "BIGINT",
        "BIGINT",
        "VARCHAR",
        "BOOLEAN",
        "DOUBLE",
        "VARCHAR",
        "BLOB",
        "TIMESTAMP",
        "DATE",
        "VARCHAR",
    ] == kinds


def test_many_rows(tmp_path):
    """Rows that are read and written in many parts are all there, each once."""
    count = 250_001
    with open_crm(tmp_path) as crm:
        with crm.begin() as tx:
            rows = [(f"s{number}", f"k{number}", number) for number in range(count)]
            tx.connection.insert_rows(insert(metadata.tables["crm_dedupe"]), rows)
        taken = crm.snapshot(tmp_path / "s")

    assert count == taken.tables["crm_dedupe"].rows
    with asked(tmp_path / "s") as ask:
        told = ask("crm_dedupe", "count(*), count(DISTINCT source), sum(interaction_id)").fetchall()
    assert [(count, count, count * (count - 1) // 2)] == told


def test_manifest(tmp_path):
    """The manifest says when, of which version and revisions, and what each table has."""
    with open_crm(tmp_path, Tiering(), made("mine", version="7")) as crm:
        crm.record("order.placed", email="ada@example.com", amount="5")
        taken = crm.snapshot(str(tmp_path / "s"))

    told = json.loads((tmp_path / "s" / "manifest.json").read_text())
    assert (1, instant(START), REVISION, "EUR", False) == tuple(
        told[name] for name in ("format", "taken_at", "revision", "currency", "with_personal")
    )
    assert {
        "mine": {"derives": "7", "revision": 0, "distribution": None},
        "tiering": {"derives": "1", "revision": 0, "distribution": "crmcore-tiering 0.1.0"},
    } == told["plugins"]
    (of_orders,) = (each for each in told["tables"] if each["name"] == "crm_tiering_total")
    assert ("tiering", 1, []) == (of_orders["plugin"], of_orders["rows"], of_orders["left_out"])
    with Snapshot(tmp_path / "s") as snapshot:
        assert taken == snapshot.manifest


def test_whoever_is_not_there_any_more(tmp_path):
    """Tables of a plugin that was uninstalled are copied as well; of its columns, numbers."""
    table, keeper = thing(personal=())
    url = shop_file(tmp_path)
    with Crm(url, plugins=[keeper]) as crm, crm.begin() as tx:
        tx.connection.insert_rows(insert(table), [(1, 5, "secret", *[None] * 7)])
    with Crm(url) as crm:
        taken = crm.snapshot(tmp_path / "s")
        crm.snapshot(tmp_path / "whole", with_personal=True)

    there = taken.tables["crm_things_thing"]
    assert ("things", 1) == (there.plugin, there.rows)
    with asked(tmp_path / "s") as ask:
        assert [(1, 5)] == ask("crm_things_thing", "customer_id, whole").fetchall()
    assert {"words", "picture", "said_at", "born_on", "notes"} <= {*there.left_out}
    with asked(tmp_path / "whole") as ask:
        assert [("secret",)] == ask("crm_things_thing", "words").fetchall()


# -- what is personal --------------------------------------------------------------------------


def test_personal_values_are_left_out(tmp_path):
    """No text of a person stands in it, but where the shop put it in words of its own."""
    canaries = Canaries("Ada")
    with open_crm(tmp_path, Recording(), Vault(folder=tmp_path)) as crm:
        plant(crm, canaries)
        crm.snapshot(tmp_path / "default")
        crm.snapshot(tmp_path / "whole", with_personal=True)

    by_default, asked_for = told_in(tmp_path / "default"), told_in(tmp_path / "whole")
    for table, columns in PERSONAL.items():
        assert not columns & by_default[table].keys()
    allowed = {
        *((name, column) for name, each in TREATMENTS.items() for column in each.cleared),
        *((name, column) for name in NOBODYS for column in by_default[name]),
    }
    found = {place for place in places(by_default) if holds(by_default, place, canaries)}
    assert found <= allowed, found - allowed
    planted = {place for place in places(asked_for) if holds(asked_for, place, canaries)}
    assert {
        ("crm_identifier", "identifier_value"),
        ("crm_interaction", "personal"),
        ("crm_message", "content"),
        ("crm_task", "title"),
        ("crm_task", "note"),
        ("crm_timer", "timer_key"),
        ("crm_vault_gone", "words"),
        ("crm_vault_gone", "item"),
        ("crm_vault_secret", "words"),
    } <= planted - found


def told_in(path: Path) -> dict[str, dict[str, str]]:
    """Return all that each column of each table says, as one text."""
    with asked(path) as ask:
        return {
            each.stem: {
                name: "\n".join(str(row[0]) for row in ask(each.stem, f'"{name}"').fetchall())
                for name in ask(each.stem).columns
            }
            for each in path.glob("*.parquet")
        }


def places(told: dict[str, dict[str, str]]) -> list[tuple[str, str]]:
    return [(table, column) for table, columns in told.items() for column in columns]


def holds(told: dict[str, dict[str, str]], place: tuple[str, str], canaries: Canaries) -> bool:
    text = told[place[0]][place[1]]
    return any(each in text for each in canaries.planted)


def test_every_table_of_the_core_was_thought_of():
    """What is personal in the core is told of columns that there are, of all tables."""
    assert {*TREATMENTS, *NOBODYS} == {*metadata.tables}
    for name, columns in PERSONAL.items():
        assert columns <= {*metadata.tables[name].columns.keys()}


def test_the_secret_stays(tmp_path):
    """The key of all hashes is in no snapshot, though other settings are."""
    with open_crm(tmp_path) as crm:
        crm.snapshot(tmp_path / "s", with_personal=True)
        ((secret,),) = (row[1:] for row in all_settings(crm) if row[0] == "secret")

    with asked(tmp_path / "s") as ask:
        found: dict[str, str] = dict(ask("crm_setting").fetchall())
    assert "EUR" == found["currency"]
    assert "secret" not in found
    assert secret not in found.values()


def all_settings(crm: Crm) -> list[Any]:
    with crm.runtime.database.begin(read_only=True) as connection:
        return connection.execute(select(setting))


def test_a_plugin_says_what_is_personal(tmp_path):
    """Only the columns that it names are left out; without a word, all but numbers are."""
    table, keeper = thing(personal=("words",))
    names = table.columns.keys()
    with open_crm(tmp_path, keeper) as crm:
        taken = crm.snapshot(tmp_path / "s").tables["crm_things_thing"]
    _, silent = thing()
    with Crm("sqlite://", plugins=[silent]) as crm:
        cautious = crm.snapshot(tmp_path / "t").tables["crm_things_thing"]

    assert ("words",) == taken.left_out
    assert [name for name in names if name != "words"] == [*taken.columns]
    assert ("customer_id", "whole", "is_so", "ratio", "price") == cautious.columns
    with pytest.raises(ValueError, match=r"has no column 'word' \(did you mean 'words'\?\)"):
        thing(personal=("word",))
