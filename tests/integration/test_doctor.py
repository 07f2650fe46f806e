"""The doctor names what is wrong and what helps, finds nothing in a sound shop, changes nothing."""

from __future__ import annotations

import ast
import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import click
import psycopg
import pytest
from click.testing import CliRunner
from crmcore_tiering import Tiering
from sqlalchemy import MetaData, Table, text
from sqlalchemy.engine import make_url

from crmcore import Crm, PluginTable
from crmcore.app.checking import assembly_of, find_obstacles
from crmcore.cli import crm as command
from crmcore.configuration import load_configuration
from crmcore.errors import CrmError
from crmcore.persistence.schema import whole
from crmcore.services import checkups
from crmcore.services.checkups.doctor import examine
from crmcore.services.starting.assembly import Assembly
from tests.support.databases import drop_schema, dsn, new_schema, shop_file
from tests.support.histories import START, instant
from tests.support.making import draft, plugin, raising, us
from tests.support.runs import opened

each_database = pytest.mark.each_database
NOW = instant(START)
HOUR = 3_600_000_000


@pytest.fixture
def url(tmp_path):
    return shop_file(tmp_path)


def found(url, *plugins, at=NOW):
    """What the doctor finds, but for the settings of a server that forgets on purpose."""
    every = examine(url, Assembly(plugins), at)
    return [each for each in every if each.check != "server"]


def run_sql(url, statement):
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
            connection.executescript(statement)
    else:
        with psycopg.connect(dsn(url)) as connection:
            connection.execute(statement)


@each_database
def test_sound(url):
    """A shop that was just used has nothing wrong, and is not changed by being looked at."""
    with opened([], url=url) as (crm, clock):
        crm.record(draft("order.placed", key="1"))
        crm.run_due()
        assert [] == found(url, at=clock.now())


