"""Older databases: refused when they are opened, brought here by migrating, and nothing is lost."""

from __future__ import annotations

import hmac
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner
from sqlalchemy import text
from sqlalchemy.engine import make_url

from crmcore import Crm, MigrationPlan, VirtualClock, migrate, plan_migration
from crmcore.cli import crm as command
from crmcore.errors import OutdatedSchemaError, SchemaError
from crmcore.persistence.schema import REVISION
from crmcore.services.starting.revisions import core_revisions
from tests.support.databases import KINDS, drop_schema, dsn, new_schema
from tests.support.histories import START, instant
from tests.support.making import draft
from tests.support.notebook import Notebook
from tests.support.revisions import contents, make_empty, make_first_revision, opened
from tests.support.schemas import schema

LAST = instant(START + timedelta(days=121, hours=12))
"""When the last interaction of the older database was recorded."""

DERIVED = ("crm_stage", "crm_stage_change")


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
def old(url):
    """The URL of a database as crmcore left it at revision 1."""
    make_first_revision(url)
    return url


def reopened(url, *plugins):
    return Crm(url, plugins=plugins, clock=VirtualClock(LAST))


def revisions(url):
    return {(row["component"], row["revision"]) for row in contents(url)["crm_revision"]}


def without_clocks(rows):
    return Counter(
        tuple((name, value) for name, value in row.items() if name != "recorded_at") for row in rows
    )


def python(script, *arguments, **settings):
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.PIPE,
        text=True,
        **settings,
    )


class TestSchema:
    def test_same_either_way(self, url, tmp_path):
        """The revisions, one after the other, make what an empty database is given at once."""
        other = f"sqlite:///{tmp_path}/other.db" if url.startswith("sqlite") else new_schema()
        try:
            make_empty(url)
            Crm(other).close()

            assert schema(other) == schema(url)
        finally:
            if not other.startswith("sqlite"):
                drop_schema(other)

    def test_no_revision_is_missing(self):
        """The number that a database is compared with is the last revision's."""
        assert list(range(1, REVISION + 1)) == [each.number for each in core_revisions()]

    def test_a_new_database_has_all(self, url):
        """An empty database has every revision, with its checksum, and there is nothing to do."""
        with Crm(url):
            pass

        rows = contents(url)["crm_revision"]
        expected = {each.number: each.checksum for each in core_revisions()}
        assert expected == {row["revision"]: row["checksum"] for row in rows}
        assert all(len(checksum) == 64 for checksum in expected.values())
        assert MigrationPlan(()) == plan_migration(url)
        assert [] == migrate(url)

    def test_an_empty_database_is_left_to_the_start(self, url):
        """Where there are no tables there is nothing to migrate: opening makes the newest."""
        assert plan_migration(url).is_empty
        assert [] == migrate(url)
        assert {} == contents(url)

    def test_opening_needs_no_alembic(self):
        """Alembic is imported by who migrates, not by who opens a database."""
        script = (
            "import sys\nfrom crmcore import Crm\nCrm('sqlite://').close()\n"
            "print('alembic' in sys.modules)"
        )
        done = python(script)

        assert ("False\n", "") == done.communicate()


class TestRefusal:
    def test_older(self, old):
        """A database of an older revision is not opened: the error says how to bring it here."""
        before = contents(old)

        with pytest.raises(OutdatedSchemaError) as caught:
            Crm(old)

        said = str(caught.value)
        assert f"has revision 1 of the core's tables and revision {REVISION} is needed" in said
        assert "make a backup, then `crm migrate`, or crmcore.migrate(url)" in said
        assert before == contents(old)

    def test_newer(self, url):
        """A newer one is neither opened, nor planned for, nor migrated."""
        Crm(url).close()
        with opened(url) as connection:
            connection.execute(text("INSERT INTO crm_revision VALUES ('crmcore', 99, '', 0)"))
        before = contents(url)

        for attempt in (Crm, plan_migration, migrate):
            with pytest.raises(SchemaError, match="revision 99 of the core's tables"):
                attempt(url)
        assert before == contents(url)


