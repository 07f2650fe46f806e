"""The laws of migrations find revisions that lose rows or lead to another shape."""

from __future__ import annotations

import itertools
import textwrap
from typing import ClassVar

import pytest
from attrs import define
from sqlalchemy import BigInteger, Column, Integer, MetaData, Table, Text

from crmcore import Plugin, PluginTable
from crmcore.testing.laws.migrating import MigratingLaws
from crmcore.testing.neighbour import Neighbour
from tests.contract.support import breaks, shop_with
from tests.support.databases import KINDS

Whole = BigInteger().with_variant(Integer(), "sqlite")
_count = itertools.count(1)

FIRST = """
    '''There are entries.'''
    from sqlalchemy import BigInteger, Column, Integer, Text

    def upgrade(op):
        whole = BigInteger().with_variant(Integer(), "sqlite")
        op.create_table(
            "crm_diary_entry",
            Column("customer_id", whole, primary_key=True, autoincrement=False),
            Column("page", whole, primary_key=True, autoincrement=False),
            Column("words", Text),
        )
"""
MOOD = """
    '''Entries have a mood.'''
    from sqlalchemy import Column, Text

    def upgrade(op):
        op.add_column("crm_diary_entry", Column("mood", Text))
"""
FORGETFUL = """
    '''Entries have a mood, and only that.'''
    from sqlalchemy import Column, Text

    def upgrade(op):
        op.execute("DELETE FROM crm_diary_entry")
        op.add_column("crm_diary_entry", Column("mood", Text))
"""
EMPTYING = """
    '''Entries have a mood, and no words.'''
    from sqlalchemy import Column, Text

    def upgrade(op):
        op.add_column("crm_diary_entry", Column("mood", Text))
        op.execute("UPDATE crm_diary_entry SET words = NULL")
"""
INDEXED = """
    '''Entries are found by page.'''

    def upgrade(op):
        op.create_index("crm_diary_entry_page", "crm_diary_entry", ["page"])
"""


def entries(*more):
    return Table(
        "crm_diary_entry",
        MetaData(),
        Column("customer_id", Whole, primary_key=True, autoincrement=False),
        Column("page", Whole, primary_key=True, autoincrement=False),
        Column("words", Text),
        *(Column(each, Text) for each in more),
    )


@pytest.fixture
def diary(tmp_path, monkeypatch):
    """Write a package of revisions, and return shops with a plugin of them."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(*sources, kind="sqlite", columns=("mood",), number=1):
        name = f"diary_revisions_{next(_count)}"
        folder = tmp_path / name
        folder.mkdir()
        (folder / "__init__.py").write_text("", encoding="utf-8")
        for place, source in enumerate(sources, start=number):
            path = folder / f"r{place:04}_change.py"
            path.write_text(textwrap.dedent(source), encoding="utf-8")
        kept = PluginTable(entries(*columns), derived=False, merge="keep_both", erase="delete")
        body = {
            "name": "diary",
            "migrations": name,
            "tables": (kept,),
            "__annotations__": {"migrations": ClassVar[str | None]},
        }
        return shop_with(define(eq=False)(type("Diary", (Plugin,), body)), tmp_path, kind)

    return write


LAW = MigratingLaws().test_revisions_make_what_is_declared


class Released(MigratingLaws):
    first_tables = (entries(),)


@pytest.mark.parametrize("kind", KINDS)
def test_good_revisions(kind, diary, tmp_path):
    """Revisions that create and add pass; so do those that begin with what was released first."""
    MigratingLaws().test_revisions_are_in_order(diary(FIRST, MOOD))
    LAW(diary(FIRST, MOOD, kind=kind))
    Released().test_revisions_make_what_is_declared(diary(MOOD, kind=kind))


def test_no_revisions(tmp_path):
    """A plugin at its first release needs none."""
    MigratingLaws().test_revisions_are_in_order(shop_with(Neighbour, tmp_path))
    LAW(shop_with(Neighbour, tmp_path))


@pytest.mark.parametrize(
    ("sources", "told"),
    [
        ((FIRST, FORGETFUL), "migrated from revision 1, table 'crm_diary_entry' has 0 of its 3"),
        ((FIRST, EMPTYING), "column 'words' of table 'crm_diary_entry' holds nothing any more"),
        ((FIRST, MOOD, INDEXED), "index crm_diary_entry_page of table 'crm_diary_entry' is on p"),
        ((MOOD,), "revision 1 cannot be applied after those before it; let it create the tables"),
        (
            (FIRST, "def upgrade(op): 1 / 0"),
            "a database of revision 1 cannot be migrated and opened: plugin 'diary': revision 2",
        ),
    ],
    ids="rows column index released raises".split(),
)
def test_wrong_revisions(sources, told, diary):
    """Lost rows and values, another shape, and revisions that cannot be applied are told."""
    assert told in breaks(LAW, diary(*sources))


def test_what_is_missing(diary):
    """A declared column that no revision adds is told."""
    shop = diary(FIRST, MOOD, columns=("mood", "weather"))

    assert "cannot be migrated and opened" in breaks(LAW, shop)


def test_wrong_packages(diary):
    """A missing number and a module without an upgrade are told."""
    law = MigratingLaws().test_revisions_are_in_order

    assert "its migrations are not right" in breaks(law, diary(FIRST, number=2))
    assert "has no upgrade(op)" in breaks(law, diary("x = 1"))
