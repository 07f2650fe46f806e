"""The laws of conduct find what a plugin does in the shop's transaction, swallowed or not."""

from __future__ import annotations

import contextlib
import importlib
import os
import socket
import subprocess
import sys
import textwrap
import threading
import time
from typing import ClassVar

import pytest
from attrs import define
from sqlalchemy import bindparam, delete, select, text, update

from crmcore import Plugin, hookimpl
from crmcore.persistence.customers import customer
from crmcore.testing.laws import watched
from crmcore.testing.laws.watched import WatchedLaws
from crmcore.testing.neighbour import tally, visit
from crmcore.testing.watching import Watch, watching
from tests.contract.support import breaks, shop_with
from tests.support.databases import KINDS

LAWS = [name for name in vars(WatchedLaws) if name.startswith("test_")]
LATER = threading.Event()

sleep = time.sleep  # as modules that import the name know it


@define(eq=False)
class Naughty(Plugin):
    """Does in its hooks, and swallows, everything that is not allowed there."""

    name: ClassVar[str] = "naughty"

    @hookimpl
    def on_interactions_recorded(self, ctx, event):
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", 9), timeout=0.1)
        sleep(3600)
        subprocess.run([sys.executable, "-c", ""], check=False)
        threading.Thread(target=LATER.wait, name="naughty-thread", daemon=True).start()
        with contextlib.suppress(OSError), open("/nowhere/naughty.txt", "w") as file:
            file.write("x")
        ctx.execute(update(customer).values(revision=customer.c.revision))
        with contextlib.suppress(Exception):
            ctx.execute(text("CREATE TABLE IF NOT EXISTS crm_naughty_thing (x INTEGER)"))

    @hookimpl
    def on_stages_changed(self, ctx, event):
        raise KeyError("somebody")


@define(eq=False)
class Outside(Plugin):
    """Does the same where it is allowed."""

    name: ClassVar[str] = "outside"

    @hookimpl
    def after_interactions_recorded(self, ctx, event):
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", 9), timeout=0.1)
        time.sleep(0)
        with open(os.devnull, "w") as file:
            file.write("x")


@pytest.fixture(scope="module", autouse=True)
def _threads_end():
    yield
    LATER.set()


@pytest.mark.parametrize("law", LAWS)
def test_good_conduct_keeps_every_law(law, tmp_path):
    """A plugin that does it all after the commit passes all laws."""
    getattr(WatchedLaws(), law)(shop_with(Outside, tmp_path, examples=1))


@pytest.mark.parametrize(
    ("law", "told"),
    [
        ("test_no_network_in_a_transaction", "on_interactions_recorded asks the network (socket."),
        ("test_no_sleeping", "on_interactions_recorded sleeps (time.sleep(3600))"),
        ("test_no_processes_and_threads", "on_interactions_recorded starts a process (subproc"),
        ("test_no_threads_left_behind", "thread 'naughty-thread' goes on when the shop is closed"),
        ("test_no_files_in_a_transaction", "writes files (open '/nowhere/naughty.txt')"),
        ("test_writes_its_own_tables_only", "writes table 'crm_customer', which is not its own"),
        ("test_defines_nothing", "runs 'CREATE TABLE IF NOT EXISTS crm_naughty_thing"),
        ("test_hooks_raise_nothing", "on_stages_changed raises KeyError: 'somebody'"),
    ],
)
def test_naughty(law, told, tmp_path):
    """Everything that was done is told, with the hook that did it."""
    assert told in breaks(getattr(WatchedLaws(), law), shop_with(Naughty, tmp_path, examples=1))


def test_undeclared_tables(tmp_path):
    """A table that a plugin makes by itself is found in the database."""

    @define(eq=False)
    class Making(Plugin):
        name: ClassVar[str] = "making"

        @hookimpl
        def on_started(self, ctx, event):
            ctx.execute(text("CREATE TABLE IF NOT EXISTS crm_making_thing (x INTEGER)"))

    shop = shop_with(Making, tmp_path)

    assert "table 'crm_making_thing' is in the database" in breaks(
        WatchedLaws().test_leaves_no_undeclared_tables, shop
    )


@pytest.mark.parametrize("table", [tally, visit], ids=lambda table: table.name)
def test_rows_of_others(table, tmp_path):
    """Rows that are gone from another plugin's table are found, be it derived or owned."""
    gone = delete(table)

    @define(eq=False)
    class Deleting(Plugin):
        name: ClassVar[str] = "zealous"

        @hookimpl
        def on_interactions_recorded(self, ctx, event):
            with contextlib.suppress(Exception):
                ctx.execute(gone)

    told = breaks(WatchedLaws().test_leaves_others_alone, shop_with(Deleting, tmp_path))

    assert "rows of another plugin are others than without it" in told
    assert table.name in told


