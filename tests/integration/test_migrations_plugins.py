"""What plugins own is migrated by revisions of their own, which touch nothing else."""

from __future__ import annotations

import itertools
import textwrap
from typing import ClassVar

import pytest
from attrs import define
from sqlalchemy import BigInteger, Column, ForeignKey, Integer, MetaData, Table, Text, text

from crmcore import Crm, Plugin, PluginTable, migrate, plan_migration
from crmcore.errors import OutdatedSchemaError, PluginError, SchemaError
from crmcore.persistence.revisions import find_revisions
from tests.support.databases import KINDS, drop_schema, new_schema
from tests.support.notebook import Notebook
from tests.support.revisions import add_rows, contents, make_first_revision, opened
from tests.support.schemas import schema

Whole = BigInteger().with_variant(Integer(), "sqlite")

_count = itertools.count(1)

ADD_MOOD = """
    '''Entries have a mood.'''
    from sqlalchemy import Column, Text

    def upgrade(op):
        op.add_column("crm_diary_entry", Column("mood", Text))
        op.execute("UPDATE crm_diary_entry SET mood = 'fine' WHERE page > 1")
"""


@pytest.fixture(params=KINDS)
def url(request, tmp_path):
    """The URL of an empty database of either kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/shop.db"
        return
    made = new_schema()
    yield made
    drop_schema(made)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Write a package of revisions, each a source, and return its name; 0 stands for a gap."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(*sources, newline="\n"):
        name = f"diary_migrations_{next(_count)}"
        folder = tmp_path / name
        folder.mkdir()
        (folder / "__init__.py").write_text("", encoding="utf-8")
        for number, source in enumerate(sources, start=1):
            if source:
                path = folder / f"r{number:04}_change.py"
                path.write_text(textwrap.dedent(source), encoding="utf-8", newline=newline)
        return name

    return write


def diary(*more, migrations=None, key=None, name="diary"):
    """Return a plugin that owns a table of entries; *more* are columns that it has besides."""
    table = Table(
        f"crm_{name}_entry",
        MetaData(),
        Column("customer_id", Whole, *([key] if key else []), primary_key=True),
        Column("page", Whole, primary_key=True),
        *(Column(each, Text) for each in more),
    )
    body = {
        "name": name,
        "migrations": migrations,
        "tables": (PluginTable(table, derived=False, merge="keep_both", erase="delete"),),
        "__annotations__": {"migrations": ClassVar[str | None]},
    }
    return define(eq=False)(type("Diary", (Plugin,), body))()


@pytest.fixture
def first(url):
    """A database in which the first version of the diary keeps two entries."""
    plugin = diary()
    Crm(url, plugins=[plugin]).close()
    entries = [{"customer_id": 1, "page": 1}, {"customer_id": 1, "page": 2}]
    add_rows(url, plugin.tables[0].table, *entries)
    return url


def revisions(url):
    return sorted((row["component"], row["revision"]) for row in contents(url)["crm_revision"])


class TestUpgrade:
    def test_from_refusal_to_work(self, first, package):
        """A newer plugin is refused until its revision was applied; its entries are kept."""
        newer = diary("mood", migrations=package(ADD_MOOD))
        with pytest.raises(OutdatedSchemaError) as caught:
            Crm(first, plugins=[newer])
        (planned,) = plan_migration(first, [newer]).steps
        (done,) = migrate(first, [newer])
        Crm(first, plugins=[newer]).close()

        assert "revision 0 of the tables of plugin 'diary' and revision 1 is needed" in str(
            caught.value
        )
        assert "`crm migrate`" in str(caught.value)
        assert planned == done
        assert ("diary", 1, "Entries have a mood.") == (done.component, done.revision, done.title)
        assert "ALTER TABLE crm_diary_entry ADD COLUMN mood TEXT" in str(done.sql)
        assert [
            {"customer_id": 1, "page": 1, "mood": None},
            {"customer_id": 1, "page": 2, "mood": "fine"},
        ] == contents(first)["crm_diary_entry"]
        assert [] == migrate(first, [newer])
        row = next(r for r in contents(first)["crm_revision"] if r["component"] == "diary")
        assert 64 == len(row["checksum"])

    def test_several(self, first, package):
        """Each revision is applied in its turn, and what has been applied is not again."""
        rename = """
            '''Entries are lines.'''

            def upgrade(op):
                op.rename_table("crm_diary_entry", "crm_diary_line")
        """
        one = diary("mood", migrations=package(ADD_MOOD))
        migrate(first, [one])
        table = Table(
            "crm_diary_line",
            MetaData(),
            Column("customer_id", Whole, primary_key=True),
            Column("page", Whole, primary_key=True),
            Column("mood", Text),
        )
        two = diary(migrations=package(ADD_MOOD, rename))
        type(two).tables = (PluginTable(table, derived=False, merge="keep_both", erase="delete"),)
        steps = migrate(first, [two])
        Crm(first, plugins=[two]).close()

        assert [2] == [step.revision for step in steps]
        found = contents(first)
        assert 2 == len(found["crm_diary_line"])
        assert "crm_diary_entry" not in found
        assert ["crm_diary_line"] == [r["table_name"] for r in found["crm_plugin_table"]]

    def test_core_first_then_by_name(self, tmp_path, package):
        """The core's revisions come first, then those of plugins, by name."""
        shop = f"sqlite:///{tmp_path}/shop.db"
        make_first_revision(shop)
        notes = package(
            """
            '''Notes are numbered anew.'''

            def upgrade(op):
                op.execute("UPDATE crm_notebook_note SET note_number = -note_number")
            """
        )
        newer = type("Newer", (Notebook,), {"migrations": notes})()
        with opened(shop) as connection:
            connection.execute(
                text(
                    "INSERT INTO crm_plugin_table VALUES"
                    " ('diary', 'crm_diary_entry', 0, 'keep_both', 'include', 'delete', '')"
                )
            )
            diary().tables[0].table.create(connection)
        plugins = [newer, diary("mood", migrations=package(ADD_MOOD))]
        steps = migrate(shop, plugins)
        Crm(shop, plugins=plugins).close()

        named = [(step.component, step.revision) for step in steps]
        core = [each for each in named if each[0] == "crmcore"]
        assert [*core, ("diary", 1), ("notebook", 1)] == named
        assert ("crmcore", 2) in core
        assert all(row["note_number"] < 0 for row in contents(shop)["crm_notebook_note"])

    def test_first_tables_are_of_the_newest(self, url, package):
        """A plugin's first start makes its tables as it declares them: nothing is left to do."""
        newer = diary("mood", migrations=package(ADD_MOOD))
        Crm(url).close()
        assert [] == migrate(url, [newer])
        Crm(url, plugins=[newer]).close()

        assert ("diary", 1) in revisions(url)
        assert [] == migrate(url, [newer])

    def test_partitions(self, package):
        """A table that a revision creates has as many partitions as the others."""
        create = """
            '''There are covers.'''
            from sqlalchemy import BigInteger, Column

            def upgrade(op):
                customer = Column(
                    "customer_id", BigInteger, primary_key=True, autoincrement=False
                )
                op.create_table("crm_diary_cover", customer)
        """
        shop = new_schema()
        older, newer = diary(), diary(migrations=package(create))
        key = Column("customer_id", Whole, primary_key=True, autoincrement=False)
        cover = Table("crm_diary_cover", MetaData(), key)
        kept = PluginTable(cover, derived=False, merge="keep_both", erase="delete")
        type(newer).tables = (*older.tables, kept)
        Crm(shop, plugins=[older], partitions=3).close()
        migrate(shop, [newer])
        Crm(shop, plugins=[newer], partitions=3).close()
        pieces = "SELECT inhparent::regclass::text, count(*) FROM pg_inherits GROUP BY inhparent"
        with opened(shop) as connection:
            counted = {tuple(row) for row in connection.exec_driver_sql(pieces)}
        drop_schema(shop)

        assert {("crm_diary_entry", 3), ("crm_diary_cover", 3)} <= counted

    def test_copied_on_sqlite(self, first, package):
        """Alembic's batches work within the transaction; their SQL cannot be told beforehand."""
        batch = """
            '''Pages are called leaves, and every one has words.'''
            from sqlalchemy import Column, Text

            def upgrade(op):
                with op.batch_alter_table("crm_diary_entry") as batch:
                    batch.add_column(Column("words", Text, nullable=False, server_default="-"))
                    batch.alter_column("page", new_column_name="leaf")
        """
        newer = diary(migrations=package(batch))
        table = Table(
            "crm_diary_entry",
            MetaData(),
            Column("customer_id", Whole, primary_key=True),
            Column("leaf", Whole, primary_key=True),
            Column("words", Text, nullable=False),
        )
        type(newer).tables = (PluginTable(table, derived=False, merge="move", erase="delete"),)
        (planned,) = plan_migration(first, [newer]).steps
        migrate(first, [newer])
        Crm(first, plugins=[newer]).close()

        assert first.startswith("sqlite") == (planned.sql is None)
        expected = [{"customer_id": 1, "leaf": page, "words": "-"} for page in (1, 2)]
        assert expected == contents(first)["crm_diary_entry"]


