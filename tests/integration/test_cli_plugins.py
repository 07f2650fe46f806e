"""Plugins on the command line: listed, shown, ordered, and what they get wrong."""

from __future__ import annotations

import json
import re
import sys
from textwrap import dedent

import pytest
from click.testing import CliRunner

from crmcore.cli import crm


def run(*words, **settings):
    return CliRunner().invoke(crm, list(words), **settings)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install a distribution with one module, named in entry points as packages do."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    made = []

    def install(name, source, **groups):
        (site / f"crm_test_{name}.py").write_text(dedent(source))
        info = site / f"crm_test_{name}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: crm-test-{name}\nVersion: 1.2\nSummary: For tests.\n"
        )
        points = "".join(
            f"[crmcore.{group}]\n{point} = crm_test_{name}:{target}\n"
            for group, (point, target) in groups.items()
        )
        (info / "entry_points.txt").write_text(points)
        made.append(f"crm_test_{name}")

    yield install
    for name in made:
        sys.modules.pop(name, None)


GREETER = """
    from attrs import define
    from crmcore import Plugin, Trait, hookimpl

    @define(eq=False)
    class Greeter(Plugin):
        '''Greets.

        Attributes:
            word: What is said.
        '''
        name = "greeter"
        after = ("tiering",)
        word: str = "hello"
        times: int = 1

        @hookimpl
        def on_interactions_recorded(self, ctx, event):
            raise ValueError("no voice")
"""


class TestList:
    def test_without_a_configuration(self, install):
        """What is installed is listed, imported or not."""
        install("broken", "raise RuntimeError('never imported')", plugins=("broken", "Broken"))

        found = json.loads(run("plugins", "list", "--json").stdout)

        assert {
            "name": "broken",
            "state": "installed",
            "version": "1.2",
            "distribution": "crm-test-broken",
            "summary": "For tests.",
        } in found
        assert "crm_test_broken" not in sys.modules

    def test_states(self, folder, install):
        """The configuration says which are switched on, and which are missing."""
        install("greeter", GREETER, plugins=("greeter", "Greeter"))
        (folder / "crm.toml").write_text(
            "[plugins.tiering]\n[plugins.greeter]\nenabled = false\n[plugins.gone]\n"
        )

        found = json.loads(run("plugins", "list", "--json").stdout)

        states = {each["name"]: each["state"] for each in found}
        assert {
            "tiering": "switched on",
            "greeter": "switched off",
            "gone": "not installed",
            # Channels that ship with the core are there, and on only if the shop asks for them.
            "files": "installed",
            "recording": "installed",
            "sms": "installed",
        } == states

    def test_table(self):
        """People get a table."""
        result = run("plugins", "list")

        assert ["name", "state"] == result.output.split()[:2]
        assert re.search("^tiering +installed", result.output, re.MULTILINE)


class TestShow:
    def test_settings(self, folder, install):
        """Settings are shown with their help, default and present value."""
        install("greeter", GREETER, plugins=("greeter", "Greeter"))
        (folder / "crm.toml").write_text('[plugins.greeter]\nword = "hi"\n')

        found = json.loads(run("plugins", "show", "greeter", "--json").stdout)

        assert [
            {
                "name": "word",
                "type": "text",
                "default": '"hello"',
                "value": '"hi"',
                "help": "What is said.",
            },
            {"name": "times", "type": "a whole number", "default": "1", "value": "1", "help": ""},
        ] == found["settings"]
        assert ["on_interactions_recorded"] == found["hooks"]
        assert ["tiering"] == found["after"]

    def test_page(self):
        """What a plugin brings is shown to people, too."""
        output = run("plugins", "show", "tiering").output

        assert "review_every_days" in output
        assert "tiering.tier " in output
        assert "tier.changed" in output
        assert "crm_tiering_total" in output

    def test_unknown(self):
        """An unknown plugin is answered with the nearest one."""
        result = run("plugins", "show", "teiring")

        assert 2 == result.exit_code
        assert "no plugin is named 'teiring' (did you mean 'tiering'?)" in result.stderr


class TestOrder:
    def test_order(self, folder, install):
        """Plugins are put in the order in which they are called, with the reason."""
        install("greeter", GREETER, plugins=("greeter", "Greeter"))
        (folder / "crm.toml").write_text("[plugins.greeter]\n[plugins.tiering]\n")

        lines = run("plugins", "order").output.splitlines()[2:]

        assert ["1", "tiering", "its name"] == lines[0].split(maxsplit=2)
        assert ["2", "greeter", "after tiering"] == lines[1].split(maxsplit=2)


