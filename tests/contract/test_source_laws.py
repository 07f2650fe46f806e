"""The laws of sources find what a plugin's modules must not do, with file and line."""

from __future__ import annotations

import importlib
import itertools
import sys
import textwrap

import pytest

from crmcore.channels.recording import Recording
from crmcore.testing.laws.sources import SourceLaws
from crmcore.testing.neighbour import Neighbour
from tests.contract.support import breaks, shop_with

LAWS = [name for name in vars(SourceLaws) if name.startswith("test_")]
_count = itertools.count(1)

PLUGIN = """
    from typing import ClassVar

    from attrs import define
    from crmcore import Plugin

    @define(eq=False)
    class Odd(Plugin):
        name: ClassVar[str] = "odd"
"""


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Write a package of a plugin with one module more, and return shops with the plugin."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(source, module="services"):
        name = f"crmcore_odd{next(_count)}"
        folder = tmp_path / name
        folder.mkdir()
        (folder / "__init__.py").write_text(textwrap.dedent(PLUGIN), encoding="utf-8")
        (folder / f"{module}.py").write_text(textwrap.dedent(source), encoding="utf-8")
        return shop_with(importlib.import_module(name).Odd, tmp_path)

    yield write
    for name in [each for each in sys.modules if each.startswith("crmcore_odd")]:
        del sys.modules[name]


@pytest.mark.parametrize("plugin", [Neighbour, Recording], ids=lambda plugin: plugin.name)
@pytest.mark.parametrize("law", LAWS)
def test_good_sources_keep_every_law(law, plugin, tmp_path):
    """The kit's neighbour and a channel of the core's own pass all laws."""
    getattr(SourceLaws(), law)(shop_with(plugin, tmp_path))


ALLOWED = """
    import datetime
    import random
    import time
    from importlib import import_module

    import crmcore
    from crmcore import Context, Draft
    from crmcore.cli.shell import pass_shell
    from crmcore.errors import CrmError
    from crmcore.hooks.fold import Insert
    from sqlalchemy import func, text
    from . import Odd

    CHANCE = random.Random(7)
    DAY = datetime.timedelta(days=1)

    def now(ctx, event):
        import_module("crmcore.hooks")
        ctx.execute(text("UPDATE crm_odd_thing SET x = 1 WHERE y = 'now and then'"))
        return ctx.clock.now(), func.max(1), event.kinds, datetime.date.fromisoformat("2024-01-01")

    class Channel:
        def deliver_messages(self, ctx, event):
            return time.time()

        def after_interactions_recorded(self, ctx, event):
            return random.random()
"""


@pytest.mark.parametrize("law", LAWS)
def test_what_is_allowed(law, written):
    """Public imports, the context's clock, seeded chance and own tables pass all laws."""
    shop = written(ALLOWED)
    shop.subject.__dict__["tables"] = ["crm_odd_thing"]

    getattr(SourceLaws(), law)(shop)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("from crmcore.services.unit import Unit", "imports crmcore.services.unit.Unit"),
        ("import crmcore.persistence.tables", "imports crmcore.persistence.tables"),
        ("from crmcore import domain", "imports crmcore.domain"),
        ("__import__('crmcore.app.crm')", "imports crmcore.app.crm"),
        ("import importlib\nimportlib.import_module('crmcore.replay')", "imports crmcore.replay"),
        ("from importlib import import_module as i\ni('crmcore.app')", "imports crmcore.app"),
    ],
)
def test_private_core(line, told, written):
    """Imports of private modules are found, however they are written."""
    wrong = breaks(SourceLaws().test_imports_no_private_core, written(line))

    assert told in wrong
    assert f"services.py:{line.count(chr(10)) + 1} " in wrong


@pytest.mark.parametrize(
    "line", ["import crmcore_tiering", "from crmcore_tiering.tables import tier"]
)
def test_other_plugins(line, written):
    """Imports of another plugin are found."""
    wrong = breaks(SourceLaws().test_imports_no_other_plugin, written(line))

    assert "services.py:1 imports crmcore_tiering" in wrong
    assert "another plugin" in wrong


@pytest.mark.parametrize("code", ["ctx._unit", "event._load()", "self.crm._parts.x"])
def test_private_attributes(code, written):
    """Attributes that are private to the core are found."""
    shop = written(f"def f(self, ctx, event):\n    return {code}")

    assert "services.py:2 reaches into" in breaks(SourceLaws().test_reaches_into_nothing, shop)


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("from datetime import datetime\ndatetime.now(None)", "datetime.datetime.now"),
        ("import datetime as dt\ndt.date.today()", "datetime.date.today"),
        ("from time import time as t\nt()", "time.time"),
        ("import random\nrandom.choice([1])", "random.choice"),
        ("import uuid\nuuid.uuid4()", "uuid.uuid4"),
        ("import secrets\nsecrets.token_hex()", "secrets.token_hex"),
        ("import os\nos.urandom(3)", "os.urandom"),
        ("from crmcore import SystemClock\nSystemClock().now()", "SystemClock"),
    ],
)
def test_clock_and_chance(code, told, written):
    """The machine's clock and chance are found, under any name."""
    wrong = breaks(SourceLaws().test_asks_no_clock_and_no_chance, written(code))

    assert "services.py:2 asks" in wrong
    assert told in wrong


def test_commands_may_ask_the_clock(written):
    """What people run by hand may know what time it is."""
    shop = written("import time\ntime.time()", module="commands")

    SourceLaws().test_asks_no_clock_and_no_chance(shop)


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("text('DELETE FROM crm_interaction')", "writes table 'crm_interaction' by raw SQL"),
        ("text('insert into crm_tiering_tier values (1)')", "writes table 'crm_tiering_tier'"),
        ("text(f'UPDATE crm_customer SET x = {1}')", "writes table 'crm_customer'"),
        ("text('SELECT now()')", "lets SQL ask for now"),
        ("func.now()", "lets SQL ask for func.now()"),
        ("func.strftime('%s', 'now')", "lets SQL ask for func.strftime"),
        ("func.random()", "lets SQL ask for func.random()"),
    ],
)
def test_raw_sql(code, told, written):
    """Raw SQL that writes tables of others, and SQL that asks the clock, is found."""
    shop = written(f"from sqlalchemy import func, text\nx = {code}")

    assert f"services.py:2 {told}" in breaks(SourceLaws().test_sql_is_its_own, shop)


def test_no_python(written, tmp_path):
    """A module that cannot be read is named."""
    shop = written("def f(:")

    assert "services.py:1 is no Python" in breaks(SourceLaws().test_reaches_into_nothing, shop)