class TestRefusal:
    def test_another_shape_without_a_revision(self, first):
        """Without a revision that leads to it, another shape is refused, and its column named."""
        with pytest.raises(SchemaError, match="no migration leads from one to the other") as caught:
            Crm(first, plugins=[diary("mood")])

        assert "(column 'mood' is declared and not there)" in str(caught.value)

    def test_newer(self, url, package):
        """A database that a newer version of the plugin was used with is refused."""
        newer = diary("mood", migrations=package(ADD_MOOD))
        Crm(url, plugins=[newer]).close()
        for attempt in (
            lambda: Crm(url, plugins=[diary()]),
            lambda: migrate(url, [diary()]),
        ):
            with pytest.raises(SchemaError, match="revision 1 of the tables of plugin 'diary'"):
                attempt()

    @pytest.mark.parametrize(
        ("statement", "table"),
        [
            ("ALTER TABLE crm_customer ADD COLUMN mood TEXT", "crm_customer"),
            ("CREATE INDEX shop_order_note ON shop_order (note)", "shop_order"),
            ("DROP TABLE shop_order", "shop_order"),
            ("CREATE TABLE shop_mood (mood TEXT)", "shop_mood"),
            ("ALTER TABLE crm_other_entry ADD COLUMN mood TEXT", "crm_other_entry"),
        ],
    )
    def test_touches_others(self, first, package, statement, table):
        """A revision that changes a table not its own is undone, and the table named."""
        Crm(first, plugins=[diary(name="other")]).close()
        with opened(first) as connection:
            connection.execute(text("CREATE TABLE shop_order (note TEXT)"))
        before = schema(first), contents(first)
        both = f"{ADD_MOOD}        op.execute({statement!r})\n"
        newer = diary("mood", migrations=package(both))
        with pytest.raises(PluginError, match=f"revision 1 touches table '{table}'"):
            migrate(first, [newer])

        assert before == (schema(first), contents(first))

    def test_raises(self, first, package):
        """A revision that raises leaves nothing of what it did, and the one before stays."""
        failing = f"{ADD_MOOD.replace('mood', 'weather')}        raise ValueError('told to fail')\n"
        newer = diary("mood", "weather", migrations=package(ADD_MOOD, failing))
        with pytest.raises(PluginError) as caught:
            migrate(first, [newer])

        assert "plugin 'diary': revision 2 was not applied" in str(caught.value)
        assert "ValueError: told to fail" in str(caught.value)
        found = contents(first)
        assert {"customer_id", "page", "mood"} == set(found["crm_diary_entry"][0])
        assert [("diary", 1)] == [each for each in revisions(first) if each[0] == "diary"]

    def test_refused_by_the_database(self, first, package):
        """What the database refuses is told, with the plugin and its revision."""
        broken = """
            '''Nothing to be found.'''

            def upgrade(op):
                op.execute("UPDATE crm_diary_nothing SET page = 1")
        """
        with pytest.raises(PluginError, match=r"revision 1 was not applied.*crm_diary_nothing"):
            migrate(first, [diary(migrations=package(broken))])

    def test_leaves_another_shape(self, first, package):
        """A revision that does not lead to what the plugin declares is undone."""
        before = schema(first), contents(first)
        newer = diary("weather", migrations=package(ADD_MOOD))
        with pytest.raises(PluginError, match="another than the plugin declares it, in mood, wea"):
            migrate(first, [newer])

        assert before == (schema(first), contents(first))

    def test_packages(self, url, package):
        """A package that is not there, or lacks a number, stops the start."""
        for migrations, said in (
            ("nowhere.to_be_found", "nowhere"),
            ("json.decoder", "there is no package 'json.decoder'"),
            (package(ADD_MOOD, 0, ADD_MOOD), "has r0003_change where a module r0002_<what>.py"),
        ):
            with pytest.raises(PluginError, match="plugin 'diary': migrations:") as caught:
                Crm(url, plugins=[diary(migrations=migrations)])
            assert said in str(caught.value)