@each_database
def test_nobody_works(url):
    """What fell due an hour ago and was not done is missed; within five minutes it is not."""
    with opened([], url=url) as (crm, _):
        crm.record(draft("order.placed", key="1"))
        due = crm.next_due()

    assert due is not None
    assert [] == found(url, at=due + HOUR // 20)
    (late,) = found(url, at=due + HOUR)
    assert ("warning", "due") == (late.severity, late.check)
    assert "due for 1 hour" in late.found
    assert "crm worker" in late.cure


@each_database
def test_debts_and_faults(url):
    """A plugin that failed owes: for how many, since when, and what it said."""
    failing = plugin("notes", on_interactions_recorded=raising)
    with opened([failing], url=url) as (crm, clock):
        crm.record_many(draft("order.placed", key=str(n), email=f"c{n}") for n in range(3))
        crm.run_due()
        recorded = clock.now()

    (owed,) = found(url, failing, at=recorded + HOUR // 30)
    assert "'notes' has yet to catch up with 3 customers, the oldest for 2 minutes" in owed.found
    assert "ValueError: told to fail" in owed.found
    assert "crm retry notes" in owed.cure
    # One that is not switched on any more waits for being so.
    (owed,) = found(url, at=recorded + HOUR // 30)
    assert "[plugins.notes]" in owed.cure


@each_database
def test_parked(url):
    """Timers that failed eight times are named, until somebody has them tried again."""

    def start(ctx, event):
        ctx.set_timer("look", us(1))

    failing = plugin("notes", on_started=start, on_timers_due=raising)
    with opened([failing], url=url) as (crm, clock):
        for hours in range(30 * 24):
            clock.advance_to(us(1) + hours * HOUR)
            if crm.parked_timers():
                break
            crm.worker().once()
        at = clock.now()

    parked = [each for each in found(url, failing, at=at) if each.check == "parked"]
    assert ["fault"] == [each.severity for each in parked]
    assert "failed too often with 1 timer" in parked[0].found


@each_database
def test_lag(url):
    """A plugin that was not told for an hour is behind; that of one switched off is no warning."""
    told = plugin("letters", after_interactions_recorded=lambda ctx, event: None)
    with opened([told], url=url) as (crm, clock):
        crm.record(draft("order.placed", key="1"))
        crm.record(draft("order.placed", key="2"))
        at = clock.now()

    def lag(*plugins, later):
        return [each for each in found(url, *plugins, at=at + later) if each.check == "lag"]

    assert [] == lag(told, later=0)
    (behind,) = lag(told, later=HOUR)
    assert ("warning", True) == (behind.severity, "2 interactions" in behind.found)
    assert "recorded 1 hour ago" in behind.found
    assert ["note"] == [each.severity for each in lag(later=HOUR)]


@each_database
def test_what_has_yet_to_happen(url):
    """A fact of more than a day ahead is a mistake in typing, or of a clock; a day is not."""
    with opened([], url=url) as (crm, clock):
        now = clock.now()
        crm.record(draft("order.placed", 1, key="1"))
        assert [] == [each for each in found(url, at=now) if each.check == "future"]
        made = crm.record(draft("order.placed", 36 * 365, key="2"))

    (ahead,) = (each for each in found(url, at=now) if each.check == "future")
    assert "warning" == ahead.severity
    assert "1 interaction of source 'shop' lies more than a day ahead" in ahead.found
    assert f"the first recorded as {made.id}:" in ahead.found


@each_database
def test_tables(url):
    """Tables that are missing, changed or nobody's are named; those of absent plugins are noted."""
    made = MetaData()
    table = Table("crm_notes_note", made, whole("customer_id", primary_key=True))
    kept = PluginTable(table, derived=False, merge="move", erase="delete")
    notes = plugin("notes", tables=(kept,))
    with opened([notes], url=url):
        pass
    run_sql(url, "CREATE TABLE crm_stranger (stranger_id INTEGER PRIMARY KEY)")
    run_sql(url, "ALTER TABLE crm_debt ADD COLUMN mood TEXT")

    by_severity = {each.severity: each for each in found(url)}
    assert "column 'mood' is there and not declared" in by_severity["fault"].found
    assert "crm_stranger" in by_severity["warning"].found
    assert "crm_notes_note" in by_severity["note"].found
    assert "a merge will move its rows" in by_severity["note"].found
    assert "an erasure: delete" in by_severity["note"].found

    run_sql(url, "DROP TABLE crm_notes_note")
    missing = [each for each in found(url, notes) if "crm_notes_note" in each.found]
    assert ["fault"] == [each.severity for each in missing]
    assert "backup" in missing[0].cure


@each_database
def test_a_derived_table_comes_back(url):
    """What somebody dropped is a fault, and `crm rebuild` makes it anew, as its cure says."""
    with opened([Tiering()], url=url) as (crm, _):
        crm.record(draft("order.placed", key="1"))
        crm.run_due()
        before = crm.customer(1).traits
    run_sql(url, "DROP TABLE crm_tiering_total")

    missing = [each for each in found(url, Tiering()) if "crm_tiering_total" in each.found]
    assert [("fault", True)] == [
        (each.severity, "`crm rebuild tiering`" in each.cure) for each in missing
    ]
    with opened([Tiering()], url=url) as (crm, _):
        crm.rebuild("tiering")
        assert before == crm.customer(1).traits
    assert [] == [each for each in found(url, Tiering()) if each.check == "tables"]


def test_what_holds_cursors_back(monkeypatch):
    """PostgreSQL: a transaction that has written and stays open is named with its process."""
    from crmcore.services.checkups import postgresql

    url = new_schema()
    with opened([], url=url) as (crm, clock):
        crm.record(draft("order.placed", key="1"))
        at = clock.now()
    statement = str(postgresql._WRITERS).replace("60 seconds", "0 seconds")
    monkeypatch.setattr(postgresql, "_WRITERS", text(statement))
    with psycopg.connect(dsn(url), application_name="the shop's report") as shop:
        pid = shop.info.backend_pid
        assert [] == [each for each in found(url, at=at) if f"process {pid} " in each.found]
        shop.execute("CREATE TABLE written (n int)")
        (held,) = (each for each in found(url, at=at) if f"process {pid} " in each.found)
        assert "of the shop's report" in held.found
        assert f"pg_terminate_backend({pid})" in held.cure
        shop.rollback()
    assert [] == [each for each in found(url, at=at) if each.check == "cursors"]
    drop_schema(url)


def test_few_rights():
    """PostgreSQL: what the database's user may not look at is said, and the rest looked at."""
    url = new_schema()
    schema = str(make_url(url).query["options"]).removeprefix("-csearch_path=")
    name = f"{schema}_reader"
    with opened([], url=url):
        pass
    with psycopg.connect(dsn(url), autocommit=True) as owner:
        owner.execute(
            f"CREATE ROLE {name} LOGIN; GRANT USAGE ON SCHEMA {schema} TO {name}; "
            f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {name}; "
            f"REVOKE SELECT ON {schema}.crm_hook_time FROM {name}"
        )
        try:
            reader = make_url(url).set(username=name, password=None)
            said = found(reader.render_as_string(hide_password=False))
            could_not = {each.check: each for each in said if "could not look" in each.found}
            assert {"cursors", "slow_plugins"} == could_not.keys()
            assert "of other users" in could_not["cursors"].found
            assert "pg_read_all_stats" in could_not["cursors"].cure
            assert "crm_hook_time" in could_not["slow_plugins"].found
            # Without any, nothing can be looked at, which is one finding.
            owner.execute(f"REVOKE SELECT ON ALL TABLES IN SCHEMA {schema} FROM {name}")
            (fault,) = found(reader.render_as_string(hide_password=False))
            assert ("fault", "schema") == (fault.severity, fault.check)
        finally:
            owner.execute(f"DROP OWNED BY {name}; DROP ROLE {name}")
    drop_schema(url)


def test_server_settings():
    """PostgreSQL: a server that may lose commits is a fault; the one of these tests does."""
    url = new_schema()
    with opened([], url=url):
        pass
    with psycopg.connect(dsn(url)) as connection:
        names = ("fsync", "full_page_writes", "synchronous_commit")
        off = {n for n in names if connection.execute(f"SHOW {n}").fetchone() == ("off",)}
    said = [each.found for each in examine(url, Assembly([]), NOW) if each.check == "server"]

    assert off == {name for name in names if any(each.startswith(name) for each in said)}
    drop_schema(url)


def test_damaged(tmp_path):
    """SQLite: a file with a page overwritten is damaged, and says so."""
    url = f"sqlite:///{tmp_path}/shop.db"
    with opened([], url=url) as (crm, _):
        crm.record_many(draft("order.placed", key=str(n), email=f"c{n}") for n in range(500))
    with closing(sqlite3.connect(tmp_path / "shop.db")) as connection:
        (page,) = connection.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'crm_identifier_customer'"
        ).fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with (tmp_path / "shop.db").open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)

    damaged = [each for each in found(url, at=NOW) if "damaged" in each.found]
    assert ["fault"] == [each.severity for each in damaged]


def test_database_that_is_not_there(tmp_path):
    """A file that is not there is a fault, and is not made by looking."""
    (missing,) = found(f"sqlite:///{tmp_path}/nowhere.db")

    assert "fault" == missing.severity
    assert not (tmp_path / "nowhere.db").exists()


def told(pattern):
    """Yield what texts of the doctor's parts have of a pattern, names that change being NAME."""
    folder = Path(checkups.__file__).parent
    for file in sorted(set(folder.glob("*.py")) - {folder / "hook_times.py", folder / "status.py"}):
        for node in ast.walk(ast.parse(file.read_text())):
            values = node.values if isinstance(node, ast.JoinedStr) else [node]
            whole = "".join(
                str(each.value) if isinstance(each, ast.Constant) else "NAME"
                for each in values
                if isinstance(each, ast.Constant | ast.FormattedValue)
            )
            yield from re.findall(pattern, whole)


def test_cures_can_be_followed():
    """Each command that a check-up names is there, with the options and words it is given."""
    lines = set(told(r"`(crm [^`]*)`"))
    assert {"crm worker", "crm migrate --plan", "crm access of NAME"} <= lines
    calls = set(told(r"\bcrm\.(\w+)\("))
    assert {"start_worker"} <= calls
    assert all(hasattr(Crm, name) for name in calls)
    for line in sorted(lines):
        named: click.Command = command
        words = line.split()[1:]
        while isinstance(named, click.Group):
            inner = named.get_command(click.Context(named), words[0]) if words else None
            assert inner is not None, line
            named, words = inner, words[1:]
        options = {name for each in named.params for name in each.opts}
        places = [each for each in named.params if isinstance(each, click.Argument)]
        given = [word for word in words if not word.startswith("-")]
        assert {word for word in words if word.startswith("-")} <= options, line
        assert len(given) <= len(places) or any(each.nargs == -1 for each in places), line
        assert len(given) >= sum(each.required for each in places), line


class TestCommand:
    @pytest.fixture
    def shop(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "crm.toml").write_text('[crm]\ndatabase = "sqlite:///shop.db"\n')
        return tmp_path

    def run(self, *arguments):
        return CliRunner().invoke(command, ["doctor", *arguments])

    def test_sound(self, shop):
        """Nothing is wrong: exit code 0, in words and as JSON."""
        with opened([], url=f"sqlite:///{shop}/shop.db"):
            pass

        assert (0, "Nothing is wrong.\n") == (self.run().exit_code, self.run().stdout)
        assert [] == json.loads(self.run("--json").stdout)

    def test_fault(self, shop):
        """A fault ends with exit code 1, and with its cure below it."""
        made = self.run()

        assert 1 == made.exit_code
        assert made.stdout.startswith("Fault (schema): The database")
        (fault,) = json.loads(self.run("--json").stdout)
        assert {"severity", "check", "found", "cure"} == fault.keys()

    def test_broken_plugin(self, shop, monkeypatch):
        """A plugin that cannot be imported ends in one sentence that names it, and exit code 2."""
        info = shop / "site" / "crm_torn-1.0.dist-info"
        info.mkdir(parents=True)
        (shop / "site" / "crm_torn.py").write_text("raise RuntimeError('torn')")
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: crm-torn\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("[crmcore.plugins]\ntorn = crm_torn:Torn\n")
        monkeypatch.syspath_prepend(str(shop / "site"))
        with (shop / "crm.toml").open("a") as file:
            file.write("[plugins.torn]\n")

        made = self.run()
        assert (2, "") == (made.exit_code, made.stdout)
        assert "Error: plugin 'torn': its import raised RuntimeError: torn\n" == made.stderr

    @pytest.mark.parametrize(
        ("setting", "said"),
        [
            ('[crm]\ndatabase = "sqlite:///shop.db"\ncurrency = "USD"\n', "counts in EUR"),
            ('[retention]\n"servce.*" = "1 day"\n', "retention of 'servce.*'"),
            ('[crm]\ncritical = ["tierng"]\n', "'tierng'"),
            ('[segments]\nbig = "revenu > 5"\n', "revenu"),
            ("[staff.grace]\nroles = ['suport']\n", "no role is named 'suport'"),
        ],
    )
    def test_what_stops_the_start(self, shop, setting, said):
        """It is a fault, in the very words in which the start refuses it, once each."""
        with opened([], url=f"sqlite:///{shop}/shop.db"):
            pass
        config = shop / "crm.toml"
        before = "" if "database" in setting else '[crm]\ndatabase = "sqlite:///shop.db"\n'
        config.write_text(before + setting.removeprefix("[crm]\n" if before else ""))
        with pytest.raises(CrmError) as refused:
            Crm.from_config(config)

        assert said in str(refused.value)
        made = self.run("--json")
        assert 1 == made.exit_code
        (fault,) = json.loads(made.stdout)
        assert ("fault", "start", str(refused.value)) == tuple(fault.values())[:3]

    def test_all_that_stops_the_start(self, shop):
        """Everything is named at once: mending one thing after the other takes a start each."""
        with opened([], url=f"sqlite:///{shop}/shop.db"):
            pass
        with (shop / "crm.toml").open("a") as file:
            file.write('currency = "USD"\n[retention]\n"servce.*" = "1 day"\n"x" = "2 days"\n')
            for action in ("raed", "lsit"):
                file.write(f'[[roles.{action}s.grants]]\nactions = ["{action}"]\nfields = ["*"]\n')

        found = [each["found"] for each in json.loads(self.run("--json").stdout)]
        names = ("counts in EUR", "'servce.*'", "'x'", "roles.raeds", "roles.lsits")
        assert [1] * 5 == [sum(name in each for each in found) for name in names]
        assert 5 == len(found)

    def test_older_plugin(self, shop):
        """A plugin whose tables the database has in another shape stops the start, and is told."""
        made = MetaData()
        first = Table("crm_notes_note", made, whole("customer_id", primary_key=True))
        other = Table(
            "crm_notes_note", MetaData(), whole("customer_id", primary_key=True), whole("more")
        )
        kept = [
            plugin(
                "notes", tables=(PluginTable(each, derived=False, merge="move", erase="delete"),)
            )
            for each in (first, other)
        ]
        url = f"sqlite:///{shop}/shop.db"
        with opened([kept[0]], url=url):
            pass
        arguments = {**load_configuration(shop / "crm.toml").arguments(), "plugins": [kept[1]]}
        with pytest.raises(CrmError) as refused:
            Crm(url, plugins=[kept[1]])

        (found,) = find_obstacles(arguments, assembly_of(arguments))
        assert str(refused.value) == str(found)

    def test_nothing_is_changed(self, shop):
        """Neither the database's file nor what it notes of plugins is another afterwards."""
        url = f"sqlite:///{shop}/shop.db"
        with opened([], url=url):
            pass
        with closing(sqlite3.connect(shop / "shop.db")) as connection:
            before = "\n".join(connection.iterdump())
        with (shop / "crm.toml").open("a") as file:
            file.write("[plugins.tiering]\n[plugins.files]\n")

        assert 0 == self.run().exit_code
        with closing(sqlite3.connect(shop / "shop.db")) as connection:
            assert before == "\n".join(connection.iterdump())

    def test_new_database(self, shop):
        """One that has yet to be made is to be used, or its path mended: nothing to install."""
        (fault,) = json.loads(self.run("--json").stdout)
        assert "crm record" in fault["found"]
        assert "mend `database`" in fault["cure"]
        assert "install" not in fault["cure"]

    def test_folder_that_is_not_there(self, shop):
        """It is named by the start, by the status and by the doctor alike."""
        (shop / "crm.toml").write_text('[crm]\ndatabase = "sqlite:///data/shop.db"\n')
        said = f"cannot be opened: there is no folder {shop / 'data'}; make it"

        assert said in self.run().stdout
        for words in (["status"], ["record", "order.placed", "--id", "email:a@example.com"]):
            made = CliRunner().invoke(command, words)
            assert (2, True) == (made.exit_code, said in made.output), made.output

    def test_names_are_not_words(self, shop):
        """A sentence begins with a capital, unless it begins with the name of a table."""
        with opened([], url=f"sqlite:///{shop}/shop.db"):
            pass
        run_sql(f"sqlite:///{shop}/shop.db", "ALTER TABLE crm_task ADD COLUMN mood TEXT")

        assert "Fault (tables): crm_task is not as" in self.run().stdout

    def test_older(self, shop):
        """An older database is told to be migrated, not refused."""
        from tests.support.revisions import make_first_revision

        make_first_revision(f"sqlite:///{shop}/shop.db")

        assert "crm migrate --plan" in self.run().stdout
