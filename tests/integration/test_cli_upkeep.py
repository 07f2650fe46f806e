"""`crm status` and `crm retry`: how things stand, and what failed tried again."""

from __future__ import annotations

import json
import sys
from textwrap import dedent

import pytest
from click.testing import CliRunner

from crmcore.cli import crm
from crmcore.configuration import load_configuration
from crmcore.domain.clock import SystemClock
from crmcore.services.checkups.status import read_status

MOODY = """
    from pathlib import Path

    from attrs import define
    from crmcore import Plugin, hookimpl

    def raise_if_bad():
        if Path("mood").exists():
            raise ValueError("in a bad mood")

    @define(eq=False)
    class Moody(Plugin):
        name = "moody"

        @hookimpl
        def on_interactions_recorded(self, ctx, event):
            raise_if_bad()
            for each in event:
                ctx.set_timer(f"wake:{each.id}", each.occurred_instant, each.customer_id)

        @hookimpl
        def after_interactions_recorded(self, ctx, event):
            raise_if_bad()

        @hookimpl
        def on_timers_due(self, ctx, event):
            raise_if_bad()
"""


def run(*words):
    return CliRunner().invoke(crm, list(words))


def asked(*words):
    result = run(*words, "--json")
    assert 0 == result.exit_code, result.output
    return json.loads(result.stdout)


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """A shop with a plugin that raises while a file `mood` is there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "crm_test_moody.py").write_text(dedent(MOODY))
    info = tmp_path / "crm_test_moody-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: crm-test-moody\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[crmcore.plugins]\nmoody = crm_test_moody:Moody\n")
    (tmp_path / "crm.toml").write_text("[plugins.moody]\n[plugins.tiering]\n")
    yield tmp_path
    sys.modules.pop("crm_test_moody", None)


def order(key):
    done = run("record", "order.placed", "--id", f"email:{key}@example.com", "--source-key", key)
    assert 0 == done.exit_code, done.output


class TestStatus:
    def test_page(self, shop):
        """Customers, and a line for each plugin in their order; nothing to be done, no advice."""
        order("a"), order("b")
        run("worker", "--once")

        shown = run("status").output

        assert "2 customers; 2 interactions." in shown
        lines = [line.split() for line in shown.splitlines() if line.startswith(("moody", "tier"))]
        assert ["moody", "0", "0", "0", "0", "0", "0", "0", "0"] == lines[0]
        assert ["tiering", "0", "-", "0", "0", "1", "0", "0", "0"] == lines[1]
        assert "crm retry" not in shown
        assert "crm worker" not in shown

    def test_what_is_left(self, shop):
        """What failed, why and what helps is told; looking again says the same."""
        (shop / "mood").touch()
        order("a")
        run("worker", "--once")

        shown = run("status").output

        assert shown == run("status").output
        assert "moody raised last on" in shown
        assert "ValueError: in a bad mood" in shown
        assert "`crm retry` tries what failed again, at once." in shown

    def test_json(self, shop):
        """The same as JSON is what the library says."""
        (shop / "mood").touch()
        order("a")
        run("worker", "--once")
        url = load_configuration(shop / "crm.toml").arguments()["url"]
        expected = read_status(url, ["moody", "tiering"], SystemClock().now())

        found = asked("status")

        assert (expected.customers, expected.interactions, expected.revision) == (
            found["customers"],
            found["interactions"],
            found["revision"],
        )
        moody = found["plugins"][0]
        assert ("moody", True, 1, 0, 1) == (
            moody["name"],
            moody["is_on"],
            moody["debts"],
            moody["behind"],
            moody["waiting"],
        )
        assert "in a bad mood" == moody["last_fault"]["message"]

    def test_switched_off(self, shop):
        """A plugin that is not on, and left something, is listed as that."""
        (shop / "mood").touch()
        order("a")
        (shop / "crm.toml").write_text("[plugins.tiering]\n")

        assert "moody is not switched on; what it has left waits until it is." in (
            run("status").output
        )

    def test_no_database(self, shop):
        """Without a database it says so, and makes none."""
        result = run("status")

        assert 2 == result.exit_code
        assert "has no tables of crmcore's" in result.stderr
        assert not (shop / "crm.db").exists()


class TestRetry:
    def test_nothing(self, shop):
        """Where nothing failed, that is said."""
        order("a")
        assert "Nothing had failed.\n" == run("retry").output

    def test_mended(self, shop):
        """What failed is tried at once, though its time has not come, and is done."""
        (shop / "mood").touch()
        order("a"), order("b")
        run("worker", "--once")
        (shop / "mood").unlink()

        result = run("retry", "moody")

        assert 0 == result.exit_code
        assert "moody: 4 customers and timers tried again" in result.stdout
        assert ", 0 failed." in result.stdout
        moody = asked("status")["plugins"][0]
        assert (0, 0, 0) == (moody["debts"], moody["waiting"], moody["timers"])

    def test_not_mended(self, shop):
        """What fails again is told, with what was raised."""
        (shop / "mood").touch()
        order("a")
        run("worker", "--once")

        result = run("retry")

        assert "moody: 2 customers and timers tried again, 0 done, 2 failed." in result.stdout
        assert "moody has something left that it failed with: ValueError: in a bad mood" in (
            result.stderr
        )
        told = asked("retry")
        assert ({"moody": 2}, {"moody": 2}, ["moody"]) == (
            told["tried"],
            told["failed"],
            told["left"],
        )

    def test_no_such_plugin(self, shop):
        """A name that no plugin has is refused with the nearest."""
        result = run("retry", "modey")

        assert 2 == result.exit_code
        assert "no plugin is named 'modey' (did you mean 'moody'?)" in result.stderr