class TestHooks:
    def test_implementations(self, folder, install):
        """Each hook tells its phase, its signature, and who implements it in which order."""
        install("greeter", GREETER, plugins=("greeter", "Greeter"))
        (folder / "crm.toml").write_text("[plugins.greeter]\n[plugins.tiering]\n")

        found = {each["hook"]: each for each in json.loads(run("hooks", "--json").stdout)}

        recorded = found["on_interactions_recorded"]
        assert ["tiering", "greeter"] == recorded["implemented_by"]
        assert "in the transaction" == recorded["phase"]
        signature = "on_interactions_recorded(ctx: Context, event: InteractionsRecorded) -> None"
        assert signature == recorded["signature"]
        assert [] == found["guard_stage_change"]["implemented_by"]

    def test_without_a_configuration(self):
        """Hooks can be listed before there is anything else."""
        result = run("hooks")

        assert 0 == result.exit_code
        assert "in the transaction; implemented by no plugin" in result.output

    def test_kinds(self):
        """Kinds are listed with their aliases and fields."""
        output = run("hooks", "--kinds").output
        found = {
            each["kind"]: each for each in json.loads(run("hooks", "--kinds", "--json").stdout)
        }

        assert "Order Completed" in output
        assert ["Order Completed"] == found["order.placed"]["aliases"]
        assert 1 == found["order.placed"]["sign"]
        assert found["product.viewed"]["fields"]["product"]["is_needed"]


class TestMistakes:
    @pytest.mark.parametrize(
        ("text", "sentence"),
        [
            (
                "[plugins.teiring]\n",
                "crm.toml: no plugin is named 'teiring' (did you mean 'tiering'?)",
            ),
            (
                '[plugins.tiering]\nschema = "rfm"\n',
                "crm.toml, [plugins.tiering]: unknown setting 'schema' (did you mean 'scheme'?)",
            ),
            (
                "[plugins.tiering]\nreview_every_days = 'x'\n",
                "'review_every_days': 'x' is not a whole",
            ),
            ("[plguins.tiering]\n", "unknown table [plguins] (did you mean 'plugins'?)"),
            ("[crm\n", "crm.toml cannot be read"),
            ("[crm]\nzone = 'Europe/Berlni'\n", "unknown time zone 'Europe/Berlni' (did you mean"),
        ],
    )
    def test_configuration(self, folder, text, sentence):
        """What is wrong in a configuration is one sentence, with the nearest right name."""
        (folder / "crm.toml").write_text(text)

        result = run("rebuild")

        assert 2 == result.exit_code
        assert sentence in result.stderr
        assert 1 == result.stderr.count("\n")
        assert not (folder / "crm.db").exists()

    def test_broken_import(self, folder, install):
        """A plugin that cannot be imported is named."""
        install("broken", "raise RuntimeError('half installed')", plugins=("broken", "Broken"))
        (folder / "crm.toml").write_text("[plugins.broken]\n")

        result = run("rebuild")

        assert 2 == result.exit_code
        assert (
            "Error: plugin 'broken': its import raised RuntimeError: half installed\n"
            == result.stderr
        )

    def test_raises_at_start(self, folder, install):
        """A plugin that raises when it is started stops the start, and is named."""
        source = GREETER.replace("on_interactions_recorded", "on_started")
        install("greeter", source, plugins=("greeter", "Greeter"))
        (folder / "crm.toml").write_text("[plugins.greeter]\n")

        result = run("record", "order.placed", "--id", "account:1")

        assert 2 == result.exit_code
        assert "Error: plugin 'greeter': on_started raised ValueError: no voice\n" == result.stderr

    def test_raises_while_recording(self, folder, install):
        """A plugin that raises later costs no interaction, and is told of in one line."""
        install("greeter", GREETER, plugins=("greeter", "Greeter"))
        (folder / "crm.toml").write_text("[plugins.greeter]\n")

        result = run("record", "order.placed", "--id", "account:1")

        assert 0 == result.exit_code
        assert result.stdout.startswith("Recorded order.placed")
        assert "Warning: plugin 'greeter' raised in on_interactions_recorded: no voice\n" == (
            result.stderr
        )


class TestCommands:
    COMMAND = """
        import click

        @click.command()
        @click.pass_obj
        def greet(shell):
            with shell.open() as crm:
                click.echo(f"hello from {crm.runtime.currency}")

        nothing = 3
    """

    def test_listed_and_run(self, folder, install):
        """A plugin's command is listed without being imported, and finds the configuration."""
        install("greet", self.COMMAND, commands=("greet", "greet"))
        (folder / "other.toml").write_text('[crm]\ncurrency = "CHF"\n')

        listed = run("--help")
        assert "crm_test_greet" not in sys.modules
        result = run("--config", "other.toml", "greet")

        assert "Commands of plugins:\n  greet  From crm-test-greet.\n" in listed.output
        assert "hello from CHF\n" == result.output

    def test_twice(self, install):
        """Two of one name are refused, naming both."""
        install("greet", self.COMMAND, commands=("greet", "greet"))
        install("other", self.COMMAND, commands=("greet", "greet"))

        result = run("greet")

        assert 2 == result.exit_code
        assert "crm-test-greet and crm-test-other both bring" in result.stderr

    @pytest.mark.parametrize(
        ("source", "sentence"),
        [
            ("raise RuntimeError('broken')", "its command raised RuntimeError: broken"),
            ("greet = 3", "gives 3, a click command expected"),
        ],
    )
    def test_broken(self, install, source, sentence):
        """A command that cannot be had is one sentence."""
        install("greet", source, commands=("greet", "greet"))

        result = run("greet")

        assert 2 == result.exit_code
        assert sentence in result.stderr