class TestUpgrade:
    def test_nothing_is_lost(self, old):
        """Every row of every table is there afterwards, with the values it had."""
        before = contents(old)
        assert 58 == len(before["crm_interaction"])

        steps = migrate(old)

        after = contents(old)
        after["crm_setting"].remove({"setting": "points", "setting_value": "missing"})
        assert [("crmcore", number) for number in range(2, REVISION + 1)] == [
            (step.component, step.revision) for step in steps
        ]
        for table in before.keys() - {"crm_revision"}:
            names = {name for row in before[table] for name in row}
            kept = [{n: v for n, v in row.items() if n in names} for row in after[table]]
            assert before[table] == sorted(kept, key=repr), table

    def test_new_columns(self, old):
        """Identifiers were recorded for whom they are of; the rest has what means nothing yet."""
        migrate(old)

        after = contents(old)
        assert 6 == len(after["crm_identifier"])
        assert all(row["customer_id"] == row["recorded_for"] for row in after["crm_identifier"])
        assert {(None, 0)} == {(r["merged_into"], r["revision"]) for r in after["crm_customer"]}
        assert {(0, 0)} == {(r["attempt"], r["run_at"]) for r in after["crm_debt"]}
        assert {("late", None)} == {(r["catch_up"], r["skip_after"]) for r in after["crm_timer"]}

    def test_contact_points(self, old):
        """What needs the shop's secret is filled in at the next start, as it would be recorded."""
        migrate(old)
        lacking = {(row["bucket"],) for row in contents(old)["crm_customer"]}
        with Crm(old, plugins=[Notebook()], clock=VirtualClock(LAST), secret="the shop's own"):
            pass

        after = contents(old)
        key = b"the shop's own"
        for row in after["crm_identifier"]:
            named = f"{row['scheme']}:{row['identifier_value']}".encode()
            assert hmac.new(key, named, "sha256").hexdigest()[:32] == row["point"]
        for row in after["crm_customer"]:
            assert int(row["reference"][:15], 16) % (2**31 - 1) == row["bucket"]
        assert {(None,)} == lacking
        assert {"setting": "points", "setting_value": "there"} in after["crm_setting"]

    def test_same_schema(self, old, tmp_path):
        """The core's tables are then what a new database has; those of plugins are untouched."""
        plugins = {k: v for k, v in schema(old).items() if "crm_notebook_" in k}
        migrate(old)
        found = schema(old)
        other = f"sqlite:///{tmp_path}/other.db" if old.startswith("sqlite") else new_schema()
        try:
            Crm(other).close()

            assert schema(other) | plugins == found
        finally:
            if not other.startswith("sqlite"):
                drop_schema(other)

    def test_ledger(self, old):
        """Every revision applied has a row; the first was applied when there was no module yet."""
        migrate(old)

        rows = {row["revision"]: row for row in contents(old)["crm_revision"]}
        expected = {1: ""} | {each.number: each.checksum for each in core_revisions()[1:]}
        assert expected == {number: row["checksum"] for number, row in rows.items()}
        assert rows[1]["applied_at"] < rows[2]["applied_at"]
        assert () == plan_migration(old).warnings
        assert [] == migrate(old)

    def test_derived_tables_follow_from_it(self, old):
        """What is derived stays as it was, and a rebuild from the ledger makes it again."""
        before = contents(old)
        migrate(old)
        with reopened(old, Notebook()) as crm:
            opened_ = contents(old)
            crm.pay_debts()
            crm.rebuild()

        rebuilt = contents(old)
        for table in DERIVED:
            assert without_clocks(before[table]) == without_clocks(opened_[table])
            assert without_clocks(before[table]) == without_clocks(rebuilt[table])
        facts = [row for row in before["crm_interaction"] if row["origin"] == "observed"]
        counted = Counter(row["customer_id"] for row in facts)
        earned = {
            who: sum(r["amount_base_minor"] or 0 for r in facts if r["customer_id"] == who)
            for who in counted
        }
        assert {who: (counted[who], earned[who]) for who in counted} == {
            row["customer_id"]: (row["facts"], row["net_minor"])
            for row in rebuilt["crm_notebook_tally"]
        }

    def test_work_goes_on(self, old):
        """Old customers are recognised, new ones and their facts get ids that nobody had."""
        before = contents(old)
        highest = max(row["interaction_id"] for row in before["crm_interaction"])
        known = {row["identifier_value"]: row["customer_id"] for row in before["crm_identifier"]}
        migrate(old)
        with reopened(old) as crm:
            again = crm.record(draft("order.placed", 122, key="new1", email="ada"))
            other = crm.record(draft("order.placed", 122, key="new2", email="zoe"))
            once = crm.record(draft("order.placed", 0, key="o2", email="ben"))

        assert known["ada@example.com"] == again.customer_id
        assert other.customer_id == max(known.values()) + 1
        assert again.id > highest
        assert other.id > again.id
        assert once.id in {row["interaction_id"] for row in before["crm_interaction"]}


KILLED = """
import os, signal, sys
from sqlalchemy import event
from sqlalchemy.engine import Engine
import crmcore
seen = 0
@event.listens_for(Engine, "after_cursor_execute")
def _(connection, cursor, statement, *_):
    global seen
    seen += statement.lstrip().split()[0] in {"CREATE", "ALTER", "UPDATE", "DROP", "INSERT"}
    if seen == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
crmcore.migrate(sys.argv[1])
print(seen)
"""

WAITING = """
import sys, crmcore
print("here", flush=True)
sys.stdin.readline()
print(len(crmcore.migrate(sys.argv[1])))
"""