ONE = select(customer.c.customer_id).where(customer.c.customer_id == bindparam("who"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_query_for_each_row(kind, tmp_path):
    """A statement for each interaction is told with how many there were, and which."""

    @define(eq=False)
    class Asking(Plugin):
        name: ClassVar[str] = "asking"

        @hookimpl
        def on_interactions_recorded(self, ctx, event):
            for each in event:
                ctx.execute(ONE, who=each.customer_id)

    told = breaks(WatchedLaws().test_statements_do_not_grow, shop_with(Asking, tmp_path, kind))

    assert "on_interactions_recorded runs more statements the more customers" in told
    assert "for 90)" in told
    assert "SELECT crm_customer.customer_id FROM crm_customer" in told


def test_too_much_time(tmp_path, monkeypatch):
    """A hook over its budget, and one that compares each row with all others, is told."""

    @define(eq=False)
    class Slow(Plugin):
        name: ClassVar[str] = "slow"

        @hookimpl
        def on_interactions_recorded(self, ctx, event):
            until = time.thread_time() + 0.0014 * len(event)
            while time.thread_time() < until:
                pass

    @define(eq=False)
    class Comparing(Plugin):
        name: ClassVar[str] = "comparing"

        @hookimpl
        def on_interactions_recorded(self, ctx, event):
            everyone = [each.customer_id for each in event]
            return sum(1 for one in everyone for other in everyone if one < other) and None

    law = WatchedLaws().test_takes_little_time

    assert "times as long for 4 times as many rows" in breaks(law, shop_with(Comparing, tmp_path))
    monkeypatch.setattr(watched, "_MANY", 100)  # what is over its budget is so with any number
    assert "ms of CPU for 200 rows, and 200 ms are its budget" in breaks(
        law, shop_with(Slow, tmp_path)
    )


def test_network_at_import(tmp_path, monkeypatch):
    """A package that asks the network when it is imported is found, and so is a broken one."""
    source = """
        import socket
        from typing import ClassVar

        from attrs import define
        from crmcore import Plugin

        try:
            socket.getaddrinfo("localhost", 80)
        except OSError:
            pass

        @define(eq=False)
        class Odd(Plugin):
            name: ClassVar[str] = "odd"
    """
    folder = tmp_path / "crmcore_calling"
    folder.mkdir()
    (folder / "__init__.py").write_text(textwrap.dedent(source), encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    shop = shop_with(importlib.import_module("crmcore_calling").Odd, tmp_path)
    law = WatchedLaws().test_no_network_at_import

    assert "importing it asks the network (socket.getaddrinfo" in breaks(law, shop)
    (folder / "__init__.py").write_text("import nothing_of_that_name", encoding="utf-8")
    assert "ModuleNotFoundError: No module named 'nothing_of_that_name'" in breaks(law, shop)


@pytest.mark.parametrize(
    ("sql", "written"),
    [
        ("INSERT INTO crm_a (x) SELECT 1 ON CONFLICT DO UPDATE SET x = 1", ["crm_a"]),
        ("WITH g AS (DELETE FROM crm_a RETURNING x) INSERT INTO crm_b SELECT x FROM g", 2),
        ('UPDATE "crm_a" SET x = 1', ["crm_a"]),
        ("UPDATE OR IGNORE crm_a SET x = 1", ["crm_a"]),
        ("SELECT x FROM crm_a WHERE y = 'DELETE FROM crm_b' FOR UPDATE", []),
        ("SELECT x FROM crm_a FOR NO KEY UPDATE", []),
        ("REPLACE INTO crm_a VALUES (1)", ["crm_a"]),
        ("DELETE FROM crm_own WHERE x IN (SELECT x FROM crm_a)", []),
    ],
)
def test_what_a_statement_writes(sql, written):
    """The tables that a statement writes are read from its text, and no others."""
    with watching(["crm_own"]) as watch:
        assert isinstance(watch, Watch)
        with watch._calling(_call()):
            watch.ran(sql)
    found = [deed.told for deed in watch.did("write")]

    assert (["crm_a", "crm_b"] if written == 2 else written) == found


def _call():
    from crmcore.testing.watching import Call

    return Call("on_started", 1)