class TestChecksums:
    def test_line_ends(self, package):
        """A checkout with other line ends has the same checksums; another source has not."""
        lines, windows, other = (
            find_revisions("diary", name)[0].checksum
            for name in (
                package(ADD_MOOD),
                package(ADD_MOOD, newline="\r\n"),
                package(ADD_MOOD + "    # more"),
            )
        )

        assert lines == windows
        assert lines != other

    def test_edited(self, first, package):
        """A revision edited after it was applied is warned of, and not applied again."""
        migrate(first, [diary("mood", migrations=package(ADD_MOOD))])
        edited = diary("mood", migrations=package(ADD_MOOD.replace("fine", "well")))
        plan = plan_migration(first, [edited])

        assert () == plan.steps
        assert [True] == [w.startswith("revision 1 of diary was edited") for w in plan.warnings]
        assert [] == migrate(first, [edited])


class TestForeignKeys:
    def test_to_the_core(self, url):
        """A table may refer to one of the core's; its plugin need not declare that one, too."""
        plugin = diary(key=ForeignKey("crm_customer.customer_id"))
        with Crm(url, plugins=[plugin]) as crm:
            order = crm.record("order.placed", email="ada@example.com")
            entry = {"customer_id": order.customer_id, "page": 1}
            add_rows(url, plugin.tables[0].table, entry)
        Crm(url, plugins=[plugin]).close()

        assert [entry] == contents(url)["crm_diary_entry"]
        assert "crm_customer" in repr(
            {k: v for k, v in schema(url).items() if k in ("table crm_diary_entry", "keys")}
        )

    @pytest.mark.parametrize("target", ["shop_order", "crm_other_entry"])
    def test_to_others(self, url, target):
        """A key to a table of the shop, or of another plugin, stops the start and is named."""
        plugin = diary(key=ForeignKey(f"{target}.customer_id"))
        with pytest.raises(PluginError) as caught:
            Crm(url, plugins=[plugin])

        assert "column 'customer_id' of table 'crm_diary_entry'" in str(caught.value)
        assert f"foreign key to table '{target}'" in str(caught.value)
        assert {} == contents(url)
