"""Tables of plugins that are not as they should be: the sentence names the column."""

import pytest
from attrs import define
from sqlalchemy import Column, ForeignKey, MetaData, Table, Text

from crmcore import Plugin, PluginTable
from crmcore.errors import PluginError, SchemaError
from crmcore.persistence.schema import Whole
from tests.support.databases import present_kind, shop_file
from tests.support.runs import opened

pytestmark = pytest.mark.each_database(partitioned=False)

BEFORE = (("page", Whole, {"primary_key": True}), ("words", Text, {"nullable": False}))


def diary(*columns):
    """Return a plugin that owns a table with these columns besides the customer's."""
    made = [Column("customer_id", Whole, primary_key=True)]
    made += [Column(name, *kinds, **options) for name, *kinds, options in columns]
    table = Table("crm_diary_entry", MetaData(), *made)
    owned = PluginTable(table, derived=False, merge="keep_both", erase="delete")
    return define(eq=False)(type("Diary", (Plugin,), {"name": "diary", "tables": (owned,)}))()


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        (BEFORE[:1], "column 'words' is there and not declared"),
        ((*BEFORE, ("mood", Text, {})), "column 'mood' is declared and not there"),
        (
            (BEFORE[0], ("words", Text, {})),
            "column 'words' is declared TEXT and is TEXT NOT NULL",
        ),
        (
            (("page", Text, {"primary_key": True}), BEFORE[1]),
            "column 'page' is declared TEXT NOT NULL and is {whole} NOT NULL",
        ),
        (
            (BEFORE[0], ("word", Text, {"nullable": False})),
            "column 'word' is declared and not there, column 'words' is there and not declared",
        ),
        (
            (("page", Whole, {"nullable": False}), BEFORE[1]),
            "its keys, indexes or defaults differ",
        ),
    ],
    ids=["gone", "new", "may be empty", "type", "renamed", "key"],
)
def test_another_shape_than_in_the_database(tmp_path, columns, told):
    """In what a table that a plugin owns is another than the database has it is told, alone."""
    url = shop_file(tmp_path)
    with opened([diary(*BEFORE)], url=url):
        pass
    with pytest.raises(SchemaError) as caught, opened([diary(*columns)], url=url):
        pass

    whole = "INTEGER" if present_kind() == "sqlite" else "BIGINT"
    told = told.format(whole=whole)
    assert f"has another shape than in the database ({told}), and no" in str(caught.value)


def test_a_key_to_a_table_of_the_shop(tmp_path):
    """The column whose foreign key leads to somebody else's table is named."""
    wrong = diary(("order_id", Whole, ForeignKey("shop_order.number"), {}))

    with pytest.raises(PluginError) as caught, opened([wrong], url=shop_file(tmp_path)):
        pass

    said = "column 'order_id' of table 'crm_diary_entry' has a foreign key to table 'shop_order'"
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("key", "told"), [("page", "'page'"), (None, "no column")], ids=["another", "none"]
)
def test_a_key_without_the_customer(key, told):
    """What the primary key is instead is named."""
    columns = [Column(name, Whole, primary_key=name == key) for name in ("customer_id", "page")]

    with pytest.raises(ValueError, match=f"no customer_id in its primary key, but {told};"):
        PluginTable(
            Table("crm_diary_entry", MetaData(), *columns),
            derived=False,
            merge="move",
            erase="delete",
        )