class TestInterruption:
    @pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs a signal that kills")
    @pytest.mark.parametrize("statement", [1, 4, 12, 20])
    def test_killed(self, old, statement):
        """Killed in the middle of a revision, also after a table was copied, nothing of it is."""
        tables, rows = schema(old), contents(old)
        killed = python(KILLED, old, str(statement))
        killed.communicate()

        assert -signal.SIGKILL == killed.returncode
        assert tables == schema(old)
        assert rows == contents(old)
        assert REVISION - 1 == len(migrate(old))

    def test_two_at_once(self, old):
        """Of two processes that migrate at once one does each revision, the other finds it done."""
        started = [python(WAITING, old) for _ in range(2)]
        for each in started:
            assert "here\n" == each.stdout.readline()
        for each in started:
            each.stdin.write("\n")
            each.stdin.flush()
        done = [each.communicate() for each in started]

        assert ["", ""] == [error for _, error in done]
        # They take turns at each revision, so which of them does which is open.
        assert REVISION - 1 == sum(int(printed) for printed, _ in done)
        assert {("crmcore", number) for number in range(1, REVISION + 1)} == revisions(old)


class TestPlan:
    def test_sql(self, old, tmp_path):
        """The statements of the plan, run by hand, do to the tables what migrating does."""
        before = contents(old)
        steps = plan_migration(old).steps

        assert before == contents(old)
        assert [core_revisions()[1].title] == [step.title for step in steps[:1]]
        for step in steps:
            assert step.sql is not None
            if old.startswith("sqlite"):
                with closing(sqlite3.connect(str(make_url(old).database))) as connection:
                    connection.executescript(step.sql)
            else:
                with psycopg.connect(dsn(old)) as server:
                    server.execute(step.sql)
        planned = schema(old)
        other = f"sqlite:///{tmp_path}/other.db" if old.startswith("sqlite") else new_schema()
        try:
            make_first_revision(other)
            migrate(other)

            assert schema(other) == planned
        finally:
            if not other.startswith("sqlite"):
                drop_schema(other)

    def test_edited(self, url):
        """A revision that is not any more what it was when it was applied is warned of."""
        Crm(url).close()
        with opened(url) as connection:
            connection.execute(text("UPDATE crm_revision SET checksum = 'e' WHERE revision = 2"))

        (warning,) = plan_migration(url).warnings
        assert warning.startswith("revision 2 of crmcore was edited after it was applied here")


class TestCommand:
    @pytest.fixture
    def shop(self, tmp_path, monkeypatch):
        """A folder with a configuration, and a database of revision 1 beside it."""
        monkeypatch.chdir(tmp_path)
        Path("crm.toml").write_text('[crm]\ndatabase = "sqlite:///crm.db"\n', encoding="utf-8")
        make_first_revision("sqlite:///crm.db")

    def run(self, *words):
        return CliRunner().invoke(command, list(words), catch_exceptions=False)

    def test_from_refusal_to_work(self, shop):
        """A command names `crm migrate`, which does it, and then the command works."""
        refused = self.run("customer", "show", "email:ada@example.com")
        planned = self.run("migrate", "--plan")
        done = self.run("migrate")
        again = self.run("migrate")

        assert 2 == refused.exit_code
        assert "`crm migrate`" in refused.stderr
        assert "crmcore, revision 2: Room for PostgreSQL" in planned.stdout
        assert re.search(r"^ +ALTER TABLE crm_identifier ADD COLUMN", planned.stdout, re.MULTILINE)
        assert "Nothing was changed" in planned.stdout
        assert f"Applied {REVISION - 1} revision" in done.stdout
        assert "Nothing to do.\n" == again.stdout
        assert 0 == self.run("customer", "show", "email:ada@example.com").exit_code

    def test_json(self, shop):
        """As JSON the plan has every step with its statements, and says that nothing was done."""
        before = contents("sqlite:///crm.db")
        planned = json.loads(self.run("migrate", "--plan", "--json").stdout)
        assert before == contents("sqlite:///crm.db")
        done = json.loads(self.run("migrate", "--json").stdout)

        assert not planned.pop("done")
        assert done.pop("done")
        assert planned == done
        assert 2 == done["steps"][0]["revision"]
        assert "crm_merge" in done["steps"][0]["sql"]

    def test_no_database(self, tmp_path, monkeypatch):
        """Before the first use there is nothing to do, and it says why."""
        monkeypatch.chdir(tmp_path)
        Path("crm.toml").write_text("[crm]\n", encoding="utf-8")

        assert "no tables yet" in self.run("migrate").stdout

    def test_init_keeps_the_configuration(self, shop):
        """`crm init` beside an older database leaves a configuration to migrate it with."""
        os.remove("crm.toml")
        refused = self.run("init")
        done = self.run("migrate")

        assert 2 == refused.exit_code
        assert "`crm migrate`" in refused.stderr
        assert 0 == done.exit_code
        assert 0 == self.run("rebuild").exit_code
